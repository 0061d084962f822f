"""What a step of mining counts: what it read, dropped and why, masked, and kept by language."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from pipeline.counts import Counts

Amounts = dict[str, int]


def _amounts() -> Amounts:
    return {"documents": 0, "lines": 0, "characters": 0}


@dataclass
class StepCounts:
    """Documents, lines and characters: of all that was read, of what was dropped by reason, of what stays by language.

    A line is dropped once: those of a document that is dropped as a whole are counted with it. Characters are without
    the newlines between lines, and as they were read; ``masked`` counts what was masked, by kind.
    """

    all_read: Amounts = field(default_factory=_amounts)
    dropped: dict[str, Amounts] = field(default_factory=lambda: defaultdict(_amounts))
    kept: dict[str, Amounts] = field(default_factory=lambda: defaultdict(_amounts))
    dropped_by_language: dict[str, dict[str, Amounts]] = field(default_factory=lambda: defaultdict(dict))
    masked: Counter[str] = field(default_factory=Counter)

    def read(self, documents: int, lines: int, characters: int) -> None:
        """Count what came in."""
        _add(self.all_read, documents, lines, characters)

    def drop(self, reason: str, *, language: str = "", documents: int = 0, lines: int = 0, characters: int = 0) -> None:
        """Count what is dropped; by language too, where one was found."""
        if documents or lines:
            _add(self.dropped[reason], documents, lines, characters)
            if language:
                by_reason = self.dropped_by_language[language]
                _add(by_reason.setdefault(reason, _amounts()), documents, lines, characters)

    def keep(self, language: str, lines: int, characters: int) -> None:
        """Count a record that stays."""
        _add(self.kept[language], 1, lines, characters)

    def plain(self) -> Counts:
        """As plain values."""
        total = _amounts()
        for amounts in self.kept.values():
            _add(total, **amounts)
        return {
            "read": self.all_read,
            "dropped": dict(self.dropped),
            "kept": total,
            "languages": dict(self.kept),
            "dropped_by_language": dict(self.dropped_by_language),
            "masked": dict(self.masked),
        }


def _add(amounts: Amounts, documents: int, lines: int, characters: int) -> None:
    amounts["documents"] += documents
    amounts["lines"] += lines
    amounts["characters"] += characters
