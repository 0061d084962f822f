"""Tool ``xlmr pretrain fill-mask``: texts with <mask> in them -> the tokens that a model would put there.

The model is a folder in Hugging Face's layout, a checkpoint, or the folder of a training, whose newest one is taken.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.options import Json
from pretrain.api import load

STANDARD_INPUT = "-"
BAR = 20
"""Characters of a probability of 1 in a terminal."""


def fill_mask(
    *texts: str,
    model: Path,
    tokenizer: Path | None = None,
    best: int = 5,
    as_json: Json = False,
) -> None:
    """Say which tokens the model puts where a text has its mask.

    Parameters
    ----------
    texts
        Texts with <mask> once or more often; without any, or for -, lines of the standard input.
    model
        Folder that pretrain.export or Hugging Face wrote, a checkpoint, or the folder of a training.
    tokenizer
        Folder or file of the tokenizer, where it does not lie beside the weights.
    best
        How many tokens to show for each <mask>.
    as_json
        A JSON record a text.
    """
    if best < 1:
        raise UsageError(f"--best is {best}", "ask for 1 or more")
    loaded = load(model, tokenizer)
    try:
        for number, text in enumerate(_texts(texts)):
            found = loaded.fill_mask(text, best)
            if as_json:
                print(json.dumps({"text": text, "masks": [_records(one) for one in found]}, ensure_ascii=False))
            else:
                print("\n".join([*[""] * bool(number), *table(text, found)]))
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def table(text: str, found: Sequence[Sequence[tuple[str, float]]]) -> list[str]:
    """The guesses as lines for a terminal: probability, a bar, the token; ▁ stands for a space before it."""
    lines = [text]
    for number, guesses in enumerate(found, 1):
        lines.append(f"mask {number}")
        lines += [f"  {share:6.1%}  {_bar(share)}  {token}" for token, share in guesses]
    return lines


def _texts(texts: Sequence[str]) -> Iterator[str]:
    for text in texts or (STANDARD_INPUT,):
        yield from _lines(sys.stdin) if text == STANDARD_INPUT else [text]


def _lines(stream: Iterable[str]) -> Iterator[str]:
    yield from (line.rstrip("\n") for line in stream if line.strip())


def _records(guesses: Sequence[tuple[str, float]]) -> list[dict[str, str | float]]:
    return [{"token": token, "probability": share} for token, share in guesses]


def _bar(share: float) -> str:
    eighths = round(8 * BAR * share)
    full, rest = divmod(eighths, 8)
    return ("█" * full + " ▏▎▍▌▋▊▉"[rest] * bool(rest)).ljust(BAR)
