"""Step ``score``: perplexity under the language's model.

By document, as cc_net: one for all that is left of it. By paragraph, as CC100: each has its own, and the row's is that
of its paragraphs as one text: the sum of their log scores over the sum of their lengths, so that a long paragraph
counts for more, as in a document.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np

from corpus.mine.rows import MinedRow
from corpus.mine.steps import MiningStep, StepContext
from corpus.perplexity.score import (
    LanguageModel,
    languages_with_models,
    load_language_model,
    name_of_model,
    perplexity_of,
)


def make_step(context: StepContext) -> MiningStep:
    """The step for documents or for paragraphs."""
    folder = context.shard.models
    models = Models(folder, frozenset(languages_with_models(folder)), context.config.scoring.memory_bytes)
    kind = ScoreDocuments if context.config.mine.unit == "document" else ScoreParagraphs
    return kind(context.dropped, models)


@dataclass(frozen=True)
class Models:
    """The language models of a folder, loaded when they are asked for."""

    folder: Path
    names: frozenset[str]
    memory_bytes: int

    def of(self, language: str) -> LanguageModel | None:
        """The model of a language; None where it has none. See ``name_of_model``."""
        name = name_of_model(language, self.names)
        return load_language_model(self.folder, name, self.memory_bytes) if name else None


@dataclass(frozen=True)
class ScoreDocuments(MiningStep):
    """Sets the perplexity of rows whose language has a model, language by language."""

    models: Models

    def __call__(self, rows: Sequence[MinedRow]) -> list[MinedRow]:
        """All rows."""
        for language, group in by_language(rows):
            if model := self.models.of(language):
                values = model.perplexities(["\n".join(row.lines) for row in group]).tolist()
                for row, value in zip(group, values, strict=True):
                    row.perplexity = _number(value)
        return list(rows)


@dataclass(frozen=True)
class ScoreParagraphs(MiningStep):
    """Sets the perplexities of paragraphs whose language has a model, and that of each row."""

    models: Models

    def __call__(self, rows: Sequence[MinedRow]) -> list[MinedRow]:
        """All rows."""
        for language, group in by_language(rows):
            if model := self.models.of(language):
                _score_paragraphs(group, model)
        return list(rows)


def _score_paragraphs(rows: Sequence[MinedRow], model: LanguageModel) -> None:
    scores, lengths = model.score_batch(list(chain.from_iterable(row.lines for row in rows)))
    each = iter(perplexity_of(scores, lengths).tolist())
    sizes = [len(row.lines) for row in rows]
    starts = np.cumsum([0, *sizes[:-1]])
    scored = lengths > 0
    of_rows = perplexity_of(
        np.add.reduceat(np.where(scored, scores, 0), starts),
        np.add.reduceat(lengths, starts),
        np.add.reduceat(scored, starts, dtype=np.int32),
    ).tolist()
    for row, size, value in zip(rows, sizes, of_rows, strict=True):
        row.line_perplexities = [_number(one) for one in islice(each, size)]
        row.perplexity = _number(value)


def by_language(rows: Iterable[MinedRow]) -> list[tuple[str, list[MinedRow]]]:
    """Rows gathered by language, in alphabetical order."""
    groups: dict[str, list[MinedRow]] = defaultdict(list)
    for row in rows:
        groups[row.language].append(row)
    return sorted(groups.items())


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
