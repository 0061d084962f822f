"""One run by several processes: which rows and batches are each one's, and what they tell each other.

Layers, cuts and groups are those of ``pretrain.parallel``, gradients and steps those of ``pretrain.distributed``.
Alone, everything here gives back what it got.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from finetune.heads.encoding import Encoded, Rows
from pretrain.config_file import read_config
from pretrain.folder import encoder_from_hugging_face, load_encoder, open_weights
from pretrain.model import Encoder, ModelConfig, build
from pretrain.parallel import Cut, Group, Layout, cuts_of, divide, put


@dataclass(frozen=True)
class Ranks:
    """``tensor``: those that share each matrix and take the same rows; ``data``: those that take different rows."""

    tensor: Group = field(default_factory=Group)
    data: Group = field(default_factory=Group)
    layout: Layout | None = None
    """Of all of them; None for a process by itself."""

    @classmethod
    def of(cls, layout: Layout) -> Ranks:
        """The ranks of a launch."""
        return cls(layout.tensor, layout.data, layout)

    @property
    def first(self) -> bool:
        """Whether this one writes what comes out."""
        return self.tensor.rank == self.data.rank == 0

    def micro_batches(self, rows: int, most: int) -> int:
        """Parts into which each rank divides its share of a batch of ``rows``, at most ``most`` rows each (0: all)."""
        longest = -(-rows // self.data.world)
        return -(-longest // (most or longest))

    def parts(self, texts: Encoded, batch: Rows, count: int) -> Iterator[tuple[Rows, float]]:
        """This rank's rows of a batch in ``count`` parts, each with its share in the whole.

        A share is what the mean loss over the part counts for in the mean over the batch. All ranks get as many parts,
        for all take part in each sum: one that has too few rows gets the first again, with a share of 0.
        """
        own, units = batch[self.data.rank :: self.data.world], max(1, texts.units(batch))
        for rows in np.array_split(own, count):
            yield (rows, texts.units(rows) / units) if len(rows) else (batch[:1], 0.0)

    def batches(self, batches: list[Rows]) -> Iterator[tuple[Rows, bool]]:
        """Those that this rank works out, each with whether it counts.

        All ranks get as many, because under ZeRO-3 they work on each together: one that has none left gets the first.
        """
        for start in range(0, len(batches), self.data.world):
            own = start + self.data.rank
            yield (batches[own], True) if own < len(batches) else (batches[0], False)

    def joined(self, device: torch.device, *found: NDArray[np.float32]) -> list[NDArray]:
        """Arrays that each rank filled in for its own batches, and left zero elsewhere, as all of them have them."""
        if self.data.world == 1:
            return list(found)
        return [self.data.total(torch.from_numpy(one).to(device)).cpu().numpy() for one in found]

    def total(self, value: Tensor) -> Tensor:
        """The sum over the data ranks."""
        return self.data.total(value)

    def text_of_first(self, text: str, device: torch.device) -> str:
        """The text of the first rank."""
        if self.layout is None:
            return text
        own = torch.tensor(list(text.encode()), dtype=torch.uint8, device=device)
        size = torch.tensor(len(own), device=device)
        dist.broadcast(size, 0)
        content = own if self.first else torch.empty(int(size), dtype=torch.uint8, device=device)
        dist.broadcast(content, 0)
        return bytes(content.tolist()).decode()

    def tensors_of_first(
        self, tensors: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], device: torch.device
    ) -> Mapping[str, Tensor]:
        """The fp32 tensors of the first rank, each sent when it is asked for; all ranks must ask for the same."""
        return tensors if self.layout is None else _OfFirst(tensors if self.first else None, shapes, device)


class _OfFirst(Mapping[str, Tensor]):
    def __init__(
        self, own: Mapping[str, Tensor] | None, shapes: Mapping[str, torch.Size], device: torch.device
    ) -> None:
        self._own, self._shapes, self._device = own, shapes, device

    def __getitem__(self, name: str) -> Tensor:
        if self._own is not None:
            tensor = self._own[name].to(self._device, torch.float32).contiguous()
        else:
            tensor = torch.empty(self._shapes[name], device=self._device)
        dist.broadcast(tensor, 0)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


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
