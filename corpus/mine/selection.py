"""Step ``select``: the languages that are asked for, each from its dumps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corpus.crawl.fetch import dump_of
from corpus.mine.rows import MinedRow
from corpus.mine.settings import Mine
from corpus.mine.steps import MiningStep, StepContext

OTHER_DUMP = "another dump's language"
OTHER_LANGUAGE = "not one of the languages asked for"


def make_step(context: StepContext) -> Select:
    """The step for the dump of the shard."""
    return Select(context.dropped, context.config.mine, dump_of(context.shard.name))


@dataclass(frozen=True)
class Select(MiningStep):
    """Drops the languages that are not asked for, and those that are not taken from this dump."""

    settings: Mine
    dump: str

    def __call__(self, rows: Sequence[MinedRow]) -> list[MinedRow]:
        """The rows in languages that are taken."""
        taken = []
        for row in rows:
            if self.settings.languages and row.language not in self.settings.languages:
                self.drop(row, OTHER_LANGUAGE)
            elif not self.settings.takes(row.language, self.dump):
                self.drop(row, OTHER_DUMP)
            else:
                taken.append(row)
        return taken
