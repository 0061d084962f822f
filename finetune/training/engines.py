"""What makes a model's steps: PyTorch alone in one process, DeepSpeed where several ranks work together.

Both have the same methods, those of ``pretrain.distributed.DistributedModel``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from finetune.heads.kind import Kind
from finetune.stages import Recipe
from finetune.training.ranks import ALONE, Ranks
from pretrain.checkpoints.state import PARTS, WEIGHTS, Places, Source
from pretrain.distributed import RATE
from pretrain.engine import choose_dtype
from pretrain.model import TABLE, Encoder
from pretrain.parallel import WHOLE, cuts_of

Shapes = Mapping[str, torch.Size]

_LAYER = re.compile(r"encoder\.layers\.([0-9]+)\.")


class FineTuningEngine(Protocol):
    """A model under training."""

    shapes: Shapes
    """Of its parameters, undivided, by name."""

    @property
    def forward_module(self) -> nn.Module:
        """What gives scores."""

    def start_step(self, seed: int, step: int) -> None:
        """Make ready for a step."""

    def backward(self, loss: Tensor) -> None:
        """Add a micro-batch's gradient."""

    def step(self, learning_rate: float) -> object:
        """Clip the gathered gradient, and apply it."""

    def state_stream(self, parts: tuple[str, ...] = PARTS) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Each parameter's name, and its weights and Adam's means, whole, in fp32, on the CPU: on the first rank."""

    def load_state(self, state: Source, steps: int) -> None:
        """Take over such a state; after ``steps``."""

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take over weights alone."""

    def close(self) -> None:
        """Let go of what is held beside the model."""


class OneProcess:
    """A process by itself: AdamW and the model as they are. Dropout draws from PyTorch's random state as it is."""

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        self.forward_module, self._max_grad_norm = model, recipe.max_grad_norm
        groups = parameter_groups(model, recipe)
        self._adam = torch.optim.AdamW(groups, lr=0.0, betas=recipe.betas, eps=recipe.epsilon, fused=True)
        parameters = dict(model.named_parameters())
        self.shapes: Shapes = {name: parameter.shape for name, parameter in parameters.items()}
        cuts = dict.fromkeys(parameters, WHOLE)
        self._places = Places(parameters, self._adam, None, 0, ALONE, cuts, self.shapes)

    def start_step(self, seed: int, step: int) -> None:
        """Switch dropout on; the random state stays as it is."""
        del seed, step
        self.forward_module.train()

    def backward(self, loss: Tensor) -> None:
        """Add a micro-batch's gradient."""
        loss.backward()

    def step(self, learning_rate: float) -> None:
        """Clip the gathered gradient, and apply it."""
        for group in self._adam.param_groups:
            group["lr"] = learning_rate * group.get(RATE, 1.0)
        nn.utils.clip_grad_norm_(self.forward_module.parameters(), self._max_grad_norm)
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)

    def state_stream(self, parts: tuple[str, ...] = PARTS) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Each parameter's name, and its weights and Adam's means, in fp32, on the CPU."""
        return self._places.stream(parts)

    def load_state(self, state: Source, steps: int) -> None:
        """Take over such a state; after ``steps``."""
        self._places.take(state, steps)

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take over weights alone."""
        self._places.take_weights(weights)

    def close(self) -> None:
        """Nothing is held."""


def engine_of(model: nn.Module, kind: Kind, recipe: Recipe, ranks: Ranks) -> FineTuningEngine:
    """The engine of this process, or of this rank. ``model`` is on its device, divided over tensor-parallel ranks."""
    if ranks.layout is None:
        return OneProcess(model, recipe)
    from pretrain.distributed import DistributedModel, Optimisation

    device = next(model.parameters()).device
    with torch.device("meta"):
        undivided = kind.model(Encoder(model.encoder.config), recipe.dropout)  # type: ignore[arg-type,union-attr]
    optimisation = Optimisation(
        recipe.zero_stage,
        ranks.micro_batches(recipe.batch, recipe.micro_batch),
        recipe.max_grad_norm,
        recipe.betas,
        recipe.epsilon,
        autocast=choose_dtype(recipe.dtype, device) is torch.bfloat16,
    )
    shapes = {name: parameter.shape for name, parameter in undivided.named_parameters()}
    groups = parameter_groups(model, recipe)
    return DistributedModel(model, groups, optimisation, ranks.layout, cuts_of(model), shapes)  # type: ignore[arg-type]


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Decoupled decay on matrices alone; parameters by their share of the learning rate, where shares differ."""
    named = dict(model.named_parameters())
    layers = len({found[1] for name in named if (found := _LAYER.match(name))})
    by_rate: dict[float, list[nn.Parameter]] = {}
    for name, parameter in named.items():
        by_rate.setdefault(rate_of(name, layers, recipe), []).append(parameter)
    groups: list[dict[str, Any]] = []
    for rate, parameters in by_rate.items():
        own = {} if len(by_rate) == 1 else {RATE: rate}
        matrices, vectors = [p for p in parameters if p.dim() >= 2], [p for p in parameters if p.dim() < 2]
        groups.append({"params": matrices, "weight_decay": recipe.weight_decay, **own})
        groups.append({"params": vectors, "weight_decay": 0.0, **own})
    return [group for group in groups if group["params"]]


def rate_of(name: str, layers: int, recipe: Recipe) -> float:
    """A parameter's learning rate as a share of the recipe's: the head has all of it, each layer down a share less."""
    if name == TABLE:
        return recipe.embedding_rate
    if name.startswith("encoder.embeddings."):
        return recipe.layerwise_lr_decay ** (layers + 1)
    if found := _LAYER.match(name):
        return recipe.layerwise_lr_decay ** (layers - int(found[1]))
    return 1.0


def weights_of(engine: FineTuningEngine) -> dict[str, Tensor]:
    """All weights, whole, on the CPU: on the first rank. All must ask."""
    return {name: tensors[WEIGHTS] for name, tensors in engine.state_stream((WEIGHTS,))}
