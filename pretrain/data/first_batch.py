"""The first sequences as the model sees them, for a person to look at: tokens, and what was masked.

``[▁cat]`` is masked, ``[▁cat→▁dog]`` replaced, ``[▁cat=]`` drawn and left as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pretrain.data.loader import Prepared
from pretrain.data.masking import PAD, MaskedBatch
from tokenizer.folder import load_tokenizer

SHOWN = 8
"""Sequences of the first batch."""


def write_first_batch(path: Path, prepared: Prepared, tokenizer: Path | None, mask_id: int) -> None:
    """Write the first sequences of a batch; with the numbers of the tokens where there is no tokenizer."""
    text = namer(tokenizer)
    lines = [
        f"row {row} of step {prepared.step + 1}: {show(prepared.masked, number, text, mask_id)}\n"
        for number, row in enumerate(prepared.drawn.rows[:SHOWN])
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def namer(tokenizer: Path | None) -> Callable[[int], str]:
    """What a token is called."""
    if tokenizer is None:
        return str
    return load_tokenizer(tokenizer).vocabulary.__getitem__


def show(batch: MaskedBatch, row: int, text: Callable[[int], str], mask_id: int) -> str:
    """One sequence; padding at its end is counted, not shown."""
    chosen = batch.rows == row
    labels = dict(zip(batch.columns[chosen].tolist(), batch.labels[chosen].tolist(), strict=True))
    ids = batch.ids[row].tolist()
    words = []
    while ids and ids[-1] == PAD:
        ids.pop()
    for column, seen in enumerate(ids):
        target = labels.get(column)
        if target is None:
            words.append(text(seen))
        elif seen == mask_id:
            words.append(f"[{text(target)}]")
        else:
            words.append(f"[{text(target)}=]" if seen == target else f"[{text(target)}→{text(seen)}]")
    padding = len(batch.ids[row]) - len(ids)
    return " ".join(words) + (f" + {padding} <pad>" if padding else "")
