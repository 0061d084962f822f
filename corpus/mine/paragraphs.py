"""By paragraph, as CC100: each has its own language and perplexity; those of one language of a document stay together.

A record's score is the mean over its characters; its perplexity is that of its paragraphs together: the sum of their
log scores over the sum of their lengths, so that a long paragraph counts for more, as in a document.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain, islice

import numpy as np

from corpus.language.identifier import Identifier
from corpus.language.settings import LanguageId
from corpus.mine.documents import UNSURE, Models, by_language
from corpus.mine.rows import Drop, Row
from corpus.perplexity.score import perplexity_of


def identify_paragraphs(rows: Sequence[Row], identifier: Identifier, settings: LanguageId, drop: Drop) -> list[Row]:
    """A row for each language of each row, its paragraphs in order; those under the threshold are left out."""
    languages, scores = identifier.identify(list(chain.from_iterable(row.lines for row in rows)))
    answers = zip(languages, scores.tolist(), strict=True)
    return [part for row in rows for part in _split(row, list(islice(answers, len(row.lines))), settings, drop)]


def _split(row: Row, answers: Sequence[tuple[str, float]], settings: LanguageId, drop: Drop) -> Iterable[Row]:
    parts: dict[str, list[int]] = defaultdict(list)
    for place, (language, score) in enumerate(answers):
        parts[language if language and score >= settings.threshold_of(language) else ""].append(place)
    for language, places in sorted(parts.items()):
        lines = [row.lines[place] for place in places]
        part = Row(row.document, lines, [row.line_ids[place] for place in places], language)
        if not language:
            if part.characters:
                drop(part, UNSURE)
            continue
        part.line_scores = [answers[place][1] for place in places]
        part.average_scores()
        yield part


def score_paragraphs(rows: Iterable[Row], models: Models) -> None:
    """Set the perplexities of paragraphs whose language has a model, and that of each row."""
    for language, group in by_language(rows):
        model = models(language)
        if model is None:
            continue
        scores, pieces = model.score_batch(list(chain.from_iterable(row.lines for row in group)))
        each = perplexity_of(scores, pieces).tolist()
        sizes = [len(row.lines) for row in group]
        starts = np.cumsum([0, *sizes[:-1]])
        has_pieces = pieces > 0
        together = perplexity_of(
            np.add.reduceat(np.where(has_pieces, scores, 0), starts),
            np.add.reduceat(pieces, starts),
            np.add.reduceat(has_pieces, starts, dtype=np.int32),
        ).tolist()
        answers = iter(each)
        for row, size, value in zip(group, sizes, together, strict=True):
            row.line_perplexities = [_number(one) for one in islice(answers, size)]
            row.perplexity = _number(value)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
