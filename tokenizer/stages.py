"""What the tokenizer package offers to the core: settings, stages, tools, report. It imports nothing heavy."""

from __future__ import annotations

from collections.abc import Collection

from pipeline.config import Section
from pipeline.stage import FirstSetting, Package, Stage
from tokenizer.names import tokenizer_files
from tokenizer.settings import (
    EncodeSettings,
    ExistingSettings,
    SampleSettings,
    SentencePieceSettings,
    StudySettings,
    TokenizerSettings,
)


class SampleStage(Section):
    """What ``tokenizer.sample`` reads."""

    existing: ExistingSettings
    sample: SampleSettings

    def inert(self) -> Collection[str]:
        """The text, where no vocabulary is trained on it."""
        return ("sample",) if self.existing.model else ()


class TrainStage(Section):
    """What ``tokenizer.train`` reads."""

    existing: ExistingSettings
    train: SentencePieceSettings

    def inert(self) -> Collection[str]:
        """The trainer, where a vocabulary is taken as it is."""
        return ("train",) if self.existing.model else ()


def _existing_files(config: SampleStage | TrainStage) -> dict[str, str]:
    path = config.existing.path()
    return {} if path is None else {str(file): "existing.model" for file in tokenizer_files(path)}


class EncodeStage(Section):
    """What ``tokenizer.encode`` reads."""

    encode: EncodeSettings


class StudyStage(Section):
    """What ``tokenizer.study`` reads."""

    sample: SampleSettings
    train: SentencePieceSettings
    study: StudySettings

    def inert(self) -> Collection[str]:
        """What the study varies itself; everything, where there is none."""
        varied = ("sample.alpha", "sample.bytes", "train.vocab_size", "train.model_type")
        return (*varied, "train.input_sentence_size") if self.study.alphas else ("sample", "train")


PACKAGE = Package(
    name="tokenizer",
    config=TokenizerSettings,
    stages=(
        Stage(
            name="tokenizer.sample",
            version=2,
            config=SampleStage,
            run="tokenizer.sample:run",
            summary="draw the text that the vocabulary is trained on",
            inputs=("corpus.regroup",),
            outside=_existing_files,
            check="tokenizer.sample:check",
            resumable=True,
            sharded=1,
        ),
        Stage(
            name="tokenizer.train",
            version=3,
            config=TrainStage,
            run="tokenizer.train:run",
            summary="train the vocabulary with SentencePiece, or take an existing one",
            then="xlmr tokenizer segment 'A text of yours.' --model {output}",
            inputs=("tokenizer.sample",),
            outside=_existing_files,
        ),
        Stage(
            name="tokenizer.encode",
            version=6,
            config=EncodeStage,
            run="tokenizer.encode:run",
            summary="turn the corpus into sequences of token ids",
            inputs=("corpus.regroup", "tokenizer.train"),
            resumable=True,
            sharded=1,
        ),
        Stage(
            name="tokenizer.study",
            version=2,
            config=StudyStage,
            run="tokenizer.study:run",
            summary="compare vocabularies of several sizes and smoothings (only if study.alphas names some)",
            inputs=("corpus.regroup",),
            resumable=True,
        ),
    ),
    report="tokenizer.report:sections",
    measures="tokenizer.measures:measures",
    first=(
        FirstSetting("tokenizer.sample.bytes", "tokenizer.sample", 1_000_000_000),
        FirstSetting("tokenizer.train.vocab_size", "tokenizer.train", 50_000, "Size of the vocabulary?", "vocab-size"),
    ),
    examples={
        "segment": (
            "xlmr tokenizer segment 'human rights' --model runs/demo/tokenizer.train/KEY",
            "xlmr tokenizer segment page.txt --model sentencepiece.bpe.model --lines 5",
        ),
        "export": ("xlmr tokenizer export runs/demo/tokenizer.train/KEY tokenizer-for-transformers",),
        "compare": ("xlmr tokenizer compare runs/a/tokenizer.train/KEY models/xlm-roberta-base page.txt",),
    },
    tools={
        "segment": "tokenizer.tools:segment",
        "export": "tokenizer.tools:export",
        "compare": "tokenizer.tools:compare",
    },
)
