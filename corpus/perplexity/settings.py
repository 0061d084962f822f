"""Settings of the language models and of the buckets cut by them. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar, Literal

from pipeline.config import FileAddress, LocalPath, Section, setting
from pipeline.errors import XlmrError
from pipeline.storage import is_folder

MODEL_MEMORY = 2**30
"""Bytes of loaded models in one process."""


class LanguageModels(Section):
    """A SentencePiece and a 5-gram model for each language, trained on clean text or taken from a folder."""

    renamed: ClassVar[Mapping[str, str]] = {"vocabulary_size": "vocab_size"}

    text: FileAddress = setting(
        "samples/clean/*.txt.xz",
        "clean text by language, a folder, path or pattern at any fsspec address: "
        "<xx>wiki-…-cirrussearch-content.json.gz, <code>.txt, .jsonl (field text), .parquet or .arrow (column text); "
        "text and JSON may be .gz, .xz or .zst; '' trains none: no language is divided by perplexity",
        source="cc_net: Wikipedia",
    )
    folder: FileAddress | None = setting(
        None,
        "a folder with <code>.sp.model and <code>.arpa.bin, as cc_net's; used instead of training",
        source="cc_net dl_lm",
    )
    wikipedia_field: Literal["opening_text", "text"] = setting(
        "opening_text", "the field of a CirrusSearch article that is read", source="cc_net get_wiki_cirrus"
    )
    documents: int = setting(1_000_000, "maximum documents of each language", ge=1, source="cc_net get_wiki_cirrus")
    vocab_size: int = setting(
        65_536,
        "tokens of each language's SentencePiece vocabulary; fewer where there is little text",
        ge=64,
        source="cc_net",
    )
    character_coverage: float = setting(
        0.9995, "share of the characters of the text that are in the vocabulary", gt=0, le=1, source="cc_net"
    )
    order: int = setting(5, "length of the longest n-gram", ge=2, le=6, source="cc_net")
    prune: tuple[int, ...] = setting(
        (),
        "n-grams with at most this count are removed, by order, as 0 0 1; empty: no pruning",
        source="cc_net: none",
    )
    structure: Literal["probing", "trie", "quantised trie"] = setting(
        "probing",
        "data structure of the n-grams: a trie has 0.4 times the size of probing, a quantised one 0.2; both score half "
        "as fast (`python -m benchmarks.perplexity structures`); only the last changes perplexities",
        source="cc_net: build_binary's default, probing",
    )
    sort_memory: str = setting("1G", "memory of lmplz for sorting", pattern=r"^\d+[KMG%]$", affects_result=False)

    def inert(self) -> Collection[str]:
        """How models are trained, where they are taken from a folder or there are none."""
        if self.folder is not None:
            return type(self).model_fields.keys() - {"folder"}
        return () if self.text else type(self).model_fields.keys() - {"folder", "text"}


class PerplexityScoring(Section):
    """Scoring by the models, while mining."""

    memory_bytes: int = setting(
        MODEL_MEMORY,
        "memory of one worker's models, whose files are mapped; the least recently used are evicted",
        ge=0,
        affects_result=False,
    )


class Perplexity(Section):
    """Cut-offs between head, middle and tail of each language."""

    head_percentile: float = setting(30.0, "percentile between head and middle", ge=0, le=100, source="cc_net")
    middle_percentile: float = setting(60.0, "percentile between middle and tail", ge=0, le=100, source="cc_net")
    sample: int = setting(
        1_000_000, "perplexities of each language that the percentiles are computed from", ge=1, source="cc_net"
    )
    cutoffs: LocalPath | None = setting(
        None,
        "a table that is used instead of percentiles: table.json of corpus.cutoffs, a JSON file "
        "{language: [head, middle]}, or cc_net's cutoff.csv",
    )

    def inert(self) -> Collection[str]:
        """The percentiles, where a table is used instead."""
        return ("head_percentile", "middle_percentile", "sample") if self.cutoffs else ()


def outside_model_files(settings: LanguageModels) -> dict[str, str]:
    """The files that models are made from or taken from, and the setting that names them."""
    if settings.folder is None:
        return {text_pattern(settings.text): "language_models.text"} if settings.text else {}
    return {f"{settings.folder.rstrip('/')}/*{end}": "language_models.folder" for end in (".sp.model", ".arpa.bin")}


def text_pattern(text: str) -> str:
    """What ``language_models.text`` means as a pattern that names files: itself, or of a folder the files in it."""
    try:
        folder = is_folder(text)
    except XlmrError:  # reported where the files are listed, with the setting that named them
        return text
    return f"{text.rstrip('/')}/*.*" if folder else text
