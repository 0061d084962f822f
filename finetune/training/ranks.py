"""One run by several processes: tensors cut over some of them, batches and Adam's state over the others.

Layers, cuts and groups are those of ``pretrain.parallel``; ZeRO is by whole tensors: each has one rank that steps it.
Alone, everything here gives back what it got.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from finetune.heads.encoding import Encoded, Rows
from pretrain.config_file import read_config
from pretrain.folder import encoder_from_hugging_face, load_encoder, open_weights
from pretrain.model import Encoder, ModelConfig, build
from pretrain.parallel import Cut, Group, cuts_of, divide, put
from pretrain.rng import mix


@dataclass(frozen=True)
class Ranks:
    """``tensor``: those that share each matrix and take the same rows; ``data``: those that take different rows.

    ``zero`` 1: each parameter's Adam state is on one data rank; 2: its gradient too; 0: all have everything.
    """

    tensor: Group = field(default_factory=Group)
    data: Group = field(default_factory=Group)
    zero: int = 0

    @property
    def first(self) -> bool:
        """Whether this one writes what comes out."""
        return self.tensor.rank == self.data.rank == 0

    @property
    def suffix(self) -> str:
        """Of this rank's checkpoints; another layout does not take them up."""
        if self.tensor.world == self.data.world == 1:
            return ".safetensors"
        place = f"tensor-{self.tensor.rank}-of-{self.tensor.world}.data-{self.data.rank}-of-{self.data.world}"
        return f".{place}.zero-{self.zero}.safetensors"

    def seed(self, seed: int) -> int:
        """Of dropout: the same where rows are the same, another where they are not."""
        return int(mix(seed, self.data.rank) >> np.uint64(1)) if self.data.rank else seed

    def parts(self, texts: Encoded, batch: Rows, most: int = 0) -> Iterator[tuple[Rows, float]]:
        """This rank's rows of a batch, at most ``most`` at once (0: all), each part with its share in the whole.

        A share is what the mean loss over the part counts for in the mean over the batch. All ranks get as many parts,
        for all take part in each sum: one that has too few rows gets the first again, with a share of 0.
        """
        own, longest = batch[self.data.rank :: self.data.world], -(-len(batch) // self.data.world)
        units = max(1, texts.units(batch))
        for rows in np.array_split(own, -(-longest // (most or longest))):
            yield (rows, texts.units(rows) / units) if len(rows) else (batch[:1], 0.0)

    def owned(self, model: nn.Module, parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
        """Those of ``parameters`` that this rank steps."""
        owners = self._owners(model)
        return [parameter for parameter in parameters if owners[parameter] == self.data.rank or not self.zero]

    def watch_gradients(self, model: nn.Module) -> None:
        """Under ZeRO-2, send each gradient to its owner, and free it, as soon as it is complete."""
        if self.zero == 2 and self.data.world > 1:
            for parameter, owner in self._owners(model).items():
                parameter.register_post_accumulate_grad_hook(self._sender(owner))

    def join_gradients(self, model: nn.Module) -> None:
        """Sum the gradients over the data ranks, where that was not done on the way."""
        if self.data.world > 1 and self.zero < 2:
            for parameter in model.parameters():
                self.data.total(_gradient(parameter))

    @torch.no_grad()
    def clip_grad_norm(self, model: nn.Module, most: float) -> None:
        """Scale the gradient so that its norm, over all its parts, is at most ``most``."""
        if self.tensor.world == self.data.world == 1:
            nn.utils.clip_grad_norm_(model.parameters(), most)
            return
        whole = self.zero == 2  # then a gradient stands on its owner alone
        kept = [p for p in model.parameters() if p.grad is not None]
        counted = [p.grad for p in kept if self.tensor.rank == 0 or hasattr(p, "tensor_model_parallel")]
        norms = [torch.linalg.vector_norm(gradient.float()).square() for gradient in counted if gradient is not None]
        square = torch.stack(norms).sum() if norms else torch.zeros((), device=next(model.parameters()).device)
        square = self.tensor.total(square)
        square = self.data.total(square) if whole else square
        factor = (most / (square.sqrt() + 1e-6)).clamp(max=1.0)  # as PyTorch's own
        for parameter in kept:
            if parameter.grad is not None:
                parameter.grad.mul_(factor)

    @torch.no_grad()
    def spread(self, model: nn.Module) -> None:
        """After a step: each parameter from its owner to all."""
        if self.zero and self.data.world > 1:
            for parameter, owner in self._owners(model).items():
                dist.broadcast(parameter.detach(), self.data.ranks[owner], group=self.data.handle)

    def batches(self, batches: list[Rows]) -> list[Rows]:
        """Those that this rank works out: its own, and the first where it has none; see ``joined``."""
        return batches[self.data.rank :: self.data.world] or batches[:1]

    def joined(self, batches: list[Rows], device: torch.device, *found: NDArray[np.float32]) -> list[NDArray]:
        """Arrays that each rank filled in for its own batches, and left zero elsewhere, as all of them have them."""
        if self.data.world == 1:
            return list(found)
        idle = self.data.rank >= len(batches)
        sums = [self.data.total(torch.from_numpy(one * (not idle)).to(device)) for one in found]
        return [one.cpu().numpy() for one in sums]

    def total(self, value: Tensor) -> Tensor:
        """The sum over the data ranks."""
        return self.data.total(value)

    def agree(self, number: int, device: torch.device) -> bool:
        """Whether all ranks have the same number."""
        if self.tensor.world == self.data.world == 1:
            return True
        both = torch.tensor([number, -number], device=device)
        dist.all_reduce(both, op=dist.ReduceOp.MAX)
        return int(both[0]) == -int(both[1])

    def whole(self, model: nn.Module, empty: nn.Module) -> dict[str, Tensor] | None:
        """The model's parameters, whole, on the CPU: on the first rank. ``empty`` is the same model, undivided."""
        cuts, shapes, found = cuts_of(model), {n: p.shape for n, p in empty.named_parameters()}, {}  # type: ignore[arg-type]
        for name, parameter in model.named_parameters():
            cut = cuts[name]
            if cut.dim is None:
                parts: list[Tensor] | None = [parameter.detach()]
            else:
                parts = self.tensor.parts(parameter.detach(), cut.shapes(shapes[name], self.tensor.world))
            if parts is not None and self.first:
                found[name] = cut.join(parts).cpu()
        return found if self.first else None

    def _owners(self, model: nn.Module) -> dict[nn.Parameter, int]:
        """Parameter -> its data rank: the largest first, each to the rank that has least."""
        load = [0] * self.data.world
        owners = dict.fromkeys(model.parameters(), 0)
        for parameter in sorted(owners, key=lambda p: -p.numel()):
            owners[parameter] = load.index(min(load))
            load[owners[parameter]] += parameter.numel()
        return owners

    def _sender(self, owner: int) -> Callable[[Tensor], None]:
        def send(parameter: Tensor) -> None:
            dist.reduce(_gradient(parameter), self.data.ranks[owner], group=self.data.handle)
            if owner != self.data.rank:
                parameter.grad = None

        return send


ALONE = Ranks()


def encoder_for(folder: Path, ranks: Ranks, fresh: Encoder | None = None) -> Encoder:
    """This rank's part of the encoder in ``folder``, or of ``fresh``; no more than one whole tensor is held besides.

    Errors: XlmrError naming what is missing, or what the ranks do not divide.
    """
    if ranks.tensor.world == 1:
        return fresh or load_encoder(folder)
    model = build(read_config(folder))
    cuts = cuts_of(model)
    divide(model, ranks.tensor)
    put(model, dict(_own_parts(folder, model.config, fresh, cuts, ranks.tensor)), cuts, ranks.tensor)
    return model.encoder


def _own_parts(
    folder: Path, config: ModelConfig, fresh: Encoder | None, cuts: dict[str, Cut], group: Group
) -> Iterator[tuple[str, Tensor]]:
    whole = (
        encoder_from_hugging_face(open_weights(folder, config), config, folder)
        if fresh is None
        else ((f"encoder.{name}", tensor) for name, tensor in fresh.state_dict().items())
    )
    for name, tensor in whole:
        yield name, cuts[name].part(tensor, group).clone()


def _gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None, "every parameter takes part in every loss"
    return parameter.grad
