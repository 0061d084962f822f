"""Characters without a piece: texts and their ids -> the number of unknown characters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenizer.pieces import UNK, Ids, Tokenizer

_NEW, _KNOWN, _UNKNOWN = 0, 1, 2


class Coverage:
    """Counts unknown characters, not ``<unk>``, because a run of them is one ``<unk>``. Each is looked up once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._state = np.full(0x110000, _NEW, dtype=np.uint8)

    def unknown(self, texts: list[bytes], stream: Ids, lengths: NDArray[np.int64]) -> int:
        """How many characters of ``texts`` are unknown, given what ``encode_stream`` returned for them.

        Only texts with an ``<unk>`` are read; in most languages these are few.
        """
        holders = np.unique(np.searchsorted(np.cumsum(lengths), np.flatnonzero(stream == UNK), side="right"))
        if not len(holders):
            return 0
        codes = code_points(b"".join(texts[number] for number in holders))
        return int(np.count_nonzero(self.states(codes) == _UNKNOWN))

    def states(self, codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """Return 1 for each character that has a piece or that normalisation deletes, 2 for each other."""
        found = self._state[codes]
        new = np.unique(codes[found == _NEW])
        if len(new):
            encoded = self._tokenizer.encode_batch([chr(code) for code in new.tolist()])
            self._state[new] = [_UNKNOWN if UNK in ids else _KNOWN for ids in encoded]
            found = self._state[codes]
        return found


def code_points(text: bytes) -> NDArray[np.uint32]:
    """The characters of a text in UTF-8."""
    return np.frombuffer(text.decode().encode("utf-32-le"), dtype="<u4")
