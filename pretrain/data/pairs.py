"""Stage pretrain.pairs: parallel text in; sequences for the objective TLM out, laid out like those of tokenizer.encode.

Conneau and Lample 2019, section 3.3: a sentence and its translation are masked together, so that a token can be guessed
from the other language. Here a sequence holds as many whole pairs ``<s> A </s> </s> B </s>`` of two languages as fit.
Either language stands first in every other pair. Positions run on through the pair, and there are no language
embeddings: XLM-R has none, and reads pairs like this one when it is fine-tuned. XLM began again at B, and had them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.context import Context
from pipeline.counts import Counts, sum_counts
from pipeline.shards import ShardReport
from pipeline.stage import Inputs
from pipeline.storage import write_json
from pretrain.data.masking import PAD
from pretrain.data.parallel_text import ParallelText, find_texts, read_pairs
from pretrain.data.sequences import LISTING, TRAIN, VALIDATION, check_tokenizer, check_vocabulary, open_sequences
from pretrain.folder import TOKENIZER_MODEL
from pretrain.stages import PairsConfig
from tokenizer.folder import load_tokenizer

BOS, EOS = 0, 2
AROUND = 4
"""Ids of a pair besides its tokens: ``<s>`` and three of ``</s>``."""

BATCH = 4096
"""Pairs that are encoded at once."""


@dataclass(frozen=True)
class PairShard:
    """One parallel text, the tokenizer's folder, and the shape of the sequences."""

    text: ParallelText
    number: int
    tokenizer: Path
    length: int
    dtype: str
    validation_share: float


def run(config: PairsConfig, inputs: Inputs, output: Path, context: Context) -> Counts:
    """The stage. Errors: XlmrError naming files that are not parallel text."""
    sequences = open_sequences(inputs["tokenizer.encode"])
    check_tokenizer(inputs["tokenizer.encode"], sequences, load_tokenizer(inputs["tokenizer.train"]).vocab_size)
    check_vocabulary(inputs["tokenizer.encode"], sequences, inputs["tokenizer.train"] / TOKENIZER_MODEL)
    shards: dict[str, PairShard] = {}
    shape = (sequences.sequence_length, sequences.dtype.name, config.pairs.validation_share)
    for number, text in enumerate(find_texts(config.pairs.files)):
        shards[f"{text.pair}-{number:05d}"] = PairShard(text, number, inputs["tokenizer.train"], *shape)
    counts = context.map_shards(encode_text, shards)
    listing = {
        "vocab_size": sequences.vocabulary_size,
        "vocabulary_sha256": sequences.vocabulary,
        "mask_token_id": sequences.mask,
        "sequence_length": sequences.sequence_length,
        "dtype": sequences.dtype.name,
        "languages": {pair: _entry(pair, shards, counts) for pair in sorted({s.text.pair for s in shards.values()})},
    }
    write_json(output / LISTING, listing)
    return {"texts": len(shards), **sum_counts(counts)}


def _entry(pair: str, shards: Mapping[str, PairShard], counts: Mapping[str, Counts]) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for split in (TRAIN, VALIDATION):
        own = {name: counts[name][split] for name, shard in shards.items() if shard.text.pair == pair}
        files = [_file_of(shards[name], split).as_posix() for name, count in own.items() if count["sequences"]]
        entry[split] = {**sum_counts(own), "files": files}
    return entry


def _file_of(shard: PairShard, split: str) -> Path:
    return Path(shard.text.pair) / f"{split}-{shard.number:05d}.bin"


def encode_text(shard: PairShard, workspace: Path) -> ShardReport:
    """Encode one parallel text. Memory: a batch of pairs and one sequence a split."""
    encode = PairEncoder(shard.tokenizer)
    writers = {split: PairWriter(workspace / _file_of(shard, split), shard) for split in (TRAIN, VALIDATION)}
    untranslated = too_long = number = 0
    for batch in read_pairs(shard.text, BATCH):
        whole = [pair for pair in batch if pair[0] and pair[1]]
        untranslated += len(batch) - len(whole)
        for pair, tokens in zip(whole, encode(whole), strict=True):
            if len(tokens[0]) + len(tokens[1]) + AROUND > shard.length:
                too_long += 1
                continue
            held_out = zlib.crc32("\t".join(pair).encode()) < shard.validation_share * (1 << 32)
            writers[VALIDATION if held_out else TRAIN].add(*(tokens if number % 2 else tokens[::-1]))
            number += 1
    for writer in writers.values():
        writer.close()
    counts: Counts = {split: writer.counts for split, writer in writers.items()}
    return ShardReport({**counts, "untranslated": untranslated, "too_long": too_long})


class PairEncoder:
    """The tokenizer, for both sides of many pairs at once."""

    def __init__(self, tokenizer: Path) -> None:
        self._tokenizer = load_tokenizer(tokenizer)

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """The ids of either side."""
        ids = self._tokenizer.encode_batch([side for pair in pairs for side in pair])
        return zip(ids[::2], ids[1::2], strict=True)


class PairWriter:
    """Puts pairs one after the other into sequences [length]; one that does not fit begins the next, the gap is PAD."""

    def __init__(self, path: Path, shard: PairShard) -> None:
        self.counts: Counts = {"sequences": 0, "pairs": 0, "tokens": 0}
        self._path, self._length = path, shard.length
        self._dtype = np.dtype(shard.dtype).newbyteorder("<")
        self._sequence: list[NDArray[np.int64]] = []
        self._used = 0
        self._rows: list[NDArray[Any]] = []

    def add(self, first: NDArray[np.int32], second: NDArray[np.int32]) -> None:
        """Append a pair."""
        pair = np.concatenate([[BOS], first, [EOS, EOS], second, [EOS]])
        if self._used + len(pair) > self._length:
            self._end_sequence()
        self._sequence.append(pair)
        self._used += len(pair)
        self.counts["pairs"] += 1
        self.counts["tokens"] += len(pair)

    def close(self) -> None:
        """Write what is left. Without pairs there is no file."""
        self._end_sequence()
        self._flush()

    def _end_sequence(self) -> None:
        if not self._sequence:
            return
        row = np.full(self._length, PAD, self._dtype)
        row[: self._used] = np.concatenate(self._sequence)
        self._rows.append(row)
        self._sequence, self._used = [], 0
        self.counts["sequences"] += 1
        if len(self._rows) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(np.stack(self._rows).tobytes())
            self._rows = []
