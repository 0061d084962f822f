"""Step ``write``: the rows that are left go into the file of the shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corpus.mine.rows import MinedRow
from corpus.mine.steps import MiningStep, StepContext
from corpus.mine.writer import RecordWriter


def make_step(context: StepContext) -> Write:
    """The step for the file of the shard."""
    return Write(context.dropped, context.writer)


@dataclass(frozen=True)
class Write(MiningStep):
    """Writes the rows that are left, and counts them by language."""

    writer: RecordWriter

    def __call__(self, rows: Sequence[MinedRow]) -> list[MinedRow]:
        """All rows. Characters are counted as they were read, so that those read are those dropped and those kept."""
        for row in rows:
            self.counts.keep(row.language, len(row.lines), row.characters_read)
            self.writer.add(row)
        return list(rows)
