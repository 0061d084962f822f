"""Parser of SentencePiece's training log: the phase, its progress where the log says it, the reason of a refusal."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.errors import XlmrError

REFUSED = 3
"""Exit code of the child when SentencePiece refuses to train."""


class MisfitError(XlmrError):
    """The text has too few pieces, or too many characters, for the vocabulary that is asked for."""


class TrainerLog:
    """The state of the trainer, by the lines read so far.

    ``phase`` is at ``done`` of ``total`` ``unit``; ``total`` is None where the log does not say it. ``note`` is what
    else is known of the phase.
    """

    def __init__(self, vocab_size: int, text_bytes: int) -> None:
        self.lines = 0
        self.alphabet = 0
        self.warnings: list[str] = []
        self.text_bytes = text_bytes
        self._vocab_size = vocab_size
        self._passes = 0
        self._dropped = 0
        self._refusal = ""
        self._begin("reading the text", text_bytes, "bytes")

    def read(self, line: str) -> None:
        """Read one line of the log."""
        if line.startswith("REFUSED "):
            self._refusal = line.removeprefix("REFUSED ").strip()
        elif line.startswith("READ "):
            self.done = float(line.split()[1])
        elif found := re.search(r"(?:Loaded all|Sampled) (\d+) sentences", line):
            self.lines = int(found[1])
            self._begin("normalising the text")
        elif "Reserved chars are found. Skipped" in line:
            self._dropped += 1
            self.warnings = [f"{self._dropped:,} lines hold a character that SentencePiece reserves (U+2585): dropped"]
        elif found := re.search(r"Alphabet size=(\d+)", line):
            self.alphabet = int(found[1])
            self._begin("splitting the text")
        else:
            self._read_of_candidates(line)

    def _read_of_candidates(self, line: str) -> None:
        if "Extracting seed sentencepieces" in line:
            self._begin("finding candidates")
        elif found := re.search(r"Initialized (\d+) seed", line):
            self._begin("counting words", note=f"{int(found[1]):,} candidates")
        elif found := re.search(r"EM sub_iter=\d+ size=(\d+)", line):
            # The number of passes depends on how many candidates each one drops, which is not known before.
            self._passes += 1
            left = f"{int(found[1]):,} candidates left, {self._vocab_size:,} are wanted"
            self._begin("pruning candidates", note=f"{left}, {self._passes} passes done")
        elif found := re.search(r"Merged: .* merges=(\d+)", line):
            self._begin("merging", max(self._vocab_size - self.alphabet, 1), "pieces")
            self.done = float(found[1])
        elif "Saving model" in line or re.search(r"Completed \d+ merge steps", line):
            self._begin("writing")

    def _begin(self, phase: str, total: float | None = None, unit: str = "", note: str = "") -> None:
        self.phase, self.total, self.unit, self.note, self.done = phase, total, unit, note, 0.0

    def explain(self, code: int, log: Path) -> XlmrError:
        """Return the error for a trainer that ended with ``code``, with its fix."""
        most = re.search(r"Please set it to a value <= (\d+)", self._refusal)
        least = re.search(r"smaller than required_chars\. \d+ vs (\d+)", self._refusal)
        wanted = f"{self._vocab_size:,}"
        if most:
            return MisfitError(
                f"{self.text_bytes:,} bytes of text give at most {int(most[1]):,} pieces, not {wanted}",
                f"lower tokenizer.train.vocab_size to {most[1]}, or raise tokenizer.sample.bytes",
            )
        if least:
            return MisfitError(
                f"the text has {int(least[1]):,} characters that each need a piece, more than {wanted}",
                "raise tokenizer.train.vocab_size, or lower tokenizer.train.character_coverage",
            )
        if "sentences_.empty()" in self._refusal or not self.text_bytes:
            return XlmrError("there is no text to train on", "check what corpus.regroup kept")
        if code == REFUSED:
            return XlmrError(f"SentencePiece refused: {self._refusal}", f"its log is {log}")
        killed = "was killed, probably for lack of memory" if code < 0 else f"ended with code {code}"
        return XlmrError(f"the trainer {killed}; its log is {log}", "lower tokenizer.sample.bytes")
