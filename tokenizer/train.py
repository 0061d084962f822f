"""The stage tokenizer.train: the drawn text -> sentencepiece.bpe.model, Hugging Face's files, the pieces as a table.

The trainer is a child process; its log is read as it comes, for progress and for the mend of its refusals. A model that
is named is taken instead.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.errors import XlmrError
from pipeline.stage import Inputs
from pipeline.storage import write_json
from tokenizer.folder import load_tokenizer
from tokenizer.hugging_face import write_tokenizer
from tokenizer.model_file import round_scores
from tokenizer.sample import TEXT
from tokenizer.stages import MODEL_FILE, TrainSettings, TrainStage
from tokenizer.vocabulary import pieces_by_script, write_table

LOG = ".trainer.log"  # hidden: its timings differ from run to run, and an output must not
SCRIPTS = "scripts.json"
LARGE = 1 << 31
"""Bytes of text from which there may be as many characters."""

REFUSED = 3
"""Exit code of the child when SentencePiece refuses to train."""


class MisfitError(XlmrError):
    """The text has too few pieces, or too many characters, for the vocabulary that is asked for."""


def run(config: TrainStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Train, or take the model that is named; and write what the vocabulary holds."""
    existing = config.existing.path()
    about = _learn(config.train, inputs["tokenizer.sample"], output, context) if existing is None else {}
    tokenizer = load_tokenizer(existing or output / MODEL_FILE)
    write_tokenizer(tokenizer, output)
    write_table(tokenizer, output / "vocabulary.tsv")
    scripts = pieces_by_script(tokenizer)
    write_json(output / SCRIPTS, scripts)
    return {"pieces": tokenizer.vocabulary_size, **about, "scripts": len(scripts)}


def _learn(settings: TrainSettings, sample: Path, output: Path, context: Context) -> Counts:
    """Train on the drawn text, and count it."""
    texts = sorted((sample / TEXT).glob("*/*.txt"))
    with context.progress("", 100, "%") as bar:
        log = train_model(settings, texts, output / MODEL_FILE, output / LOG, bar.advance)
    for line in log.warnings:
        context.warn(line)
    return {"text_bytes": log.text_bytes, "lines": log.lines, "alphabet": log.alphabet}


def train_model(
    settings: TrainSettings,
    texts: Sequence[Path],
    model: Path,
    kept: Path,
    advance: Callable[[float, str], None] = lambda step, phase: None,
) -> TrainerLog:
    """Train on the lines of ``texts``; write the model file, and the trainer's log to ``kept``.

    ``advance`` is told how many per cent were done, and of what. Errors: XlmrError when the trainer refuses or dies.
    """
    log = TrainerLog(settings.vocabulary_size, sum(path.stat().st_size for path in texts))
    order = {
        "texts": [str(path) for path in texts],
        "model": str(model),
        "options": trainer_options(settings, log.text_bytes),
        "seed": settings.seed,
    }
    with kept.open("w", encoding="utf-8") as lines:
        code = run_trainer(order, log, advance, lines)
    if code:
        raise log.explain(code, kept)
    if settings.score_bits and settings.model_type == "unigram":
        model.write_bytes(round_scores(model.read_bytes(), settings.score_bits))
    return log


def trainer_options(settings: TrainSettings, text_bytes: int) -> dict[str, Any]:
    """The settings in SentencePiece's words. <unk> <s> </s> are 0, 1, 2 there and there is no <pad>, as
    in XLM-R's.
    """
    return {
        "model_type": settings.model_type,
        "vocab_size": settings.vocabulary_size,
        "character_coverage": settings.character_coverage,
        "byte_fallback": settings.byte_fallback,
        "split_digits": settings.split_digits,
        "split_by_unicode_script": settings.split_by_script,
        "split_by_number": settings.split_by_number,
        "max_sentencepiece_length": settings.longest_piece,
        "shrinking_factor": settings.shrinking_factor,
        "num_sub_iterations": settings.rounds,
        "normalization_rule_name": settings.normalisation,
        "user_defined_symbols": list(settings.user_defined_pieces),
        "input_sentence_size": settings.input_sentence_size,
        "seed_sentencepiece_size": settings.seed_pieces,
        "num_threads": settings.threads,
        # Its suffix array counts characters in 32 bits unless told otherwise, and dies of more than those hold.
        "train_extremely_large_corpus": text_bytes >= LARGE,
        # The sample has cut long lines already, by its own setting; nothing may be dropped here.
        "max_sentence_length": 1 << 30,
    }


def run_trainer(order: dict[str, Any], log: TrainerLog, advance: Callable[[float, str], None], kept: IO[str]) -> int:
    """Run the child and follow its log, which is written to ``kept``. Returns its exit code."""
    with _child() as process:
        assert process.stdin is not None
        assert process.stderr is not None
        json.dump(order, process.stdin)
        process.stdin.close()
        shown = 0.0
        for line in process.stderr:
            kept.write(line)
            log.read(line)
            advance(log.done - shown, log.phase)
            shown = log.done
        return process.wait()


@contextmanager
def _child() -> Iterator[subprocess.Popen[str]]:
    # By path and with -P: it works in any folder, and the room's modules do not hide others of the same name.
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


class TrainerLog:
    """SentencePiece's log, understood: how far it is, how many lines it took, what it dropped, why it
    refuses.
    """

    def __init__(self, vocabulary_size: int, text_bytes: int) -> None:
        self.done = 0.0
        self.phase = "reading the text"
        self.lines = 0
        self.alphabet = 0
        self.warnings: list[str] = []
        self._vocabulary_size = vocabulary_size
        self.text_bytes = text_bytes
        self._seeds = 0
        self._dropped = 0
        self._refusal = ""

    def read(self, line: str) -> None:
        """Take in one line of the log."""
        if line.startswith("REFUSED "):
            self._refusal = line.removeprefix("REFUSED ").strip()
        elif found := re.search(r"(?:Loaded all|Sampled) (\d+) sentences", line):
            self.lines = int(found[1])
            self._reach(5, "normalising")
        elif "Reserved chars are found. Skipped" in line:
            self._dropped += 1
            self.warnings = [f"{self._dropped:,} lines hold a character that SentencePiece reserves (U+2585): dropped"]
        elif found := re.search(r"Alphabet size=(\d+)", line):
            self.alphabet = int(found[1])
            self._reach(10, "finding candidates")
        elif found := re.search(r"Initialized (\d+) seed", line):
            self._seeds = int(found[1])
            self._reach(25, "pruning candidates")
        elif found := re.search(r"EM sub_iter=\d+ size=(\d+)", line):
            self._reach(25 + 74 * self._pruned(int(found[1])), f"pruning candidates: {int(found[1]):,} left")
        elif found := re.search(r"Merged: .* merges=(\d+)", line):
            wanted = max(self._vocabulary_size - self.alphabet, 1)
            self._reach(10 + 89 * min(1.0, int(found[1]) / wanted), f"merging: {int(found[1]):,} pieces")
        elif "Saving model" in line or re.search(r"Completed \d+ merge steps", line):
            self._reach(100, "writing")

    def _reach(self, done: float, phase: str) -> None:
        self.done = max(self.done, done)
        self.phase = phase

    def _pruned(self, left: int) -> float:
        """From 0 at the seeds to 1 at the vocabulary's size; each round keeps three quarters, so by
        logarithms.
        """
        whole = math.log(max(self._seeds, 2) / self._vocabulary_size)
        return min(1.0, max(0.0, math.log(max(self._seeds, 2) / left) / whole)) if whole > 0 and left > 0 else 0.0

    def explain(self, code: int, log: Path) -> XlmrError:
        """The refusal in one line, with the mend."""
        most = re.search(r"Please set it to a value <= (\d+)", self._refusal)
        least = re.search(r"smaller than required_chars\. \d+ vs (\d+)", self._refusal)
        wanted = f"{self._vocabulary_size:,}"
        if most:
            return MisfitError(
                f"{self.text_bytes:,} bytes of text give at most {int(most[1]):,} pieces, not {wanted}",
                f"lower tokenizer.train.vocabulary_size to {most[1]}, or raise tokenizer.sample.bytes",
            )
        if least:
            return MisfitError(
                f"the text has {int(least[1]):,} characters that each need a piece, more than {wanted}",
                "raise tokenizer.train.vocabulary_size, or lower tokenizer.train.character_coverage",
            )
        if "sentences_.empty()" in self._refusal or not self.text_bytes:
            return XlmrError("there is no text to learn from", "look at what corpus.regroup kept")
        if code == REFUSED:
            return XlmrError(f"SentencePiece refused: {self._refusal}", f"its log is {log}")
        killed = "was killed, probably for want of memory" if code < 0 else f"ended with code {code}"
        return XlmrError(f"the trainer {killed}; its log is {log}", "lower tokenizer.sample.bytes")
