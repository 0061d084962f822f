"""A step of mining: rows in, those that stay out, and its own counts of what it dropped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from corpus.mine.counts import StepCounts
from corpus.mine.rows import MinedRow

if TYPE_CHECKING:
    from corpus.mine.shard import MineShard
    from corpus.mine.writer import DroppedWriter, RecordWriter
    from corpus.settings import MineStage


@dataclass(frozen=True)
class StepContext:
    """What a step is made from: the settings, the shard, and where rows are written that stay or are dropped."""

    config: MineStage
    shard: MineShard
    writer: RecordWriter
    dropped: DroppedWriter


@dataclass(frozen=True)
class MiningStep(ABC):
    """Takes a batch of rows, in the order of reading, and returns those that stay, which it may change."""

    dropped: DroppedWriter
    counts: StepCounts = field(default_factory=StepCounts, init=False)

    @abstractmethod
    def __call__(self, rows: Sequence[MinedRow]) -> list[MinedRow]:
        """The rows that stay."""

    def drop(self, row: MinedRow, reason: str) -> None:
        """Count a row that is dropped as a whole, and write it if dropped documents are kept aside."""
        lines, characters = len(row.lines), row.characters_read
        self.counts.drop(reason, language=row.language, documents=1, lines=lines, characters=characters)
        self.dropped.add(row, reason)
