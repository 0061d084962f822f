"""Which characters of a text have no piece. Texts and their pieces in, numbers of characters out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenizer.pieces import UNK, Ids, Tokenizer

_NEW, _KNOWN, _UNKNOWN = 0, 1, 2


class Coverage:
    """Counts unknown characters; each is looked up once. A run of them is one ``<unk>``, so pieces do not tell."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._state = np.full(0x110000, _NEW, dtype=np.uint8)

    def unknown(self, texts: list[bytes], stream: Ids, lengths: NDArray[np.int64]) -> int:
        """How many characters of ``texts`` are unknown, given what ``encode_stream`` made of them.

        Only texts with an ``<unk>`` are looked at, and in most languages that is next to none.
        """
        holders = np.unique(np.searchsorted(np.cumsum(lengths), np.flatnonzero(stream == UNK), side="right"))
        if not len(holders):
            return 0
        codes = code_points(b"".join(texts[number] for number in holders))
        return int(np.count_nonzero(self.states(codes) == _UNKNOWN))

    def states(self, codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
        """1 for each character that has a piece, or is none after normalisation; 2 for each that has not."""
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
