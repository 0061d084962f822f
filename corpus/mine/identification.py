"""Step ``identify``: the language of each row, and which are sure enough.

By document, as cc_net: one language for all that is left of it. By paragraph, as CC100: each has its own, by itself or
with the help of its document, and those of one language of a document stay together; a record's score is the mean over
its characters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from corpus.language.identifier import CodedIdentifier, Identifier, load_identifier
from corpus.language.prior.document_prior import Answer, DocumentLanguages
from corpus.language.settings import LanguageId
from corpus.mine.rows import MinedRow
from corpus.mine.steps import MiningStep, StepContext

UNSURE = "language unsure"


def make_step(context: StepContext) -> MiningStep:
    """The step for documents or for paragraphs."""
    settings = context.config.language_id
    identifier = load_identifier(settings)
    if context.config.mine.unit == "document":
        return IdentifyDocuments(context.dropped, identifier, settings)
    if settings.document_prior.enabled and isinstance(identifier, CodedIdentifier):
        languages = DocumentLanguages(identifier, settings.document_prior)
        return IdentifyParagraphsInDocuments(context.dropped, settings, languages)
    return IdentifyParagraphs(context.dropped, settings, identifier)


@dataclass(frozen=True)
class IdentifyDocuments(MiningStep):
    """Sets language and score of each row; drops those under the threshold."""

    identifier: Identifier
    settings: LanguageId

    def __call__(self, rows: Sequence[MinedRow]) -> list[MinedRow]:
        """The rows whose language is sure. Lines are joined without a space between them, as cc_net does."""
        languages, scores = self.identifier.identify(["".join(row.lines) for row in rows])
        sure = []
        for row, language, value in zip(rows, languages, scores.tolist(), strict=True):
            row.language, row.score = language, value
            if language and value >= self.settings.threshold_of(language):
                sure.append(row)
            else:
                self.drop(row, UNSURE)
        return sure


@dataclass(frozen=True)
class SplitByLanguage(MiningStep):
    """Makes a row for each language of each row, its paragraphs in order; drops those under the threshold."""

    settings: LanguageId

    def _split(self, row: MinedRow, found: Sequence[Answer]) -> Iterator[MinedRow]:
        by_language: dict[str, list[int]] = defaultdict(list)
        for place, (language, score) in enumerate(found):
            by_language[language if language and score >= self.settings.threshold_of(language) else ""].append(place)
        for language, places in sorted(by_language.items()):
            lines = [row.lines[place] for place in places]
            one = MinedRow(row.document, lines, [row.line_ids[place] for place in places], language)
            if not language:
                if one.characters:
                    self.drop(one, UNSURE)
                continue
            one.line_scores = [found[place][1] for place in places]
            one.average_scores()
            yield one


@dataclass(frozen=True)
class IdentifyParagraphs(SplitByLanguage):
    """Each paragraph by itself."""

    identifier: Identifier

    def __call__(self, rows: Sequence[MinedRow]) -> list[MinedRow]:
        """The rows by language, in the order of their documents."""
        languages, scores = self.identifier.identify(list(chain.from_iterable(row.lines for row in rows)))
        found = zip(languages, scores.tolist(), strict=True)
        return [one for row in rows for one in self._split(row, list(islice(found, len(row.lines))))]


@dataclass(frozen=True)
class IdentifyParagraphsInDocuments(SplitByLanguage):
    """Each paragraph with the help of its document (corpus/language/prior/document_prior.py)."""

    languages: DocumentLanguages

    def __call__(self, rows: Sequence[MinedRow]) -> list[MinedRow]:
        """The rows by language, in the order of their documents."""
        answers = self.languages.identify([row.lines for row in rows], [row.document.declared for row in rows])
        return [one for row, found in zip(rows, answers, strict=True) for one in self._split(row, found)]
