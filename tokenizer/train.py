"""The stage tokenizer.train: the drawn text -> sentencepiece.bpe.model, Hugging Face's files, the pieces as a table.

The trainer is a child process; its log is followed for progress and errors. An existing model replaces the training.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.stage import Inputs
from pipeline.storage import write_json
from tokenizer.folder import load_tokenizer
from tokenizer.hugging_face import write_tokenizer
from tokenizer.model_file import round_scores
from tokenizer.names import MODEL_FILE
from tokenizer.sample import TEXT
from tokenizer.settings import SentencePieceSettings
from tokenizer.stages import TrainStage
from tokenizer.trainer_log import TrainerLog
from tokenizer.vocabulary import pieces_by_script, write_table

LOG = ".trainer.log"  # hidden: its timings differ from run to run, and an output must not
SCRIPTS = "scripts.json"
LARGE = 1 << 31
"""Bytes of text from which there may be as many characters."""

TICK = 1.0
"""Seconds between two updates of a phase's time while the trainer writes nothing."""


def run(config: TrainStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Train, or use the existing model, and write the vocabulary's files."""
    existing = config.existing.path()
    about = _learn(config.train, inputs["tokenizer.sample"], output, context) if existing is None else {}
    tokenizer = load_tokenizer(existing or output / MODEL_FILE)
    write_tokenizer(tokenizer, output)
    write_table(tokenizer, output / "vocabulary.tsv")
    scripts = pieces_by_script(tokenizer)
    write_json(output / SCRIPTS, scripts)
    return {"vocab_size": tokenizer.vocab_size, **about, "scripts": len(scripts)}


def _learn(settings: SentencePieceSettings, sample: Path, output: Path, context: Context) -> Counts:
    """Train on the drawn text, and count it."""
    texts = sorted((sample / TEXT).glob("*/*.txt"))
    with context.progress("") as bar:
        log = train_model(
            settings, texts, output / MODEL_FILE, output / LOG,
            lambda log: bar.show(log.phase, log.done, log.total, log.unit, log.note),
        )  # fmt: skip
    for line in log.warnings:
        context.warn(line)
    return {"text_bytes": log.text_bytes, "lines": log.lines, "alphabet": log.alphabet}


def train_model(
    settings: SentencePieceSettings,
    texts: Sequence[Path],
    model: Path,
    kept: Path,
    show: Callable[[TrainerLog], None] = lambda log: None,
) -> TrainerLog:
    """Train on the lines of ``texts``; write the model file, and the trainer's log to ``kept``.

    ``show`` is called with the state of the log every second. Errors: XlmrError when the trainer refuses or
    dies.
    """
    log = TrainerLog(settings.vocab_size, sum(path.stat().st_size for path in texts))
    order = {
        "texts": [str(path) for path in texts],
        "model": str(model),
        "options": trainer_options(settings, log.text_bytes),
        "seed": settings.seed,
    }
    with kept.open("w", encoding="utf-8") as lines:
        code = run_trainer(order, log, show, lines)
    if code:
        raise log.explain(code, kept)
    if settings.score_bits and settings.model_type == "unigram":
        model.write_bytes(round_scores(model.read_bytes(), settings.score_bits))
    return log


def trainer_options(settings: SentencePieceSettings, text_bytes: int) -> dict[str, Any]:
    """The options of ``SentencePieceTrainer.train``. By its defaults <unk> <s> </s> are 0, 1, 2 and there is no <pad>,
    as in XLM-R's model.
    """
    return {
        **settings.model_dump(exclude={"score_bits", "seed"}),
        "user_defined_symbols": list(settings.user_defined_symbols),
        # Its suffix array counts characters in 32 bits by default, and it crashes where there are more.
        "train_extremely_large_corpus": text_bytes >= LARGE,
        # The sample has cut long lines already, by its own setting; nothing may be dropped here.
        "max_sentence_length": 1 << 30,
    }


def run_trainer(order: dict[str, Any], log: TrainerLog, show: Callable[[TrainerLog], None], kept: IO[str]) -> int:
    """Run the child and follow its log, which is written to ``kept``. Returns its exit code."""
    with _child() as process:
        assert process.stdin is not None
        assert process.stderr is not None
        json.dump(order, process.stdin)
        process.stdin.close()
        for line in lines_or_ticks(process.stderr):
            if not line.startswith("READ "):
                kept.write(line)
            log.read(line)
            show(log)
        return process.wait()


def lines_or_ticks(stream: Iterable[str], tick: float = TICK) -> Iterator[str]:
    """The lines of a stream as they come, and an empty text for each ``tick`` seconds without one."""
    waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for line in stream:
                waiting.put(line)
        except (OSError, ValueError):  # closed, because the trainer was stopped
            pass
        finally:
            waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = waiting.get(timeout=tick)
        except queue.Empty:
            line = ""
        if line is None:
            return
        yield line


@contextmanager
def _child() -> Iterator[subprocess.Popen[str]]:
    # By path and with -P: it works in any folder, and the package's modules do not hide others of the same name.
    script = Path(__file__).with_name("trainer_process.py")
    process = subprocess.Popen(
        [sys.executable, "-P", str(script)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, encoding="utf-8", errors="replace",
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stderr):
            if pipe is not None:
                pipe.close()
