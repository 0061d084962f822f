"""What an interrupted run resumes from: weights, Adam's state, random state, and the epochs so far, in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.storage import publish

NOT_WHOLE = (SafetensorError, OSError, KeyError, TypeError, ValueError)
"""What reading a file raises whose header is damaged, or says nothing of epochs."""

MODEL, BEST, ADAM, RNG = "model/", "best/", "adam/", "rng/"


@dataclass(frozen=True)
class State:
    """The epochs so far, and the weights after the best of them, on the CPU."""

    history: list[dict[str, Any]] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)


def save_state(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    history: Sequence[Mapping[str, Any]],
    weights: Mapping[str, Tensor],
) -> None:
    """Write everything atomically, after an epoch. ``weights`` are those after the best one."""
    adam = optimizer.state_dict()["state"]
    tensors = {f"{ADAM}{number}/{name}": value for number, found in adam.items() for name, value in found.items()}
    tensors |= {f"{MODEL}{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"{BEST}{name}": value for name, value in weights.items()}
    tensors[f"{RNG}cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors[f"{RNG}cuda"] = torch.cuda.get_rng_state()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    save_file(whole, temporary, metadata={"history": json.dumps(list(history))})
    publish(temporary, path)


def on_the_cpu(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights, where it takes none of a GPU's memory."""
    return {name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()}


def epochs_in(path: Path | None) -> int:
    """Of how many epochs the file tells; 0 where there is no whole one."""
    if path is None or not path.exists():
        return 0
    try:
        with safe_open(path, "pt") as file:
            return len(json.loads(file.metadata()["history"]))
    except NOT_WHOLE:
        return 0


def load_state(
    path: Path | None,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
) -> State:
    """Put everything back as it was; nothing is done where there is no whole file."""
    if path is None or not path.exists():
        return State()
    device = next(model.parameters()).device
    try:
        with safe_open(path, "pt") as file:
            history = json.loads(file.metadata()["history"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except NOT_WHOLE:  # cut short by a full disk, say: begin again
        return State()
    model.load_state_dict(_under(tensors, MODEL))
    adam: dict[int, dict[str, Tensor]] = {}
    for name, value in _under(tensors, ADAM).items():
        number, _, kind = name.partition("/")
        adam.setdefault(int(number), {})[kind] = value
    steps = int(next(iter(adam.values()))["step"].item())
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": adam, "param_groups": groups})
    schedule.last_epoch = steps
    for group, rate, factor in zip(optimizer.param_groups, schedule.base_lrs, schedule.lr_lambdas, strict=True):
        group["lr"] = rate * factor(steps)
    torch.set_rng_state(tensors[f"{RNG}cpu"])
    if f"{RNG}cuda" in tensors and device.type == "cuda":
        torch.cuda.set_rng_state(tensors[f"{RNG}cuda"])
    return State(history, _under(tensors, BEST))


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
