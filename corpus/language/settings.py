"""Settings of language identification. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Self

from pydantic import model_validator

from corpus.language.model_file import BUILT_IN_IDENTIFIER, model_path, own_model_path
from pipeline.config import LocalPath, Section, setting
from pipeline.plug_ins import Registry

FASTTEXT = "fasttext"
IDENTIFIERS = Registry(
    "identifier", {FASTTEXT: "corpus.language.identifier:make_fast_text_identifier"}, "xlmr.identifiers"
)

AS_THEY_ARE = "as_they_are"
CC100 = "cc100"
NO_ANSWER = "und"
"""What tools print for a text without a language, as ISO 639 names it."""


class DocumentPrior(Section):
    """Where paragraphs are decided on, what the rest of their document says about them. docs/language.md has the rule.

    Characters are letters that show a language: those of names and codes count a quarter, those of Chinese, Japanese
    and Korean three times.
    """

    enabled: bool = setting(
        False, "let the document help its paragraphs, and let rare languages need evidence; needs mine.unit: paragraph"
    )
    characters: float = setting(
        1000, "characters that the other paragraphs of a document count at most; more: fewer languages a document", ge=0
    )
    declared: float = setting(
        50, "characters that the language counts which a page of HTML declares (lang); 0: none", ge=0
    )
    base: float = setting(20, "characters that the base rates count; more: fewer languages that are rare", gt=0)
    half: float = setting(
        20,
        "characters of a paragraph whose own probabilities count half; more: short paragraphs follow their document",
        ge=0,
    )
    base_rates: LocalPath = setting(
        CC100,
        "how much text of each language the crawl has: cc100, the sizes of CC100's files; or a TSV of code and size, "
        "in any unit",
        source="data.statmt.org/cc-100",
    )
    rare_rate: float = setting(1e-4, "share of the crawl under which a language is rare and needs evidence", ge=0, le=1)
    rare_characters: float = setting(
        100, "characters that a document needs in a rare language, as both models agree, for it to be believed", ge=0
    )

    def inert(self) -> Collection[str]:
        """All of them, where it is off."""
        return () if self.enabled else [name for name in type(self).model_fields if name != "enabled"]


class LanguageId(Section):
    """Language identification."""

    identifier: Annotated[str, IDENTIFIERS] = setting(
        FASTTEXT, "fasttext, by the models named here; or one of your own, as my.identifier:identify"
    )
    model: LocalPath = setting(BUILT_IN_IDENTIFIER, "a fastText model file, or lid.176.ftz, which is included")
    labels: LocalPath = setting(
        AS_THEY_ARE,
        "as_they_are, as cc_net; cc100: the codes of CC100, zh and my split by script and encoding; "
        "or a table of one's own, a TSV, YAML or JSON file of label and code",
    )
    own_model: LocalPath = setting(
        "",
        "a model of `xlmr corpus train-lid`, combined with the first, and with CLD2 if it was trained so; built-in: "
        "the included one; '': none",
    )
    threshold: float = setting(
        0.5, "minimum score; documents below it are dropped", ge=0, le=1, source="cc_net lang_threshold"
    )
    thresholds: dict[str, float] = setting({}, "thresholds of single languages by code, which override threshold")
    least_letters: float = setting(
        3,
        "texts with fewer letters get no language; a Latin letter counts 1, a character of Chinese, Japanese or Korean "
        "4, other letters 2. Not with as_they_are alone",
        ge=0,
    )
    document_prior: DocumentPrior = setting(DocumentPrior(), "what the document says about its paragraphs")

    @model_validator(mode="after")
    def _prior_needs_probabilities(self) -> Self:
        given = self.identifier == FASTTEXT and (self.labels == CC100 or self.own_model)
        if self.document_prior.enabled and not given:
            raise ValueError(
                "document_prior needs the probabilities of all codes: set labels: cc100 (and own_model: built-in), or "
                "document_prior.enabled: false"
            )
        return self

    def inert(self) -> Collection[str]:
        """The models, where another identifier is used; what only applies to codes, where labels stay as they are."""
        if self.identifier != FASTTEXT:
            return ("model", "labels", "own_model", "least_letters")
        return ("least_letters",) if self.labels == AS_THEY_ARE and not self.own_model else ()

    def threshold_of(self, language: str) -> float:
        """The score under which a document in this language is dropped."""
        return self.thresholds.get(language, self.threshold)

    def files(self) -> dict[str, str]:
        """The files that the answer depends on, and the setting that named each."""
        if self.identifier != FASTTEXT:
            return {}
        found = {str(model_path(self.model)): "language_id.model"}
        if self.labels not in (AS_THEY_ARE, CC100):
            found[self.labels] = "language_id.labels"
        if self.own_model:
            own = own_model_path(self.own_model)
            found |= {str(own): "language_id.own_model", str(own.with_suffix(".json")): "language_id.own_model"}
        if self.document_prior.enabled and self.document_prior.base_rates != CC100:
            found[self.document_prior.base_rates] = "language_id.document_prior.base_rates"
        return found
