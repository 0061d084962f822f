"""Tokenizer: text to the ids of XLM-R and back, over a SentencePiece model. Batches in, NumPy arrays out.

The ids are fairseq's: <s> 0, <pad> 1, </s> 2, <unk> 3, SentencePiece's id n -> n + 1 from 3 on, <mask>, added tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import sentencepiece
from numpy.typing import ArrayLike, NDArray

from tokenizer.added import AddedToken, AddedTokens, Found, between
from tokenizer.names import MASK, MODEL_FILE, SPECIAL

BOS, PAD, EOS, UNK = 0, 1, 2, 3
OFFSET = 1
"""Added to SentencePiece's ids from 3 on, because <pad> precedes them."""

A_THREAD = 64
"""Texts for which SentencePiece may start a thread: it does so for every batch, even if it is to use one only."""

Ids = NDArray[np.int32]

_WHITE_SPACE = np.array([code for code in range(0x3001) if chr(code).isspace()], dtype=np.uint32)


class Tokenizer:
    """A SentencePiece model with the ids of XLM-R, and tokens that were added to it. ``tokenizer.load`` makes one.

    ``processor`` reads ``model``, the bytes of the model file. The ids of ``added`` follow ``<mask>``; those of them
    that are smaller name a piece, which is then searched in the text before SentencePiece reads it. ``source`` is the
    file that errors name.
    """

    bos_token_id, pad_token_id, eos_token_id, unk_token_id = BOS, PAD, EOS, UNK

    def __init__(
        self,
        processor: sentencepiece.SentencePieceProcessor,
        model: bytes,
        added: Sequence[AddedToken] = (),
        source: Path = Path(MODEL_FILE),
    ) -> None:
        self.processor = processor
        self.model = model
        self.source = source
        self.added = AddedTokens(added, self._normalise, self._normal_text)
        size = processor.vocab_size()
        # SentencePiece's <unk> <s> </s> are 0 1 2.
        self._to_ids = np.concatenate([[UNK, BOS, EOS], np.arange(3, size) + OFFSET]).astype(np.int32)
        self._from_ids = np.concatenate([[1, -1, 2, 0], np.arange(3, size), [-1]]).astype(np.int32)
        self._beyond = tuple(token.content for token in added if token.id >= len(self._from_ids))

    def __reduce__(self) -> tuple[object, tuple[bytes, tuple[AddedToken, ...]]]:
        """Workers may be handed a Tokenizer: it travels as the bytes of its model."""
        return _from_bytes, (self.model, self.added.tokens)

    @property
    def vocab_size(self) -> int:
        """How many ids there are, ``<pad>``, ``<mask>`` and added tokens included."""
        return len(self._from_ids) + len(self._beyond)

    @property
    def mask_token_id(self) -> int:
        """The id of ``<mask>``: the last but for added tokens."""
        return len(self._from_ids) - 1

    def encode(self, text: str, *, add_special_tokens: bool = False) -> Ids:
        """Return the ids of one text, int32 [tokens]. ``add_special_tokens`` puts it between ``<s>`` and ``</s>``.

        >>> vocabulary.encode("human rights").tolist()
        [369, 76, 399]
        >>> vocabulary.encode("human rights", add_special_tokens=True).tolist()
        [0, 369, 76, 399, 2]
        """
        return self.encode_batch([text], add_special_tokens=add_special_tokens)[0]

    def encode_batch(
        self, texts: Sequence[str] | Sequence[bytes], threads: int = 1, *, add_special_tokens: bool = False
    ) -> list[Ids]:
        """Return the ids of each text, int32 [tokens]. Texts as bytes are UTF-8.

        >>> [ids.tolist() for ids in vocabulary.encode_batch(["human rights", ""])]
        [[369, 76, 399], []]
        """
        if add_special_tokens:
            start, end = np.array([BOS], np.int32), np.array([EOS], np.int32)
            return [np.concatenate([start, ids, end]) for ids in self.encode_batch(texts, threads)]
        if not texts:
            return []
        if self.added:
            return [ids for ids, _ in self._encode_around(texts, threads)]
        encoded = self.processor.encode(cast("list[str]", list(texts)), return_type="numpy", num_threads=threads)
        # One pass over the whole batch; the arrays that are given out are views of it.
        ids = self._to_ids[np.concatenate(encoded)]
        return np.split(ids, np.cumsum([len(one) for one in encoded])[:-1])

    def encode_arrow(
        self, texts: pa.Array | pa.ChunkedArray, threads: int = 1, *, add_special_tokens: bool = False
    ) -> pa.ListArray:
        """Return the ids of a column of texts as ``list<int32>``; a text that is null has null ids.

        Errors: TypeError where the column holds no text; pyarrow.ArrowInvalid for 2^31 tokens or more.

        >>> import pyarrow as pa
        >>> vocabulary.encode_arrow(pa.array(["human rights", None])).to_pylist()
        [[369, 76, 399], None]
        """
        if isinstance(texts, pa.ChunkedArray):
            texts = texts.combine_chunks()
        if texts.type not in (pa.string(), pa.large_string(), pa.string_view()):
            raise TypeError(f"a column of texts is encoded, got {texts.type}")
        known = texts.cast(pa.large_string()).fill_null("").cast(pa.large_binary()).to_pylist()
        encoded = self.encode_batch(known, threads, add_special_tokens=add_special_tokens)
        offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        values = np.concatenate([np.empty(0, np.int32), *encoded])
        mask = texts.is_null() if texts.null_count else None
        return pa.ListArray.from_arrays(pa.array(offsets).cast(pa.int32()), pa.array(values), mask=mask)

    def encode_stream(self, texts: list[str] | list[bytes]) -> tuple[Ids, NDArray[np.int64]]:
        """The texts one after the other, each ended by ``</s>``, and their lengths with that."""
        if not texts:
            return np.empty(0, np.int32), np.empty(0, np.int64)
        if self.added:
            ends = np.array([EOS], np.int32)
            ended = [np.concatenate([ids, ends]) for ids, _ in self._encode_around(list(texts), 1)]
            return np.concatenate(ended), np.array([len(ids) for ids in ended], np.int64)
        if len(texts) < A_THREAD:
            encoded = [self.processor.encode(text, return_type="numpy", add_eos=True) for text in texts]
        else:
            encoded = self.processor.encode(texts, return_type="numpy", num_threads=1, add_eos=True)
        stream = self._to_ids[np.concatenate(encoded)]
        # No text becomes </s>: SentencePiece does not read its control pieces.
        return stream, np.diff(np.flatnonzero(stream == EOS), prepend=-1)

    def _encode_around(self, texts: Sequence[str | bytes], threads: int) -> Iterator[tuple[Ids, list[Found]]]:
        """The ids of each text, added tokens at their places and what is between them by itself, and those places."""
        whole = [text if isinstance(text, str) else text.decode() for text in texts]
        found = [self.added.find(text) for text in whole]
        spans = [list(between(one, len(text))) for text, one in zip(whole, found, strict=True)]
        parts = [text[start:end] for text, own in zip(whole, spans, strict=True) for start, end in own]
        encoded = iter(self.processor.encode(parts, return_type="numpy", num_threads=threads) if parts else ())
        for tokens, own in zip(found, spans, strict=True):
            pieces = [(start, self._to_ids[next(encoded)]) for start, _ in own]
            pieces += [(start, np.array([number], np.int32)) for start, _, number in tokens]
            ids = [one for _, one in sorted(pieces, key=lambda piece: piece[0])]
            yield np.concatenate(ids) if ids else np.empty(0, np.int32), tokens

    def encode_with_offsets(self, text: str) -> tuple[Ids, NDArray[np.int64]]:
        """Return the ids of one text, and the characters [start, end) of it that each stands for: [tokens, 2].

        >>> ids, offsets = vocabulary.encode_with_offsets("human rights")
        >>> offsets.tolist()
        [[0, 4], [4, 5], [6, 12]]
        """
        if not self.added:
            return self._encode_part(text)
        found = self.added.find(text)
        parts = [(start, *self._encode_part(text[start:end])) for start, end in between(found, len(text))]
        parts += [(start, np.array([number], np.int32), np.array([[0, end - start]])) for start, end, number in found]
        parts.sort(key=lambda part: part[0])
        none = np.empty(0, np.int32), np.empty((0, 2), np.int64)
        ids = np.concatenate([none[0], *(one for _, one, _ in parts)])
        return ids, np.concatenate([none[1], *(spans + start for start, _, spans in parts)])

    def _encode_part(self, text: str) -> tuple[Ids, NDArray[np.int64]]:
        """The same of a text without added tokens."""
        found = self.processor.encode(text, return_type="offset_mapping")
        ids = self._to_ids[np.array(found["ids"], dtype=np.int64)]
        spans = np.array(found["offsets"], dtype=np.int64).reshape(-1, 2)
        # SentencePiece counts the space before a word to its first piece; an answer begins after it.
        inked = ~np.isin(np.frombuffer(text.encode("utf-32-le"), "<u4"), _WHITE_SPACE)
        position = np.where(inked, np.arange(len(text)), len(text))
        following = np.minimum.accumulate(np.append(position, len(text))[::-1])[::-1]
        spans[:, 0] = np.minimum(following[spans[:, 0]], spans[:, 1])
        return ids, spans

    def _normalise(self, text: str) -> tuple[str, list[int]]:
        """As ``added.Normalise``: spaces as spaces, and none before the text."""
        normal, origins = self.processor.normalize(text, with_offsets=True)
        return _plain(normal), origins[int(normal.startswith("▁")) :]

    def _normal_text(self, text: str) -> str:
        return _plain(self.processor.normalize(text))

    def decode(self, ids: ArrayLike) -> str:
        """Return the text of ids, without special tokens; ``<unk>`` becomes SentencePiece's ⁇.

        Errors: ValueError for an id that the vocabulary does not have.

        >>> vocabulary.decode([0, 369, 76, 399, 2])
        'human rights'
        """
        numbers = self._checked(ids)
        own = len(self._from_ids)
        known = np.where(numbers < own, self._from_ids[np.minimum(numbers, own - 1)], -1)
        cuts = np.flatnonzero(numbers >= own)
        if not len(cuts):
            return str(self.processor.decode(known[(known == 0) | (known > 2)].tolist()))
        parts = [
            [self.decode(part[part < own]), *self.tokens(part[part >= own])] for part in np.split(numbers, cuts + 1)
        ]
        return " ".join(word for part in parts for word in part if word)

    def decode_batch(self, batch: Iterable[ArrayLike] | pa.ListArray) -> list[str]:
        """Return the text of each list of ids, which may be a column of Arrow. Errors: as ``decode``.

        >>> vocabulary.decode_batch([[369, 76, 399], []])
        ['human rights', '']
        """
        lists = batch.to_pylist() if isinstance(batch, pa.Array | pa.ChunkedArray) else batch
        return [self.decode(ids) for ids in lists]

    def tokens(self, ids: ArrayLike) -> list[str]:
        """The piece of each id."""
        return [self.vocabulary[number] for number in self._checked(ids)]

    @cached_property
    def vocabulary(self) -> list[str]:
        """All pieces, in the order of their ids."""
        size = self.processor.vocab_size()
        return [*SPECIAL, *self.processor.id_to_piece(list(range(3, size))), MASK, *self._beyond]

    @cached_property
    def begins_word(self) -> NDArray[np.bool_]:
        """Whether each id begins a word, that is, follows white space: its piece begins with ▁."""
        return np.array([piece.startswith("▁") for piece in self.vocabulary])

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """The logarithm of each piece's probability, in the order of the ids; 0 for the special ones."""
        size = self.processor.vocab_size()
        known = self.processor.get_score(list(range(3, size)))
        return np.concatenate([np.zeros(4), known, np.zeros(1 + len(self._beyond))]).astype(np.float32)

    def _checked(self, ids: ArrayLike) -> NDArray[np.int64]:
        numbers = np.atleast_1d(np.asarray(ids, dtype=np.int64))
        if numbers.size and (numbers.min() < 0 or numbers.max() >= self.vocab_size):
            raise ValueError(f"ids must be in [0, {self.vocab_size}), got {numbers.min()} to {numbers.max()}")
        return numbers


def _plain(normal: str) -> str:
    return normal.removeprefix("▁").replace("▁", " ")


def _from_bytes(model: bytes, added: tuple[AddedToken, ...]) -> Tokenizer:
    return Tokenizer(sentencepiece.SentencePieceProcessor(model_proto=model), model, added)
