"""Language identification: text in, code and score out, in batches.

One fastText model as cc_net uses it; or its labels under other names; or models combined. What a model cannot say
is split off afterwards (corpus.language.characters.splitters). A user's identifier: corpus.language.own_identifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from corpus.language.characters.prepare import prepared
from corpus.language.characters.scripts import WrittenLanguages
from corpus.language.characters.splitters import FineCodes, split
from corpus.language.combination.combined import Combined
from corpus.language.labels import check_names
from corpus.language.model_file import model_path
from corpus.language.models.coded_model import CodedModel
from corpus.language.models.fast_text import FastText
from corpus.language.models.own_model import OwnModel
from corpus.language.own_identifier import OwnIdentifier
from corpus.language.settings import AS_THEY_ARE, CC100, IDENTIFIERS, LanguageId
from pipeline.errors import XlmrError

Floats = npt.NDArray[np.float32]

_LEAST = 1e-6
_DISAGREEMENT = 30
"""A model that has so many times more evidence for another language disagrees."""

Ranking = list[tuple[str, float]]
"""Codes and scores, likeliest first; empty where there is no language."""
_Column = tuple[list[str], Floats]
"""The code of one rank, and its probability, for each text."""


class LanguageIdentifier:
    """A fastText model under its own labels. Errors: XlmrError for a file that is not there or is no fastText model."""

    def __init__(self, model: str) -> None:
        self._model = FastText(model_path(model))
        check_names(self._model.labels, f"{model}: the label")

    def identify(self, texts: Sequence[str]) -> tuple[list[str], Floats]:
        """The likeliest language of each text (no newline inside) and its score, rounded to 2 places as cc_net does.

        A text in which the model knows nothing gets the empty label and score 0.
        """
        if not texts:
            return [], np.empty(0, np.float32)
        return self._model.predict_rounded(texts)

    def likeliest(self, texts: Sequence[str], count: int) -> list[Ranking]:
        """The ``count`` likeliest languages of each text, the first as ``identify`` says it."""
        if not texts:
            return []
        labels, scores, likely = self._model.predict_all(texts)
        return ranked(labels, scores, _named_by_rank(likely, self._model.labels, count), count)


class CodedIdentifier:
    """One model under the codes of a table, or some combined, and what no model can say split off.

    Texts are prepared first, and only languages of a text's main script can be predicted.
    """

    def __init__(self, settings: LanguageId) -> None:
        self._model = _combined(settings) if settings.own_model else CodedModel(settings.model, settings.labels)
        self._split = settings.labels == CC100 or settings.own_model != ""
        self._least_letters = settings.least_letters
        self.codes = self._model.codes
        self._written = WrittenLanguages(self.codes)
        self._fine = FineCodes(self.codes)

    @property
    def fine_codes(self) -> list[str]:
        """The codes after splitting: what ``identify`` says."""
        return self._fine.codes

    def fine_probabilities(self, texts: Sequence[str]) -> Floats:
        """The probability of each code after splitting for each text, by the models alone: [texts, fine_codes].

        Without the prior of the combination: the caller has base rates of its own.
        """
        texts = prepared(texts)
        return self._fine.probabilities(self._judged(texts, with_prior=False)[0], texts)

    def agreed(self, texts: Sequence[str], codes: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Whether each fastText model by itself may mean the text's code: no other has 30 times its evidence.

        Of a language that a model has no label for, the evidence are the labels that it gives to text in it.
        """
        texts = prepared(texts)
        if isinstance(self._model, Combined):
            logs = self._model.evidence(texts)
        else:
            logs = [np.log(self._model.probabilities(texts).clip(_LEAST))]
        allowed = self._written.allowed(texts)
        found = np.ones(len(texts), bool)
        for evidence in (np.where(allowed, one, -np.inf) for one in logs):
            best = evidence.max(1, initial=-np.inf)
            meant = [evidence[row, self._fine.parts_of(code)].max() for row, code in enumerate(codes)]
            found &= np.array(meant, np.float32) > best - np.log(_DISAGREEMENT)
        return found

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """The probability of each code for each text, before splitting: [texts, codes]; 0 for all if none fits."""
        return self._judged(prepared(texts))[0]

    def _judged(self, texts: Sequence[str], with_prior: bool = True) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """The probabilities [texts, codes], and whether a text has letters enough for an answer."""
        if isinstance(self._model, Combined):
            likely = self._model.probabilities(texts, with_prior)
        else:
            likely = self._model.probabilities(texts)
        if not self._split:
            return likely, np.ones(len(texts), bool)
        allowed, letters = self._written.allowed_and_letters(texts)
        fitting = likely * allowed
        total = fitting.sum(1, keepdims=True)
        likely = np.divide(fitting, total, out=np.zeros_like(fitting), where=total > 0)
        return likely, letters >= self._least_letters

    def identify(self, texts: Sequence[str]) -> tuple[list[str], Floats]:
        """The likeliest language of each text (no newline inside) and its score, rounded to 2 places.

        A text that is empty, whose label the table drops, in whose script no known language is written, or that has
        fewer letters than the settings ask for, gets the empty code and score 0.
        """
        if not texts:
            return [], np.empty(0, np.float32)
        texts = prepared(texts)
        return self._best(texts, *self._judged(texts))

    def _best(
        self, texts: Sequence[str], likely: Floats, long_enough: npt.NDArray[np.bool_]
    ) -> tuple[list[str], Floats]:
        """``identify`` of prepared texts whose probabilities are known."""
        best = likely.argmax(1)
        top = likely[np.arange(len(best)), best].clip(max=1) * long_enough
        names = [
            self.codes[place] if score > 0 and text.strip() else ""
            for place, score, text in zip(best.tolist(), top.tolist(), texts, strict=True)
        ]
        scores = top * np.array([name != "" for name in names], np.float32)
        return split(names, texts) if self._split else names, scores.round(2)

    def likeliest(self, texts: Sequence[str], count: int) -> list[Ranking]:
        """The ``count`` likeliest languages of each text, the first as ``identify`` says it."""
        if not texts:
            return []
        texts = prepared(texts)
        likely, long_enough = self._judged(texts)
        # Three codes at most become one when they are split.
        columns = _named_by_rank(likely, self.codes, 3 * count)
        if self._split:
            columns = [(split(names, texts), scores) for names, scores in columns]
        return ranked(*self._best(texts, likely, long_enough), columns, count)


def _combined(settings: LanguageId) -> Combined:
    base, own = CodedModel(settings.model, settings.labels), OwnModel(settings.own_model)
    try:
        return Combined(base, own)
    except XlmrError as error:
        raise XlmrError(
            f"{settings.own_model} was combined with {own.card['base']['model']} and other labels, not with "
            f"{settings.model} and {settings.labels}: {error}",
            f"set corpus.language_id.labels: {own.card['base']['labels']}, or train it for these",
        ) from None


def _named_by_rank(likely: Floats, names: Sequence[str], ranks: int) -> list[_Column]:
    order = np.argsort(-likely, axis=1, kind="stable")[:, :ranks]
    values = np.take_along_axis(likely, order, 1).clip(max=1).round(2)
    return [([names[i] for i in places], values[:, rank]) for rank, places in enumerate(order.T.tolist())]


def ranked(codes: Sequence[str], scores: Floats, columns: Sequence[_Column], count: int) -> list[Ranking]:
    """For each text the code that was said, then others by rank: no code twice, none of score 0."""
    rankings = []
    for text, (code, score) in enumerate(zip(codes, scores.tolist(), strict=True)):
        found = {code: score} if code else {}
        for names, values in columns if code else ():
            if len(found) < count and names[text] and values[text] > 0:
                found.setdefault(names[text], float(values[text]))
        rankings.append(list(found.items()))
    return rankings


Identifier = LanguageIdentifier | CodedIdentifier | OwnIdentifier


def load_identifier(settings: LanguageId) -> Identifier:
    """The identifier of the settings, loaded once a process."""
    return _load(settings.identifier, settings.model, settings.labels, settings.own_model, settings.least_letters)


@lru_cache(maxsize=2)
def _load(identifier: str, model: str, labels: str, own_model: str, least_letters: float) -> Identifier:
    return make_identifier(
        LanguageId.model_construct(
            identifier=identifier, model=model, labels=labels, own_model=own_model, least_letters=least_letters
        )
    )


def make_identifier(settings: LanguageId) -> Identifier:
    """The identifier of the settings, which the process does not keep. Errors: XlmrError for what cannot be used."""
    if not IDENTIFIERS.is_own(settings.identifier):
        return OwnIdentifier(IDENTIFIERS.import_string(settings.identifier))
    made: Identifier = IDENTIFIERS.load(settings.identifier)(settings)
    return made


def make_fast_text_identifier(settings: LanguageId) -> Identifier:
    """One fastText model as cc_net uses it, or under other codes, or combined with one of our own."""
    as_cc_net = settings.labels == AS_THEY_ARE and not settings.own_model
    return LanguageIdentifier(settings.model) if as_cc_net else CodedIdentifier(settings)
