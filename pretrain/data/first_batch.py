"""The first samples as the model sees them, for a person to look at: pieces, and what was masked.

``[▁cat]`` is masked, ``[▁cat→▁dog]`` replaced, ``[▁cat=]`` drawn and left as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pretrain.data.loader import Prepared
from pretrain.data.masking import PAD, MaskedBatch
from tokenizer.folder import load_tokenizer

SHOWN = 8
"""Samples of the first batch."""


def write_first_batch(path: Path, prepared: Prepared, tokenizer: Path | None, mask_id: int) -> None:
    """Write the first samples of a batch; with the numbers of the pieces where there is no tokenizer."""
    text = namer(tokenizer)
    lines = [
        f"row {row} of update {prepared.update + 1}: {show(prepared.masked, number, text, mask_id)}\n"
        for number, row in enumerate(prepared.drawn.rows[:SHOWN])
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def namer(tokenizer: Path | None) -> Callable[[int], str]:
    """What a piece is called."""
    if tokenizer is None:
        return str
    return load_tokenizer(tokenizer).vocabulary.__getitem__


def show(batch: MaskedBatch, row: int, text: Callable[[int], str], mask_id: int) -> str:
    """One sample; padding at its end is counted, not shown."""
    chosen = batch.rows == row
    targets = dict(zip(batch.columns[chosen].tolist(), batch.targets[chosen].tolist(), strict=True))
    ids = batch.ids[row].tolist()
    words = []
    while ids and ids[-1] == PAD:
        ids.pop()
    for column, seen in enumerate(ids):
        target = targets.get(column)
        if target is None:
            words.append(text(seen))
        elif seen == mask_id:
            words.append(f"[{text(target)}]")
        else:
            words.append(f"[{text(target)}=]" if seen == target else f"[{text(target)}→{text(seen)}]")
    padding = len(batch.ids[row]) - len(ids)
    return " ".join(words) + (f" + {padding} <pad>" if padding else "")
