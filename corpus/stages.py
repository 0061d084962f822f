"""What this room offers: its settings, its stages, its report and its tools. Imports nothing heavy."""

from __future__ import annotations

from corpus.crawl.settings import Fetch, Read
from corpus.duplicates.settings import Duplicates
from corpus.language.model_file import model_path
from corpus.language.settings import LanguageId
from corpus.output.settings import Regroup
from corpus.perplexity.settings import LanguageModels, Perplexity
from pipeline.config import Section, setting
from pipeline.stage import Room, Stage


class CorpusConfig(Section):
    """From a crawl to the corpus."""

    fetch: Fetch = setting(Fetch(), "where the crawl is")
    read: Read = setting(Read(), "how a record becomes a document")
    duplicates: Duplicates = setting(Duplicates(), "exact deduplication of lines")
    language_id: LanguageId = setting(LanguageId(), "language identification")
    language_models: LanguageModels = setting(LanguageModels(), "models for perplexity")
    perplexity: Perplexity = setting(Perplexity(), "buckets by perplexity")
    regroup: Regroup = setting(Regroup(), "the files of the corpus")


class FetchStage(Section):
    """What corpus.fetch reads."""

    fetch: Fetch


class HashStage(Section):
    """What corpus.hash reads."""

    read: Read


class DuplicatesStage(Section):
    """What corpus.duplicates reads."""

    duplicates: Duplicates


class LanguageModelsStage(Section):
    """What corpus.language_models reads."""

    language_models: LanguageModels


class MineStage(Section):
    """What corpus.mine reads."""

    read: Read
    language_id: LanguageId


class CutoffsStage(Section):
    """What corpus.cutoffs reads."""

    perplexity: Perplexity


class RegroupStage(Section):
    """What corpus.regroup reads."""

    regroup: Regroup


def _identifier_file(config: MineStage) -> dict[str, str]:
    return {str(model_path(config.language_id.model)): "language_id.model"}


def _cutoffs_file(config: CutoffsStage) -> dict[str, str]:
    return {config.perplexity.cutoffs: "perplexity.cutoffs"} if config.perplexity.cutoffs else {}


ROOM = Room(
    name="corpus",
    config=CorpusConfig,
    report="corpus.report:sections",
    stages=(
        Stage(
            name="corpus.fetch",
            version=1,
            config=FetchStage,
            run="corpus.crawl.fetch:run",
            summary="list the files of the crawl and deal them out to shards",
            outside=lambda config: {config.fetch.crawl: "fetch.crawl"},
        ),
        Stage(
            name="corpus.hash",
            version=1,
            config=HashStage,
            inputs=("corpus.fetch",),
            run="corpus.duplicates.hash:run",
            summary="hash every line of every document",
            resumable=True,
        ),
        Stage(
            name="corpus.duplicates",
            version=1,
            config=DuplicatesStage,
            inputs=("corpus.hash",),
            run="corpus.duplicates.exact:run",
            summary="find the lines that stand in two documents or more",
            resumable=True,
        ),
        Stage(
            name="corpus.language_models",
            version=1,
            config=LanguageModelsStage,
            run="corpus.perplexity.train:run",
            summary="train a SentencePiece and a 5-gram model for each language",
            outside=lambda config: {config.language_models.text: "language_models.text"},
            resumable=True,
        ),
        Stage(
            name="corpus.mine",
            version=1,
            config=MineStage,
            inputs=("corpus.fetch", "corpus.hash", "corpus.duplicates", "corpus.language_models"),
            run="corpus.mine.stage:run",
            summary="drop duplicates, identify the language, score with its model",
            outside=_identifier_file,
            resumable=True,
        ),
        Stage(
            name="corpus.cutoffs",
            version=1,
            config=CutoffsStage,
            inputs=("corpus.mine",),
            run="corpus.perplexity.cutoffs:run",
            summary="find each language's cut-offs between head, middle and tail",
            outside=_cutoffs_file,
        ),
        Stage(
            name="corpus.regroup",
            version=1,
            config=RegroupStage,
            inputs=("corpus.mine", "corpus.cutoffs"),
            run="corpus.output.regroup:run",
            summary="write the corpus as Arrow files by language and bucket",
            resumable=True,
        ),
    ),
)
