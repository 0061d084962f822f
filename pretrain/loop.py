"""The training loop: batches in; steps, numbers, validations and checkpoints out, from the last checkpoint on.

Every rank runs it and does the same collectives in the same order. Rank 0 alone writes and talks.
"""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.errors import XlmrError
from pipeline.progress import ProgressBar
from pipeline.storage import write_json
from pipeline.terminal import say
from pretrain.checkpoints.checkpoint import About, CheckpointFolder, Keeping, Progress, check_fits
from pretrain.checkpoints.writer import CheckpointWriter
from pretrain.data.first_batch import write_first_batch
from pretrain.data.loader import Loader, Prepared
from pretrain.data.material import Material, stream_of
from pretrain.data.sequences import SequenceFolder
from pretrain.distributed import StepOutcome
from pretrain.engine import Engine
from pretrain.model import ModelConfig
from pretrain.ranks.stopping import from_rank_0, largest_of_ranks, raise_stop, stop_signals
from pretrain.settings import PretrainConfig, TrainSettings
from pretrain.tracking.metrics import METRICS, Journal, NoJournal
from pretrain.tracking.trackers import REMEMBERED
from pretrain.validation import Losses, Validation, count_tokens

CHECKPOINTS, BASELINES, FIRST_BATCH = "checkpoints", "baselines.json", "first-batch.txt"
NONE, FAILED = -1, -2
"""What rank 0 says instead of a step to resume from."""


@dataclass(frozen=True)
class Step:
    """A step that was made."""

    epoch: int
    loss: float
    learning_rate: float
    outcome: StepOutcome


class Training:
    """One rank's training into ``output``."""

    def __init__(
        self, engine: Engine, architecture: ModelConfig, material: Material, config: PretrainConfig, output: Path,
        context: Context,
    ) -> None:  # fmt: skip
        self._engine, self._architecture, self._config = engine, architecture, config
        self._data, self._settings = config.data, config.train
        self._material, self._output, self._context = material, output, context
        sequences, data = material.sequences, config.data
        masker = material.masker(data)
        self._loader = Loader(stream_of(material, config, (engine.data_rank, engine.data_world)), masker)
        self._validation = Validation(sequences, data.validation_sequences, masker)
        self._of_pairs = Validation(
            material.pairs or replace(sequences, validation={}), data.validation_sequences, masker
        )
        keeping = Keeping(self._settings.keep_last, self._settings.keep_every, self._settings.keep_best)
        saver = context.saver if self._leads else None
        beside = [output / name for name in (METRICS, REMEMBERED, FIRST_BATCH)]
        self._folder = CheckpointFolder(output / CHECKPOINTS, keeping, saver, beside)
        self._writer = CheckpointWriter(self._folder, int(self._settings.checkpoint_memory * 1e9))
        self._journal: Journal | NoJournal = NoJournal()
        self._done = Progress()
        self._measured: tuple[int, float] = (-1, math.nan)
        self._best = math.inf
        self._waited = 0.0

    @property
    def _leads(self) -> bool:
        return self._engine.rank == 0

    def run(self) -> Counts:
        """Train to the last step. Errors: XlmrError when steps are not finite, or a signal said to stop."""
        self._done = self._resume()
        self._begun, self._started = self._done, time.monotonic()
        self._saved = self._started
        with ExitStack() as stack:
            if self._leads:
                self._journal = Journal(self._output, self._done.step, self._settings.trackers)
                write_baselines(self._output / BASELINES, self._material.sequences, self._validation)
            stack.callback(self._journal.close)
            bar = stack.enter_context(self._context.progress("steps", self._settings.steps, "steps"))
            stop = stack.enter_context(stop_signals())
            stack.enter_context(self._writer)
            if self._done.step:
                bar.begin_at(self._done.step, "")
            elif self._settings.init_from:
                self._evaluate()  # what the model knew that is gone on from
            self._steps(bar, stop)
        if self._measured[0] != self._done.step:  # the last checkpoint was there already
            self._measured = (self._done.step, self._losses(self._validation).overall)
        self._wait_for_rank_0()
        self._folder.settle()
        return self._counts()

    def _steps(self, bar: ProgressBar, stop: list[int]) -> None:
        batches = self._loader.between(self._done.step, self._settings.steps)
        while self._done.step < self._settings.steps:
            waiting = time.monotonic()
            prepared = next(batches)
            self._waited += time.monotonic() - waiting
            if prepared.step == 0 and self._leads:
                mask = self._material.sequences.mask
                write_first_batch(self._output / FIRST_BATCH, prepared, self._material.tokenizer, mask)
            step = self._step(prepared)
            self._record(step)
            better = self._evaluate_if_due()
            bar.advance(1, self._describe(step))
            signalled = self._save_if_due(stop, better=better)
            if signalled and self._done.step < self._settings.steps:
                self._writer.finish()
                self._wait_for_rank_0()
                raise_stop(signalled, self._done.step)

    def _step(self, prepared: Prepared) -> Step:
        engine, masked = self._engine, prepared.masked
        of_all_ranks = max(engine.sum_over_ranks(len(masked.labels)), 1.0)
        engine.start_step(prepared.step)
        summed = [engine.accumulate(part, of_all_ranks) for part in masked.split(self._settings.micro_batch)]
        rate = learning_rate(prepared.step, self._settings)
        outcome = engine.step(rate)
        loss = engine.sum_over_ranks(float(torch.stack(summed).sum())) / of_all_ranks
        self._done = replace(
            self._done,
            step=prepared.step + 1,
            applied=self._done.applied + outcome.applied,
            skipped_in_a_row=0 if outcome.applied else self._done.skipped_in_a_row + 1,
            tokens=self._done.tokens + self._settings.global_batch * self._material.sequences.sequence_length,
        )
        return Step(prepared.drawn.epoch, loss, rate, outcome)

    def _record(self, step: Step) -> None:
        done, applied = self._done, step.outcome.applied
        if self._is_due(self._settings.log_every) or done.step == 1 or not applied:
            self._journal.write(
                step=done.step, epoch=step.epoch, loss=step.loss, learning_rate=step.learning_rate,
                gradient_norm=step.outcome.gradient_norm, applied=applied, skipped=done.step - done.applied,
                tokens=done.tokens, seconds=self._seconds(), waited_for_data=self._waited,
            )  # fmt: skip
        if not applied:
            if self._leads:
                self._context.warn(
                    f"step {done.step} was skipped: its loss ({step.loss:.3g}) or gradient is not finite"
                )
            stop_if_hopeless(done, self._settings)

    def _evaluate_if_due(self) -> bool:
        """Whether the model was measured, and found better than at any checkpoint."""
        if not self._is_due(self._settings.evaluate_every):
            return False
        loss = self._evaluate()
        better = loss < self._best
        self._best = min(self._best, loss)
        return better

    def _evaluate(self) -> float:
        losses, pairs = self._losses(self._validation), self._losses(self._of_pairs)
        self._measured = (self._done.step, losses.overall)
        extra = {"pairs_loss": pairs.overall, "by_pair": pairs.by_language} if pairs.by_language else {}
        self._journal.write(
            step=self._done.step, validation_loss=losses.overall, by_language=losses.by_language, **extra
        )
        return losses.overall

    def _save_if_due(self, stop: list[int], *, better: bool) -> int:
        """Save where a rank thinks that it is time. The number of the signal that one of them got, or 0."""
        late = time.monotonic() - self._saved > self._settings.checkpoint_seconds
        best = better and self._leads and self._settings.keep_best
        said = largest_of_ranks(self._engine, stop[0] if stop else 0, late or best)
        signalled, wanted = int(said[0]), said[1]
        if self._is_due(self._settings.checkpoint_every) or signalled or wanted:
            at, loss = self._measured
            measured = loss if at == self._done.step and math.isfinite(loss) else None
            timed = replace(self._done, seconds=self._seconds())
            sequences = self._material.sequences
            about = About(self._architecture, sequences.vocabulary_size, timed, measured, sequences.vocabulary)
            self._save(about)
            self._saved = time.monotonic()
        return signalled

    def _save(self, about: About) -> None:
        stream = self._engine.state_stream()
        if self._leads:
            self._writer.save(stream, about)
        else:
            for _ in stream:  # every rank has its part in it
                pass

    def _losses(self, validation: Validation) -> Losses:
        return validation.losses(self._engine, self._settings.micro_batch)

    def _is_due(self, every: int) -> bool:
        return self._done.step % every == 0 or self._done.step == self._settings.steps

    def _seconds(self) -> float:
        return self._begun.seconds + time.monotonic() - self._started

    def _wait_for_rank_0(self) -> None:
        """A rank that left earlier would have the launcher end the others."""
        largest_of_ranks(self._engine, 0.0)

    def _resume(self) -> Progress:
        """Load the newest whole checkpoint, if there is one, and say so. Rank 0 chooses and verifies it."""
        if not self._leads:
            return self._follow()
        try:
            checkpoint, faults = self._folder.newest()
            if checkpoint is not None:
                sequences = self._material.sequences
                check_fits(checkpoint, self._architecture, sequences.vocabulary_size, sequences.vocabulary)
        except XlmrError:
            from_rank_0(self._engine, FAILED)
            raise
        for line in faults:
            self._context.warn(f"{line}; the checkpoint before it is used")
        from_rank_0(self._engine, NONE if checkpoint is None else checkpoint.progress.step)
        if checkpoint is None:
            return Progress()
        self._engine.load_state(checkpoint.load(), checkpoint.progress.applied)
        self._folder.resume_from(checkpoint.progress.step)
        self._best = min(self._folder.losses().values(), default=math.inf)
        self._context.log.event("resumed", stage=self._context.stage, checkpoint=str(checkpoint.folder))
        say(f"  {self._context.stage}: resuming after step {checkpoint.progress.step:,}")
        return checkpoint.progress

    def _follow(self) -> Progress:
        step = int(from_rank_0(self._engine, NONE))
        if step == FAILED:
            raise XlmrError("rank 0 has no checkpoint to resume from", "see what it said")
        if step == NONE:
            return Progress()
        checkpoint = self._folder.at(step)
        self._engine.load_state(checkpoint.load(), checkpoint.progress.applied)
        return checkpoint.progress

    def _describe(self, step: Step) -> str:
        """The note beside the progress bar."""
        speed = (self._done.tokens - self._begun.tokens) / (time.monotonic() - self._started)
        loss = self._measured[1]
        validation = "" if math.isnan(loss) else f", validation {loss:.3f}"
        return f"loss {step.loss:.3f}{validation}, {speed:,.0f} tokens/s"

    def _counts(self) -> Counts:
        loss, done, seconds = self._measured[1], self._done, self._seconds()
        return {
            "steps": done.step,
            "skipped_steps": done.step - done.applied,
            "tokens": done.tokens,
            "tokens_per_second": round(done.tokens / max(seconds, 1e-9)),
            "waited_for_data_seconds": round(self._waited, 1),
            "validation_loss": None if math.isnan(loss) else round(loss, 4),
        }


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Linear warm-up to the peak, then linear decay to zero (RoBERTa, section 2). ``step`` counts from 0."""
    if step < settings.warmup_steps:
        return settings.peak_learning_rate * (step + 1) / settings.warmup_steps
    return settings.peak_learning_rate * (settings.steps - step) / max(settings.steps - settings.warmup_steps, 1)


def stop_if_hopeless(done: Progress, settings: TrainSettings) -> None:
    """Errors: XlmrError after too many skipped steps in a row."""
    if done.skipped_in_a_row >= settings.max_skipped:
        raise XlmrError(
            f"{done.skipped_in_a_row} steps in a row were not finite, up to step {done.step}",
            "lower pretrain.train.peak_learning_rate, or lengthen pretrain.train.warmup_steps",
        )


def write_baselines(path: Path, sequences: SequenceFolder, validation: Validation) -> None:
    """What a loss is held against: see pretrain.validation."""
    if path.exists() or not validation.batches:
        return
    counts = count_tokens(sequences)
    write_json(
        path,
        {
            "uniform": validation.uniform_loss(sequences.vocabulary_size),
            "unigram": asdict(validation.unigram_losses(counts)),
            "language_unigram": asdict(validation.language_unigram_losses(counts)),
        },
    )
