"""The whole state of a training as named fp32 tensors, wherever its parts are: any ZeRO stage, any tensor-parallel cut.

Parameter by parameter: no rank ever has to hold more than one whole tensor besides its own parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pretrain.parallel import Cut, Group

WEIGHTS = "weights"
MOMENTS = ("exp_avg", "exp_avg_sq")
"""Adam's names for the running means of the gradient and of its square."""

PARTS = (WEIGHTS, *MOMENTS)

State = dict[str, dict[str, Tensor]]
"""``weights``, ``exp_avg``, ``exp_avg_sq``: parameter name -> whole fp32 tensor on the CPU."""

Source = Mapping[str, Mapping[str, Tensor]]
"""What is read like a State. Each tensor is asked for once, parameter by parameter: it may be read from a file then."""


class Groups(Protocol):
    """The ranks that share tensors, and those that share the rest of the state."""

    @property
    def tensor(self) -> Group:
        """Each has a part of every matrix."""

    @property
    def data(self) -> Group:
        """Each has the same part of the tensors."""


@dataclass(frozen=True)
class Places:
    """Where the state is: the parameters, Adam, DeepSpeed around it, the ZeRO stage, and how tensors are cut."""

    parameters: Mapping[str, nn.Parameter]
    adam: torch.optim.Optimizer
    zero: Any
    stage: int
    layout: Groups
    cuts: Mapping[str, Cut]
    shapes: Mapping[str, torch.Size]

    def begin(self, steps: int) -> None:
        """Give Adam moments of zero, as after ``steps``: in place, because DeepSpeed holds on to the first."""
        for parameter in self._own_parameters():
            state = self.adam.state[parameter]
            for key in MOMENTS:
                state[key] = state[key].zero_() if key in state else torch.zeros_like(parameter, requires_grad=False)
            state["step"] = torch.tensor(float(steps), device=parameter.device)
        if self.stage in (1, 2):
            self.zero._lazy_init_hp_params_optimizer_state()

    def stream(self, parts: tuple[str, ...] = PARTS) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Each parameter's name with its weights and moments, or some of them, whole, on the CPU: on rank 0.

        Every rank must go through it to the end; the others are given nothing.
        """
        for name, parameter in self.parameters.items():
            found = {part: self._whole(name, parameter, part) for part in parts}
            if self.layout.data.rank == self.layout.tensor.rank == 0:
                yield name, {part: tensor for part, tensor in found.items() if tensor is not None}

    @torch.no_grad()
    def take(self, state: Source, steps: int) -> None:
        """Put a whole state into the places, this rank's parts of it."""
        self.begin(steps)
        for name, parameter in self.parameters.items():
            for part in PARTS:
                own = self.cuts[name].part(state[part][name], self.layout.tensor)
                self._put(parameter, part, own.to(parameter.device, torch.float32))

    @torch.no_grad()
    def take_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Put whole weights into the places, and leave Adam as it is."""
        for name, parameter in self.parameters.items():
            own = self.cuts[name].part(weights[name], self.layout.tensor)
            self._put(parameter, WEIGHTS, own.to(parameter.device, torch.float32))

    def _own_parameters(self) -> list[Tensor]:
        """What Adam sees: the parameters, or under ZeRO this rank's flat parts of them."""
        if self.stage == 3:
            return list(self.zero.fp32_partitioned_groups_flat)
        return [parameter for group in self.adam.param_groups for parameter in group["params"]]

    def _whole(self, name: str, parameter: Any, part: str) -> Tensor | None:
        key = None if part == WEIGHTS else part
        if self.stage == 3:
            tensor = parameter._z3_optimizer.get_full_hp_param(parameter, key)
        elif self.stage:
            tensor = parameter.get_full_hp_param(key)
        else:
            tensor = self._moment(parameter, part) if key else parameter
        if self.layout.data.rank:
            return None  # the first of the data-parallel ranks has the same
        cut, group = self.cuts[name], self.layout.tensor
        if cut.dim is None:
            return _copy(tensor) if group.rank == 0 else None
        parts = group.parts(tensor.detach(), cut.shapes(self.shapes[name], group.world))
        # Joined on the CPU: a GPU would need the whole tensor's memory a second time.
        return cut.join([_copy(own) for own in parts]) if parts is not None else None

    def _moment(self, parameter: Any, part: str) -> Tensor:
        """One of Adam's; it has none yet of what never had a gradient."""
        found: Tensor | None = self.adam.state[parameter].get(part)
        return torch.zeros_like(parameter, requires_grad=False) if found is None else found

    def _put(self, parameter: Any, part: str, value: Tensor) -> None:
        key = None if part == WEIGHTS else part
        if self.stage == 3:
            _put_partitioned(parameter, key, value, self.layout.data)
            return
        if key is None:
            parameter.copy_(value)
        if self.stage:
            parameter.set_full_hp_param(value, key)
        elif key is not None:
            self.adam.state[parameter][key].copy_(value)


def collected(stream: Iterator[tuple[str, dict[str, Tensor]]]) -> State:
    """What ``Places.stream`` gives, at once. Empty where it gives nothing."""
    state: State = {part: {} for part in PARTS}
    for name, tensors in stream:
        for part, tensor in tensors.items():
            state[part][name] = tensor
    return state


def _put_partitioned(parameter: Any, key: str | None, value: Tensor, group: Group) -> None:
    """Under ZeRO-3: the fp32 part of this rank, and the weights that are multiplied with, which are in parts too."""
    size = parameter.ds_tensor.numel()
    padded = value.new_zeros(size * group.world)
    padded[: value.numel()] = value.flatten()
    own = padded.narrow(0, size * group.rank, size)
    parameter._z3_optimizer.set_local_hp_param(own, parameter, key)
    if key is None:
        parameter.ds_tensor.copy_(own)
        if parameter.numel() == value.numel():  # a small one, which stays whole on every rank
            parameter.copy_(value)


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32, copy=True).contiguous()
