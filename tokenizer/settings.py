"""Settings of the tokenizer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, model_validator

from pipeline.config import LocalPath, Section, Seed, setting
from tokenizer.names import refused_piece

Bucket = Literal["head", "middle", "tail", "all"]

BUCKETS: tuple[Bucket, ...] = ("head", "middle", "all")
"""What both stages read of the corpus by default: the fluent text, and languages without a
language model.
"""


Languages = Annotated[tuple[str, ...], AfterValidator(lambda codes: tuple(sorted(set(codes))))]
"""Codes as the corpus names its folders. Their order has no effect, so it is not part of a stage's key."""


class ExistingSettings(Section):
    """An existing vocabulary."""

    model: LocalPath = setting(
        "",
        "an existing vocabulary with its added tokens: a SentencePiece model file, a tokenizer.json of transformers, or"
        " a folder with either, such as XLM-R's; empty: a vocabulary is trained on the corpus",
        affects_result=False,  # its content counts, not its path
    )

    def path(self) -> Path | None:
        """The file or folder; None if none is set."""
        return Path(self.model) if self.model else None


class SampleSettings(Section):
    """The text that the vocabulary is trained on."""

    renamed: ClassVar[Mapping[str, str]] = {"longest_line": "max_sentence_length"}

    bytes: int = setting(
        4_000_000_000,
        "total size of the training text, in bytes of UTF-8; the trainer needs 15 to 30 times that in memory",
        source="our choice; the paper does not publish its sample",
        gt=0,
    )
    alpha: float = setting(
        0.3,
        "smoothing of the shares of the languages: p ∝ (n/N)^alpha, n in characters",
        source="XLM-R §3; its n counts sentences, which web text has not marked, so characters",
        ge=0,
        le=1,
    )
    languages: Languages = setting(
        (),
        "codes of the languages that the vocabulary is trained on; empty: all languages of the corpus",
        source="XLM-R §5.1 tries 7, 15, 30, 60 and 100",
    )
    buckets: tuple[Bucket, ...] = setting(BUCKETS, "buckets of the corpus that the text is drawn from", min_length=1)
    max_sentence_length: int = setting(
        4192,
        "lines longer than this many bytes are cut at white space (else between characters), not lost",
        source="SentencePiece's max_sentence_length, over which it drops a line",
        ge=64,
    )
    seed: Seed = setting(1, "seed of the draw of lines")


class SentencePieceSettings(Section):
    """SentencePiece's trainer, its options by SentencePiece's names."""

    renamed: ClassVar[Mapping[str, str]] = {
        "vocabulary_size": "vocab_size",
        "split_by_script": "split_by_unicode_script",
        "longest_piece": "max_sentencepiece_length",
        "normalisation": "normalization_rule_name",
        "user_defined_pieces": "user_defined_symbols",
        "seed_pieces": "seed_sentencepiece_size",
        "rounds": "num_sub_iterations",
        "threads": "num_threads",
    }

    model_type: Literal["unigram", "bpe"] = setting(
        "unigram", "algorithm that chooses the pieces", source="XLM-R §3; its §5.2 compares with BPE"
    )
    vocab_size: int = setting(
        250_000,
        "pieces of the model, <unk> <s> </s> included; the vocabulary has 2 more, <pad> and <mask>",
        source="XLM-R §3, and the released sentencepiece.bpe.model",
        ge=16,
    )
    character_coverage: float = setting(
        0.9995,
        "share of the characters of the text that get a piece",
        source="SentencePiece's default",
        gt=0.9,
        le=1,
    )
    byte_fallback: bool = setting(
        False,
        "characters without a piece become their bytes, 256 more pieces, and <unk> is never needed",
        source="SentencePiece's default; the released model has no bytes",
    )
    split_digits: bool = setting(
        False, "every digit is a piece", source="SentencePiece's default; the released model has 2019 in one piece"
    )
    split_by_unicode_script: bool = setting(
        True, "no piece has letters of two scripts", source="SentencePiece's default"
    )
    split_by_number: bool = setting(True, "no piece has letters and digits", source="SentencePiece's default")
    max_sentencepiece_length: int = setting(
        16, "maximal number of characters of a piece", source="SentencePiece's default", ge=1, le=512
    )
    normalization_rule_name: Literal["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf", "identity"] = setting(
        "nmt_nfkc", "normalisation, by SentencePiece's name of it", source="the released sentencepiece.bpe.model"
    )
    user_defined_symbols: tuple[str, ...] = setting(
        (),
        "texts that are always one piece, such as tags of a markup; their ids start at 4; unigram only",
        source="SentencePiece's default",
    )
    input_sentence_size: int = setting(
        0,
        "train on so many lines only, drawn at random; 0 for every line",
        source="SentencePiece's default",
        ge=0,
    )
    seed_sentencepiece_size: int = setting(
        1_000_000, "number of candidates before pruning", source="SentencePiece's default", ge=1_000
    )
    shrinking_factor: float = setting(
        0.75, "share of the candidates that each pruning keeps", source="SentencePiece's default", gt=0, lt=1
    )
    num_sub_iterations: int = setting(
        2, "rounds of expectation-maximisation before each pruning", source="SentencePiece's default", ge=1, le=64
    )
    score_bits: int = setting(
        10,
        "unigram scores are rounded to multiples of 2^-score_bits, so that their sums are exact in 32 bits and every "
        "program finds the same pieces; 0 leaves them",
        source="our choice; `xlmr tokenizer compare` counts lines that differ between SentencePiece and Hugging Face",
        ge=0,
        le=16,
    )
    num_threads: int = setting(
        2,
        "threads of the trainer; they change the result, because numbers are added in another order",
        source="measured: the scores change in the fourth decimal",
        ge=1,
        le=1024,
    )
    seed: Seed = setting(1, "seed of the draw of input_sentence_size lines")

    def inert(self) -> Collection[str]:
        """What only a unigram's pruning uses; the seed of a draw that is not made."""
        pruning = (
            ("seed_sentencepiece_size", "shrinking_factor", "num_sub_iterations", "score_bits")
            if self.model_type == "bpe"
            else ()
        )
        return pruning if self.input_sentence_size else (*pruning, "seed")

    @model_validator(mode="after")
    def _check_user_defined(self) -> SentencePieceSettings:
        wanted = self.user_defined_symbols
        if wanted and self.model_type != "unigram":
            raise ValueError("user_defined_symbols: only a unigram model has them; set model_type to unigram")
        for number, piece in enumerate(wanted):
            if why := refused_piece(piece, folds_case=self.normalization_rule_name.endswith("_cf")):
                raise ValueError(f"user_defined_symbols: {piece!r} {why}")
            if piece in wanted[:number]:
                raise ValueError(f"user_defined_symbols: {piece!r} is listed twice")
        return self


class EncodeSettings(Section):
    """The corpus as sequences of token ids."""

    renamed: ClassVar[Mapping[str, str]] = {
        "sample_length": "sequence_length",
    }

    sequence_length: int = setting(
        512, "tokens of a sequence, <s> included", source="XLM-R §3, RoBERTa §4", ge=8, le=1 << 20
    )
    break_mode: Literal["none", "complete"] = setting(
        "none",
        "none: the stream is cut anywhere, every sequence is full; complete: sequences hold whole sentences while they "
        "fit, the rest is padding, and only a sentence longer than a sequence is cut",
        source="fairseq's sample-break-mode; its default for masked models is complete, XLM-R's is not published",
    )
    sentence: Literal["document", "line"] = setting(
        "document",
        "unit that </s> ends and that complete does not cut",
        source="fairseq ends every line of its input with </s>; CC100's files have a paragraph a line",
    )
    validation_share: float = setting(
        0.01,
        "share of the documents kept for validation; a language of two documents or more keeps one",
        gt=0,
        lt=1,
    )
    languages: Languages = setting(
        (),
        "codes of the languages that are encoded, and so pretrained on; empty: all languages of the corpus",
        source="XLM-R §5.1 tries 7, 15, 30, 60 and 100",
    )
    buckets: tuple[Bucket, ...] = setting(BUCKETS, "buckets of the corpus that are encoded", min_length=1)
    shard_bytes: int = setting(
        64 * 2**20,
        "bytes of text of a shard, or a 16th of a small corpus; small files are combined into one shard, and a larger "
        "file is a shard by itself",
        ge=1,
        affects_result=False,
    )


class StudySettings(Section):
    """Comparison of vocabularies of several sizes and smoothings."""

    alphas: tuple[float, ...] = setting(
        (), "values of alpha to try; empty: no study", source="XLM-R §5.3 and figure 5 try 0.01, 0.3, 0.7, 1"
    )
    sizes: tuple[int, ...] = setting(
        (32_000, 64_000, 128_000, 256_000, 512_000),
        "vocabulary sizes to try; those that the text is too small for are reported and left out",
        source="XLM-R §5.3 and figure 6",
        min_length=1,
    )
    model_types: tuple[Literal["unigram", "bpe"], ...] = setting(("unigram",), "kinds of model to try", min_length=1)
    bytes: int = setting(20_000_000, "training text of each vocabulary, in bytes", gt=0)
    test_share: float = setting(0.05, "share of the documents that are held out from training and measured", gt=0, lt=1)
    test_bytes: int = setting(100_000, "maximal held-out text of a language, in bytes", gt=0)

    def inert(self) -> Collection[str]:
        """Everything but the smoothings, where none is to be tried."""
        return () if self.alphas else type(self).model_fields.keys() - {"alphas"}


class TokenizerSettings(Section):
    """All settings of the package."""

    existing: ExistingSettings = setting(
        default_factory=ExistingSettings, description="an existing vocabulary, used in place of a new one"
    )
    sample: SampleSettings = setting(default_factory=SampleSettings, description="the text to learn from")
    train: SentencePieceSettings = setting(default_factory=SentencePieceSettings, description="SentencePiece's trainer")
    encode: EncodeSettings = setting(default_factory=EncodeSettings, description="the corpus as sequences of token ids")
    study: StudySettings = setting(default_factory=StudySettings, description="what α and vocabulary size change")
