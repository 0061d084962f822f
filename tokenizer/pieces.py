"""Tokenizer: text to the ids of XLM-R and back, over a SentencePiece model. Batches in, NumPy arrays out.

The ids are fairseq's: <s> 0, <pad> 1, </s> 2, <unk> 3, SentencePiece's id n -> n + 1 from 3 on, <mask> last.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import sentencepiece
from numpy.typing import ArrayLike, NDArray

from pipeline.errors import XlmrError
from tokenizer.model_file import check_whole
from tokenizer.stages import model_file

BOS, PAD, EOS, UNK = 0, 1, 2, 3
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
OFFSET = 1
"""What SentencePiece's ids from 3 on are moved by: <pad> stands before them."""

A_THREAD = 64
"""Texts for which SentencePiece may start a thread: it does so for every batch, even if it is to use one only."""

Ids = NDArray[np.int32]

_WHITE_SPACE = np.array([code for code in range(0x3001) if chr(code).isspace()], dtype=np.uint32)


class Tokenizer:
    """A SentencePiece model with the ids of XLM-R. Make it with ``load``."""

    def __init__(self, processor: sentencepiece.SentencePieceProcessor) -> None:
        self._processor = processor
        size = processor.vocab_size()
        # SentencePiece's <unk> <s> </s> are 0 1 2.
        self._to_ids = np.concatenate([[UNK, BOS, EOS], np.arange(3, size) + OFFSET]).astype(np.int32)
        self._from_ids = np.concatenate([[1, -1, 2, 0], np.arange(3, size), [-1]]).astype(np.int32)

    @classmethod
    def load(cls, path: Path | str) -> Tokenizer:
        """From a model file, or a folder that holds ``sentencepiece.bpe.model``.

        Errors: XlmrError naming the file.
        """
        file = model_file(Path(path))
        if not file.is_file():
            raise XlmrError(f"{file}: no such file", "name a folder or file that tokenizer.train made")
        data = file.read_bytes()
        check_whole(data, file)
        try:
            processor = sentencepiece.SentencePieceProcessor(model_proto=data)
        except (RuntimeError, OSError):
            raise XlmrError(f"{file}: not a SentencePiece model", "run tokenizer.train again") from None
        if (processor.unk_id(), processor.bos_id(), processor.eos_id(), processor.pad_id()) != (0, 1, 2, -1):
            raise XlmrError(f"{file}: its <unk> <s> </s> are not 0 1 2", "train it with tokenizer.train")
        return cls(processor)

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        """Workers may be handed a Tokenizer: it travels as the bytes of its model."""
        return _from_bytes, (self._processor.serialized_model_proto(),)

    @property
    def vocabulary_size(self) -> int:
        """How many ids there are, ``<pad>`` and ``<mask>`` included."""
        return len(self._from_ids)

    @property
    def mask(self) -> int:
        """The id of ``<mask>``: the last."""
        return self.vocabulary_size - 1

    def encode(self, text: str) -> Ids:
        """The ids of one text, no special ones added."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: list[str] | list[bytes], threads: int = 1) -> list[Ids]:
        """The ids of each text, no special ones added."""
        if not texts:
            return []
        encoded = self._processor.encode(texts, return_type="numpy", num_threads=threads)
        # One pass over the whole batch; the arrays that are given out are views of it.
        ids = self._to_ids[np.concatenate(encoded)]
        return np.split(ids, np.cumsum([len(one) for one in encoded])[:-1])

    def encode_stream(self, texts: list[str] | list[bytes]) -> tuple[Ids, NDArray[np.int64]]:
        """The texts one after the other, each ended by ``</s>``, and their lengths with that."""
        if not texts:
            return np.empty(0, np.int32), np.empty(0, np.int64)
        if len(texts) < A_THREAD:
            encoded = [self._processor.encode(text, return_type="numpy", add_eos=True) for text in texts]
        else:
            encoded = self._processor.encode(texts, return_type="numpy", num_threads=1, add_eos=True)
        stream = self._to_ids[np.concatenate(encoded)]
        # No text becomes </s>: SentencePiece does not read its control pieces.
        return stream, np.diff(np.flatnonzero(stream == EOS), prepend=-1)

    def encode_with_offsets(self, text: str) -> tuple[Ids, NDArray[np.int64]]:
        """The ids of one text, and the characters [start, end) of it that each stands for: [pieces, 2]."""
        found = self._processor.encode(text, return_type="offset_mapping")
        ids = self._to_ids[np.array(found["ids"], dtype=np.int64)]
        spans = np.array(found["offsets"], dtype=np.int64).reshape(-1, 2)
        # SentencePiece counts the space before a word to its first piece; an answer begins after it.
        inked = ~np.isin(np.frombuffer(text.encode("utf-32-le"), "<u4"), _WHITE_SPACE)
        position = np.where(inked, np.arange(len(text)), len(text))
        following = np.minimum.accumulate(np.append(position, len(text))[::-1])[::-1]
        spans[:, 0] = np.minimum(following[spans[:, 0]], spans[:, 1])
        return ids, spans

    def decode(self, ids: ArrayLike) -> str:
        """The text of ids, special ones left out; ``<unk>`` comes out as SentencePiece's ⁇."""
        known = self._from_ids[self._checked(ids)]
        return str(self._processor.decode(known[(known == 0) | (known > 2)].tolist()))

    def pieces(self, ids: ArrayLike) -> list[str]:
        """The piece of each id."""
        return [self.vocabulary[number] for number in self._checked(ids)]

    @cached_property
    def vocabulary(self) -> list[str]:
        """All pieces, in the order of their ids."""
        size = self._processor.vocab_size()
        return [*SPECIAL, *self._processor.id_to_piece(list(range(3, size))), "<mask>"]

    @cached_property
    def begins_word(self) -> NDArray[np.bool_]:
        """Whether each id begins a word, that is, follows white space: its piece begins with ▁."""
        return np.array([piece.startswith("▁") for piece in self.vocabulary])

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """The logarithm of each piece's probability, in the order of the ids; 0 for the special ones."""
        size = self._processor.vocab_size()
        known = self._processor.get_score(list(range(3, size)))
        return np.concatenate([np.zeros(4), known, [0.0]]).astype(np.float32)

    def _checked(self, ids: ArrayLike) -> NDArray[np.int64]:
        numbers = np.atleast_1d(np.asarray(ids, dtype=np.int64))
        if numbers.size and (numbers.min() < 0 or numbers.max() >= self.vocabulary_size):
            raise ValueError(f"ids must be in [0, {self.vocabulary_size}), got {numbers.min()} to {numbers.max()}")
        return numbers


def _from_bytes(model: bytes) -> Tokenizer:
    return Tokenizer(sentencepiece.SentencePieceProcessor(model_proto=model))
