"""MLflow and Weights & Biases: each an extra, each off unless the settings name it, each given the same numbers.

Where they report to is said in their own environment variables (MLFLOW_TRACKING_URI, WANDB_PROJECT, WANDB_MODE …).
A resumed training reports to the run that it began: trackers.json remembers which.
"""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pipeline.errors import XlmrError
from pipeline.plug_ins import calling
from pipeline.storage import read_json, write_json
from pretrain.choices import TRACKERS

REMEMBERED = "trackers.json"


class Tracker(Protocol):
    """Takes numbers by step; ``run`` is what it calls the run."""

    run: str

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        """The numbers of one record, by tag."""

    def close(self) -> None:
        """The training ends here, for now."""


class MlflowTracker:
    """A run of MLflow."""

    def __init__(self, name: str, known: str | None) -> None:
        self._mlflow = _import("mlflow")
        self.run: str = self._mlflow.start_run(run_id=known, run_name=None if known else name).info.run_id

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        """The numbers of one record."""
        self._mlflow.log_metrics(dict(scalars), step=step)

    def close(self) -> None:
        """End the run, which another process may resume."""
        self._mlflow.end_run()


class WandbTracker:
    """A run of Weights & Biases."""

    def __init__(self, name: str, known: str | None) -> None:
        self.run = known or uuid.uuid4().hex[:12]
        self._run = _import("wandb").init(id=self.run, name=name, resume="allow")

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        """The numbers of one record; a record of the same step joins it."""
        self._run.log(dict(scalars), step=step)

    def close(self) -> None:
        """End the run, which another process may resume."""
        self._run.finish()


def open_trackers(names: Sequence[str], output: Path) -> list[Tracker]:
    """The trackers of a training; each run has the output folder's name, and is resumed if it was begun before."""
    path = output / REMEMBERED
    known: dict[str, str] = read_json(path) if path.exists() else {}
    trackers: list[Tracker] = []
    for name in names:
        make: Callable[[str, str | None], Tracker] = TRACKERS.load(name)
        with calling(TRACKERS.import_string(name)):
            tracker = make(f"{output.parent.parent.name}/{output.name}", known.get(name))
            known[name] = str(tracker.run)
        trackers.append(tracker)
    if trackers:
        write_json(path, known)
    return trackers


def _import(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise XlmrError(
            f"pretrain.train.trackers names {package}, which is not installed",
            f"pip install 'xlmr-pipeline[{package}]', or take it out of the settings",
        ) from None
