"""What the tokenizer room offers to the spine: settings, stages, tools, report. It imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pipeline.config import Section, setting
from pipeline.stage import Room, Stage

Bucket = Literal["head", "middle", "tail", "all"]

BUCKETS: tuple[Bucket, ...] = ("head", "middle", "all")
"""What both stages read of the corpus unless told otherwise: the fluent text, and languages without a
language model.
"""


class SampleSettings(Section):
    """The text that the vocabulary is learnt from."""

    bytes: int = setting(
        4_000_000_000,
        "size of the training text in all, in bytes of UTF-8; the trainer holds it in memory about 20 times",
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
    buckets: tuple[Bucket, ...] = setting(BUCKETS, "buckets of the corpus that the text is drawn from", min_length=1)
    longest_line: int = setting(
        4192,
        "lines longer than this many bytes are cut at white space (else between characters), not lost",
        source="SentencePiece's max_sentence_length, over which it drops a line",
        ge=64,
    )
    seed: int = setting(1, "seed of the draw of lines", ge=0)


class TrainSettings(Section):
    """SentencePiece's trainer."""

    vocabulary_size: int = setting(
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
    normalisation: Literal["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf", "identity"] = setting(
        "nmt_nfkc", "SentencePiece's name of the normalisation", source="the released sentencepiece.bpe.model"
    )
    input_sentence_size: int = setting(
        0,
        "learn from so many lines only, drawn at random; 0 for every line",
        source="SentencePiece's default",
        ge=0,
    )
    seed_pieces: int = setting(
        1_000_000, "candidates that the pruning starts from", source="SentencePiece's default", ge=1_000
    )
    threads: int = setting(
        2,
        "threads of the trainer; part of the result, because sums are added up in another order",
        source="measured: the scores change in the fourth decimal",
        ge=1,
        le=1024,
    )
    seed: int = setting(1, "seed of the trainer's own draw of lines", ge=0)


class EncodeSettings(Section):
    """The corpus as samples of pieces."""

    sample_length: int = setting(
        512, "pieces of a sample, <s> included", source="XLM-R §3, RoBERTa §4", ge=8, le=1 << 20
    )
    break_mode: Literal["none", "complete"] = setting(
        "none",
        "none: a sample goes on over the ends of documents; complete: a document that fits is not broken",
        source="fairseq's sample-break-mode",
    )
    validation_share: float = setting(
        0.01,
        "share of the documents kept for validation; a language of two documents or more keeps one",
        gt=0,
        lt=1,
    )
    buckets: tuple[Bucket, ...] = setting(BUCKETS, "buckets of the corpus that are encoded", min_length=1)


class TokenizerSettings(Section):
    """All settings of the room."""

    sample: SampleSettings = setting(default_factory=SampleSettings, description="the text to learn from")
    train: TrainSettings = setting(default_factory=TrainSettings, description="SentencePiece's trainer")
    encode: EncodeSettings = setting(default_factory=EncodeSettings, description="the corpus as samples of pieces")


class SampleStage(Section):
    """What ``tokenizer.sample`` reads."""

    sample: SampleSettings


class TrainStage(Section):
    """What ``tokenizer.train`` reads."""

    train: TrainSettings


class EncodeStage(Section):
    """What ``tokenizer.encode`` reads."""

    encode: EncodeSettings


ROOM = Room(
    name="tokenizer",
    config=TokenizerSettings,
    stages=(
        Stage(
            name="tokenizer.sample",
            version=1,
            config=SampleStage,
            run="tokenizer.sample:run",
            summary="draw the text that the vocabulary is learnt from",
            inputs=("corpus.regroup",),
            resumable=True,
        ),
        Stage(
            name="tokenizer.train",
            version=1,
            config=TrainStage,
            run="tokenizer.train:run",
            summary="learn the vocabulary with SentencePiece",
            inputs=("tokenizer.sample",),
        ),
        Stage(
            name="tokenizer.encode",
            version=1,
            config=EncodeStage,
            run="tokenizer.encode:run",
            summary="turn the corpus into samples of pieces",
            inputs=("corpus.regroup", "tokenizer.train"),
            resumable=True,
        ),
    ),
    report="tokenizer.report:sections",
    tools={"segment": "tokenizer.tools:segment"},
)
