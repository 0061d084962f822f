"""Comparison of two tokenizers: pieces, scores, ids, and the ids of texts.

A folder, a .model, or a tokenizer.json -> ComparedTokenizer; two of them and texts -> Differences.
"""

from __future__ import annotations

import gzip
import lzma
import random
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UsageError, XlmrError
from tokenizer.folder import load_tokenizer
from tokenizer.model_file import NORMAL, parse_model
from tokenizer.names import MODEL_FILE, TOKENIZER

AT_ONCE = 1_000
CLOSE = 1e-6
"""Scores that differ by less are the same: they are 32 bits here and decimal text there."""

_OPEN: dict[str, Callable[..., Iterable[str]]] = {".gz": gzip.open, ".xz": lzma.open}


@dataclass(frozen=True)
class ComparedTokenizer:
    """One tokenizer: its pieces by id, the scores of those that text can become (nan: no score), text to ids."""

    name: str
    pieces: list[str]
    scores: NDArray[np.float64]
    encode: Callable[[list[str]], list[list[int]]]


@dataclass
class Differences:
    """What differs: (id, piece of A, piece of B), (id, score of A, score of B), (where, text, pieces of A, of B)."""

    pieces: list[tuple[int, str, str]] = field(default_factory=list)
    scores: list[tuple[int, float, float]] = field(default_factory=list)
    texts: list[tuple[str, str, list[str], list[str]]] = field(default_factory=list)
    texts_compared: int = 0

    def __bool__(self) -> bool:
        return bool(self.pieces or self.scores or self.texts)


def load_side(path: Path) -> ComparedTokenizer:
    """A folder with a model file or a tokenizer.json, or one of these files. Errors: XlmrError naming it."""
    file = path
    if path.is_dir():
        file = path / MODEL_FILE if (path / MODEL_FILE).is_file() else path / TOKENIZER
    if file.suffix == ".json":
        return _hugging_face(file)
    tokenizer = load_tokenizer(path)
    model = parse_model(tokenizer.model, file)
    scores = np.where(model.types == NORMAL, model.scores.astype(np.float64), np.nan)[3:]
    if model.kind == "bpe":  # ranks there, merges here
        scores[:] = np.nan
    four, last = np.full(4, np.nan), np.full(tokenizer.vocab_size - tokenizer.mask_token_id, np.nan)
    return ComparedTokenizer(
        str(file),
        tokenizer.vocabulary,
        np.concatenate([four, scores, last]),
        lambda texts: [ids.tolist() for ids in tokenizer.encode_batch(texts)],
    )


def _hugging_face(file: Path) -> ComparedTokenizer:
    try:
        import tokenizers
    except ImportError:
        raise XlmrError(f"{file}: reading it needs the package tokenizers", "pip install tokenizers") from None
    if not file.is_file():
        raise XlmrError(f"{file}: no such file", f"name a folder with {MODEL_FILE} or {TOKENIZER}")
    try:
        backend = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises plain Exception
        raise XlmrError(f"{file}: not a tokenizer.json ({error})", "copy it again") from None
    # <s> in a text is a text here, as it is for SentencePiece.
    backend.encode_special_tokens = True
    backend.no_truncation()
    backend.no_padding()
    pieces = [backend.id_to_token(number) or "" for number in range(backend.get_vocab_size())]
    return ComparedTokenizer(
        str(file),
        pieces,
        _scores_of(file, len(pieces)),
        lambda texts: [found.ids for found in backend.encode_batch(texts, add_special_tokens=False)],
    )


def _scores_of(file: Path, size: int) -> NDArray[np.float64]:
    """Scores by id, where the model has some; those of pieces that no text becomes are left out."""
    from pipeline.storage import read_json

    described = read_json(file)
    scores = np.full(size, np.nan)
    if described["model"].get("type") == "Unigram":
        of_model = described["model"]["vocab"]
        scores[: len(of_model)] = [score for _, score in of_model]
        scores[[token["id"] for token in described["added_tokens"]]] = np.nan
        scores[[number for number, (piece, _) in enumerate(of_model) if piece.startswith("<0x")]] = np.nan
    return scores


def find_differences(
    a: ComparedTokenizer, b: ComparedTokenizer, texts: Iterable[tuple[str, str]], kept: int = 1_000_000
) -> Differences:
    """Compare all pieces, all scores that both have, and the pieces of each (where, text)."""
    found = Differences()
    for number in range(max(len(a.pieces), len(b.pieces))):
        one, other = (side.pieces[number] if number < len(side.pieces) else "nothing" for side in (a, b))
        if one != other:
            found.pieces.append((number, one, other))
    common = min(len(a.scores), len(b.scores))
    apart = np.flatnonzero(np.abs(a.scores[:common] - b.scores[:common]) > CLOSE)
    found.scores = [(int(number), float(a.scores[number]), float(b.scores[number])) for number in apart]
    remaining = iter(texts)
    while batch := list(islice(remaining, AT_ONCE)):
        found.texts_compared += len(batch)
        only = [text for _, text in batch]
        for (where, text), left, right in zip(batch, a.encode(only), b.encode(only), strict=True):
            if left != right and len(found.texts) < kept:
                found.texts.append((where, text, _pieces(a, left), _pieces(b, right)))
    return found


def _pieces(side: ComparedTokenizer, ids: Sequence[int]) -> list[str]:
    return [side.pieces[number] for number in ids]


def read_lines(paths: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """(file:number, line) of text files, plain, .gz or .xz. Errors: UsageError naming a file that is not text."""
    for path in paths:
        try:
            with _OPEN.get(path.suffix, open)(path, "rt", encoding="utf-8", newline="\n") as lines:
                for number, line in enumerate(lines, 1):
                    yield f"{path}:{number}", line.removesuffix("\n")
        except (UnicodeDecodeError, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError):
            raise UsageError(f"{path}: not a text in UTF-8", "give text files, plain, .gz or .xz") from None


def probes(side: ComparedTokenizer, count: int = 20_000) -> Iterator[tuple[str, str]]:
    """Yield texts to compare when none are given: every piece, and random characters of every kind between pieces."""
    for number, piece in enumerate(side.pieces):
        yield f"piece {number}", piece.replace("▁", " ")
    draw = random.Random(1)
    ranges = ((0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x1100), (0x1100, 0x3400), (0xE000, 0x11000))
    for number in range(count):
        parts = []
        for _ in range(draw.randrange(1, 9)):
            start, end = draw.choice(ranges)
            parts.append(
                draw.choice(side.pieces).replace("▁", " ") if draw.random() < 0.5 else chr(draw.randrange(start, end))
            )
        yield f"random text {number}", "".join(parts)


def describe_differences(
    a: ComparedTokenizer, b: ComparedTokenizer, found: Differences, shown: int = 3
) -> Iterator[str]:
    """Yield lines that report how often the two differ, and the first differences."""
    yield f"A {a.name}: {len(a.pieces):,} pieces"
    yield f"B {b.name}: {len(b.pieces):,} pieces"
    yield f"ids with different pieces: {len(found.pieces):,}"
    yield from (f"  {number}: A {one!r}, B {other!r}" for number, one, other in found.pieces[:shown])
    yield f"scores that differ by more than {CLOSE:g}: {len(found.scores):,}"
    yield from (
        f"  {number} {a.pieces[number]!r}: A {one:.7g}, B {other:.7g}" for number, one, other in found.scores[:shown]
    )
    yield f"texts with different ids: {len(found.texts):,} of {found.texts_compared:,}"
    for where, text, left, right in found.texts[:shown]:
        first = next(
            (i for i, (x, y) in enumerate(zip(left, right, strict=False)) if x != y), min(len(left), len(right))
        )
        around = slice(max(0, first - 2), first + 5)
        yield f"  {where}: {text[:60]!r}, at piece {first}: A {' '.join(left[around])} | B {' '.join(right[around])}"
