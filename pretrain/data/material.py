"""What the stages before made -> what a training reads: sequences, the stream of batches, and what masks them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.errors import XlmrError
from pipeline.stage import Inputs
from pretrain.data.loader import Batches
from pretrain.data.masking import Masker
from pretrain.data.masking_strategies import strategy_of
from pretrain.data.mixing import mixing_of
from pretrain.data.sequences import SequenceFolder, check_tokenizer, check_vocabulary, open_sequences, read_listing
from pretrain.data.stream import MixedStream, Stream
from pretrain.folder import TOKENIZER_MODEL
from pretrain.settings import DataSettings, PretrainConfig
from pretrain.tokenizer_files import check_files
from tokenizer.folder import load_tokenizer


@dataclass(frozen=True)
class Material:
    """What a training reads: sequences, pairs of translations where there are any, and the tokenizer's folder."""

    sequences: SequenceFolder
    pairs: SequenceFolder | None = None
    tokenizer: Path | None = None

    def masker(self, data: DataSettings) -> Masker:
        """What masks these sequences."""
        begins = load_tokenizer(self.tokenizer).begins_word if self.tokenizer is not None else None
        vocabulary = replace(self.sequences.masked, begins_word=begins)
        return Masker(vocabulary, data.mask_rate, data.seed, strategy_of(data.masking))


def open_material(inputs: Inputs) -> Material:
    """What the stages before made. Errors: XlmrError when it does not fit together."""
    sequences = open_sequences(inputs["tokenizer.encode"])
    pairs = read_listing(inputs["pretrain.pairs"]) if "pretrain.pairs" in inputs else None
    if pairs is not None:
        have = (pairs.vocabulary_size, pairs.sequence_length)
        if have != (sequences.vocabulary_size, sequences.sequence_length):
            raise XlmrError(
                f"{inputs['pretrain.pairs']}: a vocabulary of {have[0]} and sequences of {have[1]} tokens,"
                f" the other sequences have {sequences.vocabulary_size} and {sequences.sequence_length}",
                "run pretrain.pairs again",
            )
    tokenizer = inputs.get("tokenizer.train")
    if tokenizer is not None:
        check_files(tokenizer)  # pretrain.export needs them when the training is done
        check_tokenizer(inputs["tokenizer.encode"], sequences, load_tokenizer(tokenizer).vocab_size)
        check_vocabulary(inputs["tokenizer.encode"], sequences, tokenizer / TOKENIZER_MODEL)
    return Material(sequences, pairs, tokenizer)


def stream_of(material: Material, config: PretrainConfig, ranks: tuple[int, int]) -> Batches:
    """The stream of one data rank; ``ranks`` are its number and how many there are.

    Errors: XlmrError where pairs are wanted and none are given.
    """
    sequences, data, batch = material.sequences, config.data, config.train.global_batch
    mixing = mixing_of(data)
    if not data.pair_share:
        return Stream(sequences.train, sequences.sequence_length, batch, mixing, data.seed, *ranks)
    if material.pairs is None or not material.pairs.train:
        raise XlmrError(
            f"pretrain.data.pair_share is {data.pair_share}, and there are no pairs of translations",
            "name files of parallel text in pretrain.pairs.files",
        )
    return MixedStream(sequences, material.pairs, batch, mixing, data.seed, data.pair_share, *ranks)
