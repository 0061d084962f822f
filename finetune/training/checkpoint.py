"""What an interrupted run resumes from: weights, Adam's state, random state, and the epochs so far, in one file.

Tensors have their parameters' names, and are whole, so that any number of ranks resumes from what any other wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.storage import publish
from pretrain.checkpoints.state import PARTS, Source

NOT_WHOLE = (SafetensorError, OSError, KeyError, TypeError, ValueError)
"""What reading a file raises whose header is damaged, or says nothing of epochs."""

BEST, RNG = "best/", "rng/"


@dataclass(frozen=True)
class RunCheckpoint:
    """After an epoch: the epochs so far, the steps, the state, and the weights after the best epoch, on the CPU."""

    history: list[dict[str, Any]]
    steps: int
    state: Source
    best: Mapping[str, Tensor]


def save_checkpoint(
    path: Path, history: Sequence[Mapping[str, Any]], steps: int, state: Source, best: Mapping[str, Tensor]
) -> None:
    """Write everything atomically, and the random state."""
    tensors = {f"{part}/{name}": value for part in PARTS for name, value in state[part].items()}
    tensors |= {f"{BEST}{name}": value for name, value in best.items()}
    tensors[f"{RNG}cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors[f"{RNG}cuda"] = torch.cuda.get_rng_state()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    save_file(tensors, temporary, metadata={"history": json.dumps(list(history)), "steps": str(steps)})
    publish(temporary, path)


def load_checkpoint(path: Path | None) -> RunCheckpoint | None:
    """Read it, and restore the random state; None where there is no whole file."""
    if path is None or not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            history, steps = json.loads(file.metadata()["history"]), int(file.metadata()["steps"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except NOT_WHOLE:  # cut short by a full disk, say: begin again
        return None
    torch.set_rng_state(tensors[f"{RNG}cpu"])
    if f"{RNG}cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors[f"{RNG}cuda"])
    return RunCheckpoint(history, steps, {part: _under(tensors, f"{part}/") for part in PARTS}, _under(tensors, BEST))


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
