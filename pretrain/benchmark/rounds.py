"""The rounds of a benchmark: ours, Hugging Face's and a matrix product in turn; figures of each side come out."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import torch

from pipeline.errors import XlmrError
from pretrain.benchmark.hugging_face_loop import RATE, HuggingFaceLoop
from pretrain.benchmark.meter import MatrixProduct, Parts, bytes_added, bytes_held, seconds_of
from pretrain.benchmark.random_sequences import random_sequences
from pretrain.cost.flops import training_flops
from pretrain.cost.workload import Workload
from pretrain.data.loader import Loader, measure_loader
from pretrain.data.masking import MaskedVocabulary, Masker
from pretrain.data.mixing import mixing_of
from pretrain.data.sequences import open_sequences
from pretrain.data.stream import Stream
from pretrain.engine import Engine
from pretrain.model import ModelConfig, build
from pretrain.settings import DataSettings

SEED = 1
LOADER_SECONDS = 0.5


@dataclass(frozen=True)
class MeasurePlan:
    """How much is measured: steps a round, rounds, and whether Hugging Face's loop is too."""

    steps: int
    rounds: int
    theirs: bool = True
    compile_theirs: bool = False


@dataclass
class Side:
    """What one of the two did. ``seconds`` are of a step in each round; ``parts`` of one with everything waited for.

    ``bytes_held`` stay between steps; ``bytes_added`` are the most that a step has besides.
    """

    tokens_per_step: int
    flops_per_token: float
    micro_batch: int
    bytes_held: int = 0
    bytes_added: int = 0
    seconds: list[float] = field(default_factory=list)
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def step_seconds(self) -> float:
        """The median of the rounds."""
        return median(self.seconds)

    @property
    def tokens_per_second(self) -> float:
        """Of all ranks together."""
        return self.tokens_per_step / self.step_seconds


@dataclass
class Result:
    """A benchmark. ``peak`` is the most operations a second that the matrix product made, of one device.

    ``loader`` is the tokens per second that drawing and masking alone give, by one thread, on each of ``data_ranks``.
    """

    work: Workload
    device: str
    dtype: str
    ranks: int
    useful_flops: float
    peak: float
    loader: float
    data_ranks: int
    ours: Side
    theirs: Side | None
    why_not: str = ""

    def share_of_peak(self, side: Side) -> float:
        """Useful operations (scores at masked positions only) a second, of the peak of all devices."""
        return side.tokens_per_second * self.useful_flops / (self.peak * self.ranks)

    @property
    def loader_ratio(self) -> float:
        """What the loader alone gives, by what the model takes."""
        return self.loader * self.data_ranks / self.ours.tokens_per_second

    def ratios(self) -> tuple[float, float, float]:
        """Their time by ours in the rounds: lowest, median, highest."""
        assert self.theirs is not None
        found = sorted(b / a for a, b in zip(self.ours.seconds, self.theirs.seconds, strict=True))
        return found[0], median(found), found[-1]

    def heading(self) -> str:
        """What was measured, on what."""
        train = self.work.train
        how = [
            word for word, on in (("compiled", train.compile), ("recomputing", train.activation_checkpointing)) if on
        ]
        ranks = f" × {self.ranks}" if self.ranks > 1 else ""
        return (
            f"{self.work.name}: {self.work.parameters:,} parameters, {train.global_batch} sequences × "
            f"{self.work.length} tokens per step, {' '.join([self.dtype, *how])}, on {self.device}{ranks}; "
            f"peak {self.peak / 1e12:,.2f} TFLOP/s by a matrix product"
        )

    def as_json(self) -> dict[str, Any]:
        """Everything, for other programs; ``xlmr pretrain plan --measured`` reads it."""
        sides = {"ours": self.ours, "hugging_face": self.theirs}
        return {
            "workload": {
                "name": self.work.name, "shape": asdict(self.work.shape), "length": self.work.length,
                "parameters": self.work.parameters, "train": self.work.train.model_dump(mode="json"),
            },
            "device": self.device, "dtype": self.dtype, "ranks": self.ranks, "torch": torch.__version__,
            "threads": torch.get_num_threads(), "peak_flops_a_second": self.peak,
            "useful_flops_per_token": self.useful_flops,
            "loader_tokens_per_second": self.loader, "loader_ratio": self.loader_ratio,
            **{
                name: {
                    **asdict(side), "tokens_per_second": side.tokens_per_second, "mfu": self.share_of_peak(side),
                }
                for name, side in sides.items() if side is not None
            },
            "ratio": self.ratios()[1] if self.theirs is not None else None,
        }  # fmt: skip


def measure(work: Workload, plan: MeasurePlan) -> Result | None:
    """Build both, run the rounds. None on ranks other than 0. Errors: XlmrError where it does not fit."""
    torch.set_flush_denormal(True)
    try:
        with engine_of(work) as engine, loader_of(work, engine) as loader:
            return _Rounds(work, plan, engine, loader).run()
    except torch.OutOfMemoryError:
        raise XlmrError(
            "out of memory", "lower --batch, or give --activation-checkpointing, --zero-stage or --alone"
        ) from None
    finally:
        torch.set_flush_denormal(False)


def architecture_of(work: Workload) -> ModelConfig:
    """The model's, with all its numbers."""
    shape = work.shape
    return ModelConfig(
        shape.vocab_size, shape.num_hidden_layers, shape.hidden_size, shape.num_attention_heads,
        shape.intermediate_size, work.max_position_embeddings, shape.norm, work.dropout, work.attention_dropout,
    )  # fmt: skip


@contextmanager
def engine_of(work: Workload) -> Iterator[Engine]:
    """The training engine, closed at the end."""
    engine = Engine(build(architecture_of(work)), work.train, SEED)
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def loader_of(work: Workload, engine: Engine) -> Iterator[Loader]:
    """Random sequences, drawn and masked as in a training."""
    batch, vocabulary_size = work.train.global_batch, work.shape.vocabulary_size + 2
    with random_sequences(vocabulary_size, work.length, max(64, 4 * batch)) as source:
        sequences = open_sequences(source.folder)
        stream = Stream(
            sequences.train, work.length, batch, mixing_of(DataSettings()), SEED, engine.data_rank, engine.data_world
        )
        yield Loader(stream, Masker(MaskedVocabulary.plain(vocabulary_size), work.mask_rate, SEED))


class _Rounds:
    def __init__(self, work: Workload, plan: MeasurePlan, engine: Engine, loader: Loader) -> None:
        self.work, self.plan, self.engine, self.loader = work, plan, engine, loader
        self.device = engine.device
        self.next = 0
        tokens = work.train.global_batch * work.length
        useful = training_flops(work.shape, work.length, work.mask_rate)
        self.ours = Side(tokens, useful, work.train.micro_batch)
        self.theirs = Side(tokens, training_flops(work.shape, work.length, 1.0), work.train.micro_batch)
        self.their_loop: HuggingFaceLoop | None = None
        self.why_not = ""

    def run(self) -> Result | None:
        """Warm up, measure memory, then the rounds, then the parts of a step."""
        self._begin_ours()
        self._begin_theirs()
        product = MatrixProduct(self.device, self.engine.dtype)
        peak = product.flops_a_second()
        for _ in range(self.plan.rounds):
            self.ours.seconds.append(seconds_of(self._our_steps, self.device) / self.plan.steps)
            if self.their_loop is not None:
                self.theirs.seconds.append(seconds_of(self._their_steps, self.device) / self.plan.steps)
            peak = max(peak, product.flops_a_second())
        self.ours.parts = self._median_parts(self._our_step)
        if self.their_loop is not None:
            self.theirs.parts = self._median_parts(self._their_step)
        if self.engine.rank:
            return None
        return Result(
            self.work, _name(self.device), str(self.engine.dtype).removeprefix("torch."), self.engine.world,
            self.ours.flops_per_token, peak, measure_loader(self.loader, LOADER_SECONDS), self.engine.data_world,
            self.ours, self.theirs if self.their_loop is not None else None,
            self.why_not,
        )  # fmt: skip

    def _begin_ours(self) -> None:
        parts = Parts(self.device)
        for _ in range(3):  # the first compile and grow buffers
            self._our_step(parts)
        self.ours.bytes_held = bytes_held(self.device)
        self.ours.bytes_added = bytes_added(lambda: self._our_step(parts), self.device)
        self._our_steps()

    def _begin_theirs(self) -> None:
        if not self.plan.theirs or self.engine.world > 1:
            self.why_not = "" if not self.plan.theirs else "it is measured on one rank only"
            return
        before = bytes_held(self.device)
        try:
            loop = HuggingFaceLoop(
                architecture_of(self.work), self.work.train, self.device, self.engine.dtype,
                compiled=self.plan.compile_theirs,
            )  # fmt: skip
        except ImportError:
            self.why_not = "transformers is not installed"
            return
        except torch.OutOfMemoryError:
            self.why_not = "its model does not fit beside ours"
            return
        self.their_loop = loop
        parts = Parts(self.device)
        while not self._fits(parts):
            if not loop.halve():
                self.why_not, self.their_loop = "it does not fit, even with one sequence at once", None
                return
        self.theirs.micro_batch = loop.micro_batch
        self.theirs.bytes_held = bytes_held(self.device) - before
        self.theirs.bytes_added = bytes_added(lambda: self._their_step(parts), self.device)
        self._their_steps()

    def _fits(self, parts: Parts) -> bool:
        try:
            for _ in range(3):
                self._their_step(parts)
        except torch.OutOfMemoryError:
            return False
        return True

    def _our_steps(self) -> None:
        start, self.next = self.next, self.next + self.plan.steps
        for prepared in self.loader.between(start, self.next):
            self._step(prepared.step, prepared.masked)

    def _step(self, step: int, batch: Any) -> None:
        masked = self.engine.sum_over_ranks(len(batch.labels))
        self.engine.start_step(step)
        losses = [self.engine.accumulate(part, masked) for part in batch.split(self.work.train.micro_batch)]
        self.engine.step(RATE)
        float(torch.stack(losses).sum())

    def _their_steps(self) -> None:
        assert self.their_loop is not None
        start, self.next = self.next, self.next + self.plan.steps
        for prepared in self.loader.between(start, self.next):
            self.their_loop.step(prepared.masked)

    def _our_step(self, parts: Parts) -> None:
        engine = self.engine
        with parts.part("data"):
            batch = self.loader.prepare(self.next).masked
        masked = engine.sum_over_ranks(len(batch.labels))
        engine.start_step(self.next)
        with parts.part("backward"), parts.forward_of(engine.model):
            for part in batch.split(self.work.train.micro_batch):
                engine.accumulate(part, masked)
        with parts.part("optimiser"):
            engine.step(RATE)
        self.next += 1

    def _their_step(self, parts: Parts) -> None:
        assert self.their_loop is not None
        self.their_loop.step(self.loader.prepare(self.next).masked, parts)
        self.next += 1

    def _median_parts(self, step: Callable[[Parts], None]) -> dict[str, float]:
        found = []
        for _ in range(max(3, self.plan.rounds)):
            parts = Parts(self.device)
            step(parts)
            found.append(parts.seconds)
        return {name: median(parts[name] for parts in found) for name in found[0]}


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
