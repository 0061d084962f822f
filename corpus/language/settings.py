"""Settings of language identification. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

from corpus.language.model_file import BUILT_IN_IDENTIFIER, model_path, own_model_path
from pipeline.config import LocalPath, Section, setting
from pipeline.plug_ins import Registry

FASTTEXT = "fasttext"
IDENTIFIERS = Registry(
    "identifier", {FASTTEXT: "corpus.language.identifier:make_fast_text_identifier"}, "xlmr.identifiers"
)

AS_THEY_ARE = "as_they_are"
CC100 = "cc100"


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
        "a model of `xlmr corpus train-lid`, combined with the first; built-in: the included one; '': none",
    )
    threshold: float = setting(
        0.5, "minimum score; documents below it are dropped", ge=0, le=1, source="cc_net lang_threshold"
    )
    thresholds: dict[str, float] = setting({}, "thresholds of single languages by code, which override threshold")

    def inert(self) -> Collection[str]:
        """The models, where another identifier is used."""
        return () if self.identifier == FASTTEXT else ("model", "labels", "own_model")

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
        return found
