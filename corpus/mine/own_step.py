"""A step of a user's: a function of the rows of a batch that returns those that stay, or a class of such."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from corpus.mine.rows import MinedRow
from corpus.mine.steps import MiningStep
from corpus.mine.writer import DroppedWriter
from pipeline.errors import XlmrError
from pipeline.plug_ins import calling, load_callable

Function = Callable[[list[MinedRow]], Iterable[MinedRow]]


@dataclass(frozen=True)
class OwnStep(MiningStep):
    """Calls the user's function and counts what it left out, with its name as the reason.

    It may change rows: leave out lines by ``row.keep_lines``, rewrite them one for one, set language or perplexity.
    """

    import_string: str
    function: Function

    def __call__(self, rows: Sequence[MinedRow]) -> list[MinedRow]:
        """The rows that the function returned. Errors: XlmrError for what it raises, and for rows that do not fit."""
        before = [(len(row.lines), row.characters_read) for row in rows]
        with calling(self.import_string):
            returned = list(self.function(list(rows)))
            after = [(len(row.lines), row.characters_read) for row in rows]
        known, stay = set(map(id, rows)), set(map(id, returned))
        if not stay <= known or len(stay) < len(returned):
            raise self._error("returns what is no row that it was given, or a row twice", "return some of its rows")
        reason = self.import_string.rpartition(":")[2]
        for row, (lines, characters), (lines_left, characters_left) in zip(rows, before, after, strict=True):
            self._check(row, lines)
            left_out = {"lines": lines - lines_left, "characters": characters - characters_left}
            self.counts.drop(reason, language=row.language, **left_out)
            if id(row) not in stay:
                self.drop(row, reason)
        return returned

    def _check(self, row: MinedRow, lines_before: int) -> None:
        fits = len(row.lines) == len(row.line_ids) and all(isinstance(line, str) for line in row.lines)
        if not fits or len(row.lines) > lines_before or not isinstance(row.language, str):
            fix = "leave out lines by row.keep_lines(mask), and give each line that it rewrites one line"
            raise self._error("changes the number of lines of a row", fix)
        if any("\n" in line for line in row.lines):
            raise self._error("writes a newline into a line", "give each line that it rewrites one line")

    def _error(self, problem: str, fix: str) -> XlmrError:
        return XlmrError(f"{self.import_string}: {problem}", fix)


def load_own_step(import_string: str, dropped: DroppedWriter) -> OwnStep:
    """The step; of a class, one instance a shard. Errors: UsageError, XlmrError where it cannot be loaded."""
    return OwnStep(dropped, import_string, load_callable(import_string))
