"""Settings of the language models and of the buckets cut by them. Imports nothing heavy."""

from __future__ import annotations

from pipeline.config import Section, setting


class LanguageModels(Section):
    """A SentencePiece and a 5-gram model for each language, from clean text."""

    text: str = setting(
        "samples/clean/*.txt.xz",
        "files <language>.txt[.xz|.gz|.zst], a document a line",
        source="cc_net: Wikipedia",
    )
    documents: int = setting(1_000_000, "documents of each language at the most", ge=1, source="cc_net get_wiki_cirrus")
    vocabulary_size: int = setting(
        65_536, "pieces of each language; fewer where there is little text", ge=64, source="cc_net"
    )
    character_coverage: float = setting(0.9995, "share of characters that get a piece", gt=0, le=1, source="cc_net")
    order: int = setting(5, "length of the longest n-gram", ge=2, le=6, source="cc_net")
    sort_memory: str = setting("1G", "memory of lmplz for sorting", pattern=r"^\d+[KMG%]$", affects_result=False)


class Perplexity(Section):
    """Where a language's documents are cut into head, middle and tail."""

    head_percentile: float = setting(30.0, "the best documents, in percent", ge=0, le=100, source="cc_net")
    middle_percentile: float = setting(60.0, "head and middle together, in percent", ge=0, le=100, source="cc_net")
    sample: int = setting(
        1_000_000, "perplexities of each language that the percentiles are taken over", ge=1, source="cc_net"
    )
    cutoffs: str | None = setting(None, "a JSON file {language: [head, middle]} that is used instead of percentiles")
