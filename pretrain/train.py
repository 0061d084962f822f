"""Stage pretrain.train: samples in; checkpoints, metrics.jsonl and baselines.json out. The loop stands in ``train``.

An interrupted run goes on from its newest whole checkpoint, and gives the same weights as one that was not.
"""

from __future__ import annotations

import datetime
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType

import numpy as np
import torch

from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.errors import XlmrError
from pipeline.stage import Inputs
from pipeline.storage import write_json
from pretrain.checkpoint import CheckpointFolder, Progress, check_architecture
from pretrain.engine import Engine
from pretrain.masking import mask_samples
from pretrain.metrics import Metrics
from pretrain.model import MaskedLanguageModel, ModelConfig, count_parameters
from pretrain.samples import SampleFolder, open_samples
from pretrain.stages import ModelSettings, PretrainConfig, TrainSettings
from pretrain.stream import Stream
from pretrain.validation import Validation, count_pieces

CHECKPOINTS, METRICS, BASELINES = "checkpoints", "metrics.jsonl", "baselines.json"


def run(config: PretrainConfig, inputs: Inputs, output: Path, context: Context) -> Counts:
    """The stage. Errors: XlmrError when the samples do not fit the model, or when the updates are not finite."""
    settings = config.train
    samples = open_samples(inputs["tokenizer.encode"])
    architecture = architecture_of(config.model, samples)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.set_flush_denormal(True)  # denormal numbers take a CPU a hundred times longer
    torch.manual_seed(config.data.seed)
    model = MaskedLanguageModel(architecture)
    if settings.start_from_frequencies:
        start_from_frequencies(model, samples)
    engine = Engine(model, settings, config.data.seed)
    try:
        return train(engine, samples, config, output, context)
    finally:
        engine.close()
        torch.set_flush_denormal(False)  # it holds for the whole process, and what runs after us may count on them


def train(engine: Engine, samples: SampleFolder, config: PretrainConfig, output: Path, context: Context) -> Counts:
    """The training, from its last checkpoint to its last update."""
    data, settings, architecture = config.data, config.train, engine.model.config
    stream = Stream(
        samples.train, samples.sample_length, settings.global_batch, data.alpha, data.seed, engine.rank, engine.world
    )
    validation = Validation(samples, data.validation_samples, data.mask_rate, data.seed)
    checkpoints = CheckpointFolder(output / CHECKPOINTS, settings.keep)
    done = begun = resume(engine, checkpoints, context)
    metrics = Metrics(output / METRICS, done.update)
    write_baselines(output / BASELINES, samples, validation)
    started = saved = time.monotonic()
    pieces_an_update = settings.global_batch * samples.sample_length
    loss = validation_loss = float("nan")

    with context.progress("updates", settings.updates, "updates") as bar, stop_signals() as stop:
        bar.advance(done.update)
        while done.update < settings.updates:
            drawn = stream.batch(done.update)
            batch = mask_samples(drawn.ids, samples.vocabulary_size, data.mask_rate, data.seed, done.update, drawn.rows)
            masked_positions = engine.sum_over_ranks(len(batch.targets))

            engine.start_update(done.update)
            summed = [engine.accumulate(part, masked_positions) for part in batch.split(settings.micro_batch)]
            rate = learning_rate(done.update, settings)
            outcome = engine.update(rate)
            loss = engine.sum_over_ranks(float(torch.stack(summed).sum())) / masked_positions

            done = replace(
                done,
                update=done.update + 1,
                applied=done.applied + outcome.applied,
                skipped_in_a_row=0 if outcome.applied else done.skipped_in_a_row + 1,
                pieces=done.pieces + pieces_an_update,
            )
            if not outcome.applied:
                context.warn(f"update {done.update} was skipped: its loss ({loss:.3g}) or gradient is not finite")
                stop_if_hopeless(done, settings)

            last = done.update == settings.updates
            if done.update % settings.log_every == 0 or done.update == 1 or last or not outcome.applied:
                metrics.write(
                    update=done.update, epoch=drawn.epoch, loss=loss, learning_rate=rate,
                    gradient_norm=outcome.gradient_norm, applied=outcome.applied, pieces=done.pieces,
                    seconds=done.seconds + time.monotonic() - started,
                )  # fmt: skip
            if done.update % settings.evaluate_every == 0 or last:
                losses = validation.losses(engine.score, settings.micro_batch)
                validation_loss = losses.overall
                metrics.write(update=done.update, validation_loss=losses.overall, by_language=losses.by_language)
            speed = (done.pieces - begun.pieces) / (time.monotonic() - started)
            left = (settings.updates - done.update) * pieces_an_update / speed
            bar.advance(1, describe(loss, validation_loss, speed, left))

            due = done.update % settings.checkpoint_every == 0 or last or stop
            if due or time.monotonic() - saved > settings.checkpoint_seconds:
                timed = replace(done, seconds=done.seconds + time.monotonic() - started)
                checkpoints.save(engine.state(), architecture, timed)
                saved = time.monotonic()
            if stop and not last:
                raise_stop(stop[0], done.update)

    if math.isnan(validation_loss):  # the last checkpoint was there already
        validation_loss = validation.losses(engine.score, settings.micro_batch).overall
    return counts_of(done, engine, validation_loss, done.seconds + time.monotonic() - started)


def architecture_of(settings: ModelSettings, samples: SampleFolder) -> ModelConfig:
    """The architecture for these samples. Errors: XlmrError when the samples are longer than the position table."""
    values = settings.model_dump()
    multiple = values.pop("rows_multiple_of")
    config = ModelConfig(vocabulary_rows=-(-samples.vocabulary_size // multiple) * multiple, **values)
    if samples.sample_length > config.longest_sample:
        raise XlmrError(
            f"samples have {samples.sample_length} pieces, the model has positions for {config.longest_sample}",
            f"set pretrain.model.positions to {samples.sample_length + 2} or more",
        )
    return config


@torch.no_grad()
def start_from_frequencies(model: MaskedLanguageModel, samples: SampleFolder) -> None:
    """Let the head's bias be ln of the pieces' frequencies, add-one.

    Adam moves a bias by about the learning rate an update, so a short run would otherwise pay thousands of updates
    for it, or bend the tied table into saying it.
    """
    counts = np.sum(list(count_pieces(samples).values()), axis=0) + 1.0
    model.head.bias[: len(counts)] = torch.from_numpy(np.log(counts / counts.sum()))
    model.head.bias[len(counts) :] = -np.log(counts.sum())


def resume(engine: Engine, checkpoints: CheckpointFolder, context: Context) -> Progress:
    """Load the newest whole checkpoint, if there is one, and say so."""
    checkpoint, faults = checkpoints.newest()
    for line in faults:
        context.warn(f"{line}; the checkpoint before it is used")
    if checkpoint is None:
        return Progress()
    check_architecture(checkpoint, engine.model.config)
    engine.load_state(checkpoint.load(), checkpoint.progress.applied)
    checkpoints.discard_after(checkpoint.progress.update)
    context.log.event("resumed", stage=context.stage, checkpoint=str(checkpoint.folder))
    print(f"  {context.stage}: going on after update {checkpoint.progress.update:,}", file=sys.stderr, flush=True)
    return checkpoint.progress


def learning_rate(update: int, settings: TrainSettings) -> float:
    """Linear warm-up to the peak, then linear decay to zero (RoBERTa, section 2). ``update`` counts from 0."""
    if update < settings.warmup:
        return settings.peak_learning_rate * (update + 1) / settings.warmup
    return settings.peak_learning_rate * (settings.updates - update) / max(settings.updates - settings.warmup, 1)


def stop_if_hopeless(done: Progress, settings: TrainSettings) -> None:
    """Errors: XlmrError after too many skipped updates in a row."""
    if done.skipped_in_a_row >= settings.max_skipped:
        raise XlmrError(
            f"{done.skipped_in_a_row} updates in a row were not finite, up to update {done.update}",
            "lower pretrain.train.peak_learning_rate, or lengthen pretrain.train.warmup",
        )


def describe(loss: float, validation_loss: float, pieces_a_second: float, seconds_left: float) -> str:
    """The note beside the progress bar."""
    validation = "" if math.isnan(validation_loss) else f", validation {validation_loss:.3f}"
    left = datetime.timedelta(seconds=round(seconds_left))
    return f"loss {loss:.3f}{validation}, {pieces_a_second:,.0f} pieces/s, {left} left"


def write_baselines(path: Path, samples: SampleFolder, validation: Validation) -> None:
    """What a loss is held against: see pretrain.validation."""
    if path.exists() or not validation.batches:
        return
    counts = count_pieces(samples)
    write_json(
        path,
        {
            "uniform": validation.uniform_loss(samples.vocabulary_size),
            "unigram": asdict(validation.unigram_losses(counts)),
            "language_unigram": asdict(validation.language_unigram_losses(counts)),
        },
    )


def counts_of(done: Progress, engine: Engine, validation_loss: float, seconds: float) -> Counts:
    """What the stage counted."""
    return {
        "updates": done.update,
        "skipped_updates": done.update - done.applied,
        "pieces": done.pieces,
        "pieces_per_second": round(done.pieces / max(seconds, 1e-9)),
        "parameters": count_parameters(engine.model),
        "validation_loss": None if math.isnan(validation_loss) else round(validation_loss, 4),
    }


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that gets the number of a SIGTERM or SIGINT; the loop saves and leaves when it finds one."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)

    if threading.current_thread() is not threading.main_thread():  # Python gives signals to the main thread alone
        yield received
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def raise_stop(number: int, update: int) -> None:
    """Leave after a signal; everything is saved."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise XlmrError(f"stopped by a signal after update {update}, which is saved", "the same command goes on from there")
