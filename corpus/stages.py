"""What this package offers: its stages, its report and its tools. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corpus.filters.settings import list_files
from corpus.language.model_file import BUILT_IN_OWN_MODEL
from corpus.language.settings import AS_THEY_ARE, CC100
from corpus.perplexity.settings import outside_model_files
from corpus.settings import (
    CorpusConfig,
    CutoffsStage,
    DuplicatesStage,
    FetchStage,
    HashStage,
    LanguageModelsStage,
    MineStage,
    NearDuplicatesStage,
    RegroupStage,
)
from pipeline.stage import FirstSetting, Package, Stage


def _crawl_files(config: FetchStage) -> dict[str, str]:
    from corpus.crawl.dumps import outside_files

    return outside_files(config.fetch)


def _listed_shards(config: FetchStage) -> int | None:
    from corpus.crawl.fetch import all_shards

    return None if config.fetch.index.files else len(all_shards(config.fetch))


def _mining_files(config: MineStage) -> dict[str, str]:
    from corpus.filters.check import check_lists
    from corpus.language.check import check_identifier

    check_identifier(config.language_id)
    check_lists(config.filters)
    lists = list_files(config.filters) if "filter" in config.mine.steps else {}
    return {**config.language_id.files(), **lists}


def _cutoffs_file(config: CutoffsStage) -> dict[str, str]:
    return {config.perplexity.cutoffs: "perplexity.cutoffs"} if config.perplexity.cutoffs else {}


def _first_labels(settings: Mapping[str, Any]) -> str:
    """The codes that ``xlmr corpus identify`` prints, unless another identifier is asked for."""
    others = {"corpus.language_id.identifier", "corpus.language_id.model"}
    return AS_THEY_ARE if others & settings.keys() else CC100


def _first_own_model(settings: Mapping[str, Any]) -> str:
    labels = settings.get("corpus.language_id.labels", CC100)
    return BUILT_IN_OWN_MODEL if labels == _first_labels(settings) == CC100 else ""


PACKAGE = Package(
    name="corpus",
    config=CorpusConfig,
    report="corpus.report:sections",
    measures="corpus.measures:measures",
    tools={
        "score": "corpus.perplexity.tools:score",
        "train-lm": "corpus.perplexity.tools:train_lm",
        "identify": "corpus.language.tools:identify",
        "lid-report": "corpus.language.tools:lid_report",
        "train-lid": "corpus.language.tools:train_lid",
        "export": "corpus.output.export:export",
        "card": "corpus.output.card:card",
        "minify": "corpus.minify.minify:minify",
        "reproduce": "corpus.minify.reproduce:reproduce",
    },
    commands={"setup-kenlm": "corpus.perplexity.setup_kenlm:setup_kenlm"},
    examples={
        "score": (
            "xlmr corpus score page.txt --models runs/demo/corpus.language_models/KEY --language de",
            "xlmr corpus score pages.txt --models models/ --cutoffs cutoffs.json --json",
        ),
        "train-lm": (
            "xlmr corpus train-lm clean/de.txt models/",
            "xlmr corpus train-lm dewiki-cirrussearch-content.json.gz models/ --documents 100000",
        ),
        "identify": (
            "xlmr corpus identify page.txt",
            "xlmr corpus identify pages/*.txt --whole --json",
            "xlmr corpus identify texts.csv --column text --top 3",
        ),
        "lid-report": ("xlmr corpus lid-report labelled.tsv",),
        "train-lid": ("xlmr corpus train-lid 'labelled/*.txt' identifier/",),
        "export": (
            "xlmr corpus export runs/demo corpus-parquet --to parquet",
            "xlmr corpus export runs/demo corpus-text --to text --language de --bucket head",
        ),
        "card": ("xlmr corpus card runs/demo --out README.md",),
        "minify": ("xlmr corpus minify runs/demo minified",),
        "reproduce": (
            "xlmr corpus reproduce minified crawl/ corpus",
            "xlmr corpus reproduce minified https://data.commoncrawl.org/ corpus",
        ),
        "setup-kenlm": ("xlmr setup-kenlm",),
    },
    checks="corpus.installation:check",
    first=(
        FirstSetting(
            "corpus.fetch.crawl",
            "corpus.fetch",
            None,
            "Where is your text (WET, WARC, JSON lines, Parquet or Arrow; a folder, file or pattern)?",
            "crawl",
        ),
        FirstSetting("corpus.read.normal_form", "corpus.hash", "nfc"),
        FirstSetting("corpus.duplicates.window", "corpus.duplicates", None),
        FirstSetting("corpus.language_id.labels", "corpus.mine", derive=_first_labels),
        FirstSetting("corpus.language_id.own_model", "corpus.mine", derive=_first_own_model),
        FirstSetting(
            "corpus.mine.languages",
            "corpus.mine",
            (),
            "Codes of the languages to keep, as de,fr (none for all)?",
            "languages",
        ),
        FirstSetting(
            "corpus.language_models.text",
            "corpus.language_models",
            "",
            "Where is clean text for the language models (a folder with <code>.txt or <code>.jsonl; none for none)?",
            "clean-text",
        ),
    ),
    stages=(
        Stage(
            name="corpus.fetch",
            version=3,
            config=FetchStage,
            run="corpus.crawl.fetch:run",
            summary="list the files of the crawl and deal them out to shards",
            outside=_crawl_files,
            list_shards=_listed_shards,
        ),
        Stage(
            name="corpus.hash",
            version=3,
            config=HashStage,
            inputs=("corpus.fetch",),
            run="corpus.duplicates.hash:run",
            summary="hash every line of every document",
            resumable=True,
            sharded=1,
        ),
        Stage(
            name="corpus.duplicates",
            version=2,
            config=DuplicatesStage,
            inputs=("corpus.hash",),
            run="corpus.duplicates.exact:run",
            summary="find the lines that stand in two documents or more",
            resumable=True,
            sharded=1,
        ),
        Stage(
            name="corpus.language_models",
            version=3,
            config=LanguageModelsStage,
            run="corpus.perplexity.train:run",
            summary="train a SentencePiece and a 5-gram model for each language",
            outside=lambda config: outside_model_files(config.language_models),
            check="corpus.perplexity.train:check",
            resumable=True,
            sharded=1,
        ),
        Stage(
            name="corpus.mine",
            version=9,
            config=MineStage,
            inputs=("corpus.fetch", "corpus.hash", "corpus.duplicates", "corpus.language_models"),
            run="corpus.mine.stage:run",
            summary="drop duplicates, identify the language, score with its model",
            outside=_mining_files,
            resumable=True,
            sharded=1,
        ),
        Stage(
            name="corpus.near_duplicates",
            version=1,
            config=NearDuplicatesStage,
            inputs=("corpus.mine",),
            run="corpus.duplicates.near:run",
            summary="find documents that are nearly the same (only if near_duplicates.enabled)",
            resumable=True,
        ),
        Stage(
            name="corpus.cutoffs",
            version=3,
            config=CutoffsStage,
            inputs=("corpus.fetch", "corpus.language_models", "corpus.mine"),
            run="corpus.perplexity.cutoffs:run",
            summary="find each language's cut-offs between head, middle and tail",
            outside=_cutoffs_file,
        ),
        Stage(
            name="corpus.regroup",
            version=3,
            config=RegroupStage,
            inputs=("corpus.mine", "corpus.near_duplicates", "corpus.cutoffs"),
            run="corpus.output.regroup:run",
            summary="write the corpus as Arrow files by language and bucket",
            then="xlmr inspect {output}",
            resumable=True,
            sharded=2,
        ),
    ),
)
