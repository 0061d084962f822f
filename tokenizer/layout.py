"""Streams cut into sequences: rows of <s> and token ids, written as they fill up, in memory that does not grow."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from tokenizer.pieces import BOS, PAD, Ids

Lengths = NDArray[np.int64]


def id_type(vocab_size: int) -> np.dtype:
    """The smallest little-endian type that holds every id: uint16, or uint32 for a vocabulary over 65,536."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


class SequenceWriter:
    """Takes a stream of documents, writes sequences [length] to one file: ``<s>``, then length - 1 ids.

    ``complete=False`` is fairseq's "none": ids follow one another without regard to documents.
    ``complete=True`` is its "complete": a document that does not fit in what is left of a sequence begins the
    next one, the gap is ``<pad>``; one longer than a sequence is cut. The last sequence is padded. A stream
    without ids makes no file.
    """

    def __init__(self, path: Path, length: int, dtype: np.dtype, *, complete: bool = False) -> None:
        self.sequences = 0
        self._path, self._dtype, self._complete = path, dtype, complete
        self._capacity = length - 1
        self._rest: Ids = np.empty(0, dtype=np.int32)
        self._rest_lengths: Lengths = np.empty(0, dtype=np.int64)
        self._file: IO[bytes] | None = None

    def add(self, stream: Ids, lengths: Lengths) -> None:
        """Append documents: their ids one after the other, ``</s>`` included, and the number of each."""
        stream = np.concatenate([self._rest, stream])
        if self._complete:
            lengths = np.concatenate([self._rest_lengths, lengths])
            starts = complete_starts(lengths, self._capacity)
            # The last sequence may still have space for the next document: it is laid out again, with that.
            kept = starts[-1] if len(starts) else 0
            self._write(stream[:kept], starts)
            self._rest_lengths = _lengths_from(lengths, kept)
        else:
            kept = len(stream) // self._capacity * self._capacity
            self._write(stream[:kept], np.arange(0, kept + 1, self._capacity))
        self._rest = stream[kept:]

    def close(self) -> None:
        """Write what is left as the last sequence."""
        if len(self._rest):
            self._write(self._rest, np.array([0, len(self._rest)]))
        if self._file is not None:
            self._file.close()

    def _write(self, stream: Ids, bounds: NDArray[np.int64]) -> None:
        """Write the sequences stream[bounds[i]:bounds[i + 1]]."""
        sizes = np.diff(bounds)
        if not len(sizes):
            return
        rows = np.empty((len(sizes), self._capacity + 1), dtype=self._dtype)
        if len(stream) == len(sizes) * self._capacity:
            rows[:, 1:] = stream.reshape(-1, self._capacity)
        else:
            rows[:, 1:] = PAD
            rows[:, 1:][np.arange(self._capacity) < sizes[:, None]] = stream
        rows[:, 0] = BOS
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("wb")
        self._file.write(rows.data)
        self.sequences += len(rows)


def complete_starts(lengths: Lengths, capacity: int) -> NDArray[np.int64]:
    """Return where sequences of at most ``capacity`` ids begin, if documents that fit into one are not split.

    The loop is over documents, not ids. A document of n ids is appended to the current sequence if it fits, else it
    begins the next one, and fills several if n > capacity.
    """
    starts: list[NDArray[np.int64]] = []
    position = used = 0
    for length in lengths.tolist():
        if used == 0 or used + length > capacity:
            starts.append(np.arange(position, position + length, capacity))
            used = (length - 1) % capacity + 1
        else:
            used += length
        position += length
    return np.concatenate(starts) if starts else np.empty(0, dtype=np.int64)


def _lengths_from(lengths: Lengths, start: int) -> Lengths:
    """The lengths of the documents from ``start`` of the stream on; the first may be the rest of one."""
    left = np.cumsum(lengths) - start
    first = int(np.searchsorted(left, 0, side="right"))
    rest = lengths[first:].copy()
    if len(rest):
        rest[0] = left[first]
    return rest
