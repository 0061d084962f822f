"""The package's settings, and those of them that each stage reads."""

from __future__ import annotations

from collections.abc import Collection
from typing import Self

from pydantic import model_validator

from corpus.checks import check_dumps, check_languages
from corpus.crawl.settings import Fetch, Read
from corpus.duplicates.settings import Duplicates, NearDuplicates
from corpus.filters.settings import OF_MASK, Filters
from corpus.language.settings import LanguageId
from corpus.mine.settings import Mine
from corpus.output.settings import Regroup
from corpus.perplexity.settings import LanguageModels, Perplexity, PerplexityScoring
from pipeline.config import Section, setting


class CorpusConfig(Section):
    """From a crawl to the corpus."""

    fetch: Fetch = setting(Fetch(), "where the crawl is")
    read: Read = setting(Read(), "how a record becomes a document")
    duplicates: Duplicates = setting(Duplicates(), "exact deduplication of lines")
    near_duplicates: NearDuplicates = setting(NearDuplicates(), "documents that are nearly the same")
    language_id: LanguageId = setting(LanguageId(), "language identification")
    mine: Mine = setting(Mine(), "what is decided on: documents or paragraphs")
    scoring: PerplexityScoring = setting(PerplexityScoring(), "memory of the models while mining")
    filters: Filters = setting(Filters(), "rules that drop documents and lines, masks; off unless named")
    language_models: LanguageModels = setting(LanguageModels(), "models for perplexity")
    perplexity: Perplexity = setting(Perplexity(), "buckets by perplexity")
    regroup: Regroup = setting(Regroup(), "the files of the corpus")

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        check_dumps(self.fetch, self.mine)
        check_languages(self.language_id, self.mine, self.filters)
        return self


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


OF_STEP = {
    "select": ("mine.languages", "mine.dumps"),
    "filter": tuple(f"filters.{name}" for name in Filters.model_fields if name not in OF_MASK),
    "mask": tuple(f"filters.{name}" for name in OF_MASK),
}
"""The settings that a step of mining alone reads."""


class MineStage(Section):
    """What corpus.mine reads."""

    read: Read
    language_id: LanguageId
    mine: Mine
    filters: Filters
    scoring: PerplexityScoring

    def inert(self) -> Collection[str]:
        """The settings of steps that are left out, and of what is done with paragraphs alone."""
        left_out = [name for step, names in OF_STEP.items() if step not in self.mine.steps for name in names]
        return left_out if self.mine.unit == "paragraph" else [*left_out, "language_id.document_prior"]


class NearDuplicatesStage(Section):
    """What corpus.near_duplicates reads."""

    near_duplicates: NearDuplicates


class CutoffsStage(Section):
    """What corpus.cutoffs reads."""

    perplexity: Perplexity


class RegroupStage(Section):
    """What corpus.regroup reads."""

    regroup: Regroup
