"""By document, as cc_net: one language and one perplexity for all that is left of it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from corpus.language.identifier import Identifier
from corpus.language.settings import LanguageId
from corpus.mine.rows import Drop, Row
from corpus.perplexity.score import LanguageModel

UNSURE = "language unsure"

Models = Callable[[str], LanguageModel | None]
"""The model of a language; None where it has none."""


def identify_documents(rows: Sequence[Row], identifier: Identifier, settings: LanguageId, drop: Drop) -> list[Row]:
    """Set language and score; leave out what is under the threshold. Lines are glued together, as cc_net does."""
    languages, scores = identifier.identify(["".join(row.lines) for row in rows])
    sure = []
    for row, language, value in zip(rows, languages, scores.tolist(), strict=True):
        row.language, row.score = language, value
        if language and value >= settings.threshold_of(language):
            sure.append(row)
        else:
            drop(row, UNSURE)
    return sure


def score_documents(rows: Iterable[Row], models: Models) -> None:
    """Set the perplexity of documents whose language has a model, language by language."""
    for language, group in by_language(rows):
        if model := models(language):
            values = model.perplexities(["\n".join(row.lines) for row in group]).tolist()
            for row, value in zip(group, values, strict=True):
                row.perplexity = None if math.isnan(value) else value


def by_language(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    """Rows gathered by language, in alphabetical order."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.language].append(row)
    return sorted(groups.items())
