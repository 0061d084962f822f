"""The file of a fastText classifier, read into arrays. Nothing in it is executed, every length is checked.

Source: facebookresearch/fastText at 1142dc4 (args.cc, dictionary.cc, densematrix.cc, quantmatrix.cc,
productquantizer.cc).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.language.model_file import MAGIC, VERSION
from pipeline.errors import XlmrError

Floats = npt.NDArray[np.float32]

END_OF_LINE = b"</s>"
LABEL_PREFIX = "__label__"
_LOSSES = {1: "hs", 3: "softmax"}
_TREES = {number for number, name in _LOSSES.items() if name == "hs"}
_SUPERVISED = 3
_CENTROIDS = 256

MOST_BUCKETS = 1 << 26
"""N-grams of a pruned model hash to numbers under this, each with four bytes here; fastText's default is 2,000,000."""
MOST_LABELS = 10_000
"""Labels of a model with hierarchical softmax: its tree takes 8 · labels² bytes here."""
WIDEST_STRETCH = 64
"""Columns that one code of a quantised matrix stands for; fastText's default is 2."""
LARGEST = 1e9
"""Of the numbers in a matrix: with larger ones the sums here would not be finite. lid.176's largest is under 30."""
_MOST_COUNTED = 10**15
"""More than a label may have been seen in training: fastText's own sign of a node that has no count yet."""
_LABEL = re.compile(r"[^\x00-\x20/\\\x7f]{1,100}")
"""What may follow ``__label__``: labels become the names of folders."""


@dataclass(frozen=True)
class FastTextFile:
    """What a classifier's file holds.

    ``words``         the known words; row i of ``input`` is word i.
    ``end_of_line``   the row of the word that fastText puts at the end of each line, if it is known.
    ``buckets``       n-grams hash to a number under this; ``ngram_rows`` [buckets] int32 gives its row of ``input``, or
                      -1 where it was pruned. None: row len(words) + number.
    ``input``         [rows, dim], dequantised; ``output`` [labels, dim].
    ``label_counts``  how often each label was seen in training: the tree of the hierarchical softmax follows from it.
    """

    words: pa.LargeBinaryArray
    labels: list[str]
    label_counts: list[int]
    end_of_line: int | None
    shortest: int
    longest: int
    buckets: int
    ngram_rows: npt.NDArray[np.int32] | None
    input: Floats
    output: Floats
    loss: Literal["hs", "softmax"]


def read_fast_text(path: Path) -> FastTextFile:
    """Read a ``.bin`` or ``.ftz`` file. Errors: XlmrError for a file that is not there or is no such classifier."""
    try:
        return _FastTextReader(np.memmap(path, np.uint8, "r")).read()
    except FileNotFoundError:
        raise XlmrError(f"{path}: no such file", "check corpus.language_id.model") from None
    except (ValueError, struct.error, OverflowError) as error:
        raise XlmrError(f"{path}: not a fastText classifier ({error})", "check corpus.language_id.model") from None


def check_labels(labels: Sequence[str], counts: Sequence[int]) -> None:
    """Errors: ValueError for labels that name no language, or counts that fastText does not write."""
    if not labels:
        raise ValueError("it has no labels")
    for label in labels:
        name = label.removeprefix(LABEL_PREFIX)
        if not _LABEL.fullmatch(name) or name.startswith("."):
            raise ValueError(f"its label {label[:100]!r} cannot name a language")
    if len(set(labels)) < len(labels):
        raise ValueError("a label occurs twice")
    if list(counts) != sorted(counts, reverse=True) or counts[-1] < 0 or counts[0] >= _MOST_COUNTED:
        raise ValueError("its labels are not in descending order of their counts")


class _FastTextReader:
    def __init__(self, data: npt.NDArray[np.uint8]) -> None:
        self._data = data
        self._place = 0

    def read(self) -> FastTextFile:
        if self._numbers("<ii") != (MAGIC, VERSION):
            raise ValueError("its magic number or version is wrong")
        dim, _, _, _, _, word_ngrams, loss, model, buckets, shortest, longest, _ = self._numbers("<12i")
        self._numbers("<d")
        if model != _SUPERVISED or loss not in _LOSSES or word_ngrams != 1:
            raise ValueError("only classifiers with (hierarchical) softmax and without word n-grams can be read")
        if dim < 1 or buckets < 0 or (longest and not (buckets and 1 <= shortest <= longest)):
            raise ValueError("its header has invalid numbers")
        words, labels, counts, pruned = self._dictionary()
        check_labels(labels, counts)
        if loss in _TREES and len(labels) > MOST_LABELS:
            raise ValueError(f"it has {len(labels):,} labels, and at most {MOST_LABELS:,} are supported")
        ngram_rows = _ngram_rows(pruned, buckets, len(words))
        input_, output = self._matrix(), self._matrix()
        rows = len(words) + (len(pruned) if pruned is not None else buckets if longest else 0)
        if input_.shape != (rows, dim) or output.shape != (len(labels), dim):
            raise ValueError("its matrices have the wrong sizes")
        for matrix in (input_, output):
            if matrix.size and not -LARGEST <= matrix.min() <= matrix.max() <= LARGEST:  # false for NaN too
                raise ValueError("its matrices hold numbers that are not finite, or too large")
        return FastTextFile(
            words=pa.array(words, pa.large_binary()),
            labels=labels,
            label_counts=counts,
            end_of_line=words.index(END_OF_LINE) if END_OF_LINE in words else None,
            shortest=shortest,
            longest=longest,
            buckets=buckets,
            ngram_rows=ngram_rows,
            input=input_,
            output=output,
            loss=_LOSSES[loss],  # type: ignore[arg-type]
        )

    def _dictionary(self) -> tuple[list[bytes], list[str], list[int], npt.NDArray[np.int32] | None]:
        size, known, named, _, pruned = self._numbers("<iiiqq")
        if known + named != size or min(known, named) < 0:
            raise ValueError("its dictionary has the wrong size")
        entries, counts = [], []
        for _ in range(size):
            entries.append(self._text())
            count, _ = self._numbers("<qb")
            counts.append(count)
        pairs = self._array("<i4", 2 * pruned).reshape(-1, 2) if pruned >= 0 else None
        return entries[:known], [label.decode() for label in entries[known:]], counts[known:], pairs

    def _matrix(self) -> Floats:
        (quantised,) = self._numbers("<?")
        if not quantised:
            rows, columns = self._numbers("<qq")
            return self._array("<f4", rows * columns).reshape(rows, columns)
        with_norms, rows, columns, size = self._numbers("<?qqi")
        if rows < 1 or columns < 1:
            raise ValueError("its quantised matrix is empty")
        codes = self._array("u1", size).reshape(rows, -1)
        found = self._dequantise(codes)
        if with_norms:
            norms = self._dequantise(self._array("u1", rows)[:, None])
            with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is refused in ``read``
                found *= norms
        if found.shape != (rows, columns):
            raise ValueError("its quantised matrix has the wrong size")
        return found

    def _dequantise(self, codes: npt.NDArray[np.uint8]) -> Floats:
        """Product quantisation: each code of a row names a centroid, a stretch of the row's columns."""
        dim, parts, width, last = self._numbers("<4i")
        centroids = self._array("<f4", dim * _CENTROIDS)
        if codes.shape[1] != parts or width * (parts - 1) + last != dim or not 1 <= last <= width <= WIDEST_STRETCH:
            raise ValueError("its quantiser has the wrong size")
        stretches = []
        for part in range(parts):
            wide = last if part == parts - 1 else width
            start = part * _CENTROIDS * width
            table = centroids[start : start + _CENTROIDS * wide].reshape(_CENTROIDS, wide)
            stretches.append(table[codes[:, part]])
        return np.concatenate(stretches, 1)

    def _numbers(self, form: str) -> tuple[Any, ...]:
        start, self._place = self._place, self._place + struct.calcsize(form)
        return struct.unpack(form, self._data[start : self._place].tobytes())

    def _array(self, kind: str, count: int) -> Any:
        start, size = self._place, count * np.dtype(kind).itemsize
        if count < 0 or start + size > len(self._data):
            raise ValueError("it is truncated")
        self._place += size
        return np.array(self._data[start : start + size]).view(kind)

    def _text(self) -> bytes:
        most = 1 << 12
        block = self._data[self._place : self._place + most].tobytes()
        end = block.find(b"\0")
        if end < 0:
            raise ValueError("a word has no end")
        self._place += end + 1
        return block[:end]


def _ngram_rows(pruned: npt.NDArray[np.int32] | None, buckets: int, words: int) -> npt.NDArray[np.int32] | None:
    """[buckets]: the row of each number that was kept, -1 for others. Errors: ValueError, before memory is taken."""
    if pruned is None:
        return None
    if buckets > MOST_BUCKETS:
        raise ValueError(f"it has {buckets:,} buckets, and at most {MOST_BUCKETS:,} are supported")
    numbers, kept = pruned[:, 0], pruned[:, 1]
    if len(pruned) and not (
        0 <= numbers.min() <= numbers.max() < buckets and 0 <= kept.min() <= kept.max() < len(kept)
    ):
        raise ValueError("its n-grams point outside its matrix")
    rows = np.full(buckets, -1, np.int32)
    rows[numbers] = kept + words
    return rows
