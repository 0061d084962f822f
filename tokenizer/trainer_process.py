"""The child process that trains: settings as JSON on stdin, the trainer's log on stderr, the model as a file.

Training has a process of its own because SentencePiece logs from C++ to the process's stderr, holds Python's lock
while it works, and keeps its memory afterwards. It is given lines, not file names, because it writes file names into
the model.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

REPORT_EVERY = 1 << 24
"""Bytes of text between two lines that report how many were read."""


def read_lines(paths: Iterable[str]) -> Iterator[bytes]:
    """The lines of the files, in order, without their ends."""
    done = reported = 0
    for path in paths:
        with Path(path).open("rb") as lines:
            for line in lines:
                done += len(line)
                if done - reported >= REPORT_EVERY:
                    reported = done
                    print(f"READ {done}", file=sys.stderr, flush=True)
                yield line.rstrip(b"\n")


def main() -> int:
    """Train. Exit code 3 and a last line on stderr when SentencePiece refuses."""
    import sentencepiece

    order = json.load(sys.stdin)
    sentencepiece.set_random_generator_seed(order["seed"])
    try:
        with Path(order["model"]).open("wb") as model:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=read_lines(order["texts"]), model_writer=model, **order["options"]
            )
    except RuntimeError as error:
        print(f"\nREFUSED {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
