"""Trainings of a model so small that hundreds of steps take seconds: in this process, or in ranks of their own.

``main([SPEC, RANK])`` is one rank of a training that a test may kill; see ``Spec``.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import forked

TINY = {
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 18,
}
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0}


def tiny_config(model: dict[str, Any] | None = None, data: dict[str, Any] | None = None, **train: Any) -> Any:
    from pretrain.settings import PretrainConfig

    settings = {
        "steps": 20, "global_batch": 8, "micro_batch": 8, "peak_learning_rate": 3e-3, "warmup_steps": 5,
        "dtype": "fp32", "threads": 1, "log_every": 1, "evaluate_every": 10, "checkpoint_every": 5,
    }  # fmt: skip
    return PretrainConfig(
        model={**TINY, **(model or {})}, data={"validation_sequences": 12, **(data or {})}, train={**settings, **train}
    )


def train_into(output: Path, sequences: Path, make_context: Any, config: Any, **inputs: Path) -> tuple[Any, Any]:
    """The stage's counts and its context."""
    from pretrain.train import run

    context = make_context(output)
    return run(config, {"tokenizer.encode": sequences, **inputs}, output, context), context


def losses_of(output: Path) -> list[float]:
    from pretrain.tracking.metrics import read_metrics

    return [record["loss"] for record in read_metrics(output / "metrics.jsonl") if "loss" in record]


def last_weights(output: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(max((output / "checkpoints").glob("step-*")) / "weights.safetensors")


@dataclass(frozen=True)
class Spec:
    """What ranks do: a training on ``sequences`` into ``output``.

    ``slow_writing``: seconds that each tensor takes. ``hold_at``: steps after which they wait until they are released.
    """

    sequences: Path
    output: Path
    world: int = 1
    model: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    slow_writing: float = 0.0
    hold_at: int | None = None


class Ranks:
    """Processes that train together. Use as a context manager: none of them outlives it."""

    def __init__(self, spec: Spec, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = uuid.uuid4().hex[:8]
        path = folder / f"{name}.json"
        path.write_text(json.dumps({**asdict(spec), "store": str(folder / f"{name}.store")}, default=str))
        self._go_file = path.with_suffix(".go")
        self.spec, self._said = spec, [folder / f"{name}-{rank}.txt" for rank in range(spec.world)]
        self.processes = [
            forked.start("tiny_training", [str(path), str(rank)], said) for rank, said in enumerate(self._said)
        ]

    def __enter__(self) -> Ranks:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        self.wait()

    def said(self, rank: int = 0) -> str:
        """All that a rank wrote to the terminal."""
        return self._said[rank].read_text()

    def kill(self) -> None:
        """``kill -9`` of all at once."""
        for process in self.processes:
            process.kill()

    def release(self) -> None:
        """On from ``hold_at``."""
        self._go_file.touch()

    def wait(self, timeout: float = 240) -> list[int]:
        """The exit codes."""
        return [process.wait(timeout) for process in self.processes]

    def wait_for(self, pattern: str, timeout: float = 240) -> None:
        """Until a file of this pattern is in the output."""
        deadline = time.monotonic() + timeout
        while not any(self.spec.output.glob(pattern)):
            assert all(process.poll() is None for process in self.processes), self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.003)

    def wait_for_step(self, step: int) -> None:
        """Until a checkpoint after ``step`` or later is there."""
        folder = self.spec.output / "checkpoints"
        while not any(int(path.name[5:]) >= step for path in folder.glob("step-*")):
            assert all(process.poll() is None for process in self.processes), self.said()
            time.sleep(0.003)


def hold(at: int, go_file: Path) -> None:
    """From now on: in the step after so many, wait for a file."""
    import pretrain.loop

    rate_of = pretrain.loop.learning_rate

    def learning_rate(step: int, settings: Any) -> float:
        while step == at and not go_file.exists():
            time.sleep(0.005)
        return rate_of(step, settings)

    pretrain.loop.learning_rate = learning_rate


def main(words: list[str]) -> int:
    """One rank of ``Ranks``."""
    import torch

    from pipeline.context import Context
    from pipeline.errors import XlmrError
    from pipeline.log import EventLog
    from pretrain.checkpoints.tensor_files import TensorWriter
    from pretrain.ranks.launch import QuietContext
    from pretrain.train import run

    path, rank = Path(words[0]), int(words[1])
    values = json.loads(path.read_text())
    store = f"file://{values.pop('store')}"
    spec = Spec(**values)
    if spec.world > 1:
        torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=spec.world)
    if spec.slow_writing:
        add = TensorWriter.add

        def slowly(writer: TensorWriter, name: str, tensor: torch.Tensor) -> None:
            time.sleep(spec.slow_writing)
            add(writer, name, tensor)

        TensorWriter.add = slowly  # type: ignore[method-assign]
    if spec.hold_at is not None:
        hold(spec.hold_at, path.with_suffix(".go"))
    output = Path(spec.output)
    output.mkdir(parents=True, exist_ok=True)
    log = EventLog(path.with_suffix(f".{rank}.jsonl"))
    context = QuietContext(output) if rank else Context("pretrain.train", output, 1, log)
    try:
        run(tiny_config(spec.model, **spec.train), {"tokenizer.encode": Path(spec.sequences)}, output, context)
    except XlmrError as error:
        print(error)
        return 1
    return 0
