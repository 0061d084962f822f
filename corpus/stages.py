"""What this room offers: its settings, its stages, its report and its tools. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from corpus.identifier_file import BUILT_IN_IDENTIFIER, model_path
from pipeline.config import Section, setting
from pipeline.stage import Room, Stage

CC_NET = "cc_net"


class Fetch(Section):
    """Where the crawl is."""

    crawl: str = setting("samples/crawl/*.warc.wet.gz", "path or pattern of the WET files; any fsspec address")
    shards: int | None = setting(
        None, "number of shards; shard i of N takes files [i·n//N, (i+1)·n//N). None: a shard a file", ge=1,
        source="cc_net mine.py, 1,600 a dump",
    )  # fmt: skip


class Read(Section):
    """How a WET record becomes a document."""

    min_characters: int = setting(300, "shorter documents are not read at all", ge=0, source=f"{CC_NET} min_len")
    max_record_bytes: int = setting(64 * 2**20, "a record with more is left out and named", ge=1)


class Duplicates(Section):
    """Exact deduplication of lines."""

    window: int | None = setting(
        None,
        "shards that are held against each other; None: all of them",
        ge=1,
        source=f"{CC_NET} hash_in_mem, 50",
    )
    memory_bytes: int = setting(
        2**30, "memory of one worker for one partition of the hashes", ge=2**16, affects_result=False
    )


class LanguageId(Section):
    """Which language a document is in."""

    model: str = setting(BUILT_IN_IDENTIFIER, "a fastText model file, or lid.176.ftz for the one that ships with us")
    threshold: float = setting(
        0.5, "documents with a lower score are dropped", ge=0, le=1, source=f"{CC_NET} lang_threshold"
    )


class LanguageModels(Section):
    """A SentencePiece and a 5-gram model for each language, from clean text."""

    text: str = setting(
        "samples/clean/*.txt.xz",
        "files <language>.txt[.xz|.gz|.zst], a document a line",
        source=f"{CC_NET}: Wikipedia",
    )
    documents: int = setting(
        1_000_000, "documents of each language at the most", ge=1, source=f"{CC_NET} get_wiki_cirrus"
    )
    vocabulary_size: int = setting(
        65_536, "pieces of each language; fewer where there is little text", ge=64, source=CC_NET
    )
    character_coverage: float = setting(0.9995, "share of characters that get a piece", gt=0, le=1, source=CC_NET)
    order: int = setting(5, "length of the longest n-gram", ge=2, le=6, source=CC_NET)
    sort_memory: str = setting("1G", "memory of lmplz for sorting", pattern=r"^\d+[KMG%]$", affects_result=False)


class Perplexity(Section):
    """Where a language's documents are cut into head, middle and tail."""

    head_percentile: float = setting(30.0, "the best documents, in percent", ge=0, le=100, source=CC_NET)
    middle_percentile: float = setting(60.0, "head and middle together, in percent", ge=0, le=100, source=CC_NET)
    sample: int = setting(
        1_000_000, "perplexities of each language that the percentiles are taken over", ge=1, source=CC_NET
    )
    cutoffs: str | None = setting(None, "a JSON file {language: [head, middle]} that is used instead of percentiles")


class Regroup(Section):
    """The files of the corpus."""

    file_bytes: int = setting(
        512 * 2**20,
        "text of one Arrow file, in bytes of UTF-8 before compression",
        ge=2**10,
        source="our choice; cc_net 4 GB",
    )
    compression: Literal["zstd", "lz4"] = setting("zstd", "compression of the Arrow buffers")


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
            run="corpus.fetch:run",
            summary="list the files of the crawl and deal them out to shards",
            outside=lambda config: {config.fetch.crawl: "fetch.crawl"},
        ),
        Stage(
            name="corpus.hash",
            version=1,
            config=HashStage,
            inputs=("corpus.fetch",),
            run="corpus.hash:run",
            summary="hash every line of every document",
            resumable=True,
        ),
        Stage(
            name="corpus.duplicates",
            version=1,
            config=DuplicatesStage,
            inputs=("corpus.hash",),
            run="corpus.duplicates:run",
            summary="find the lines that stand in two documents or more",
            resumable=True,
        ),
        Stage(
            name="corpus.language_models",
            version=1,
            config=LanguageModelsStage,
            run="corpus.language_models:run",
            summary="train a SentencePiece and a 5-gram model for each language",
            outside=lambda config: {config.language_models.text: "language_models.text"},
            resumable=True,
        ),
        Stage(
            name="corpus.mine",
            version=1,
            config=MineStage,
            inputs=("corpus.fetch", "corpus.hash", "corpus.duplicates", "corpus.language_models"),
            run="corpus.mine:run",
            summary="drop duplicates, identify the language, score with its model",
            outside=_identifier_file,
            resumable=True,
        ),
        Stage(
            name="corpus.cutoffs",
            version=1,
            config=CutoffsStage,
            inputs=("corpus.mine",),
            run="corpus.cutoffs:run",
            summary="find each language's cut-offs between head, middle and tail",
            outside=_cutoffs_file,
        ),
        Stage(
            name="corpus.regroup",
            version=1,
            config=RegroupStage,
            inputs=("corpus.mine", "corpus.cutoffs"),
            run="corpus.regroup:run",
            summary="write the corpus as Arrow files by language and bucket",
            resumable=True,
        ),
    ),
)
