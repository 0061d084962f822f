"""What reading a crawl counts: records that were read, what was lost in records and bytes, and what each file gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from corpus.crawl.warc import Damage
from pipeline.counts import Counts

NAMED_AT_MOST = 20


@dataclass
class Tally:
    """What was read and what was not.

    ``records``       good records, ``short`` of them too short to be documents.
    ``bad``           places that could not be read; ``lost_records`` and ``lost_bytes`` say what was lost there, as far
                      as it is known. Bytes are those of the file, packed where it is packed.
    ``cut``           pages whose body ended before its coding did; what was there is in the documents.
    ``read_bytes``    size of the files.
    ``named``         the first losses, a line each.
    ``poor_files``    a line for each file that gave no document, or lost most of its HTML.
    ``left_out``      records that are whole and yet no documents, by reason.
    """

    records: int = 0
    short: int = 0
    bad: int = 0
    lost_records: int = 0
    lost_bytes: int = 0
    cut: int = 0
    read_bytes: int = 0
    named: list[str] = field(default_factory=list)
    poor_files: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    _pages: int = 0
    _lost_pages: Counter[str] = field(default_factory=Counter)

    def add_damage(self, file: str, damage: Damage) -> None:
        """Count a place in a WARC file that could not be read."""
        self.bad += 1
        self.lost_records += damage.records
        self.lost_bytes += damage.bytes
        lost = bool(damage.records or damage.bytes)  # else the record is given, and the problem says how it was read
        self._name(file, damage.position, damage.problem, "byte", lost=lost)

    def add_bad(
        self, file: str, position: int, problem: str, *, unit: str = "byte", count: int = 1, lost_bytes: int = 0
    ) -> None:
        """Count records that cannot be read, the first at this byte, line or row."""
        self.lost_bytes += lost_bytes
        self.bad += count
        self.lost_records += count
        self._name(file, position, problem, unit)

    def add_left_out(self, file: str, position: int, reason: str, *, name: bool = False, unit: str = "byte") -> None:
        """Count one more record that is left out for a reason."""
        self.left_out[reason] += 1
        if name:
            self._name(file, position, reason, unit)

    def add_page(self, *, cut: bool) -> None:
        """Count a page of HTML that gave text."""
        self._pages += 1
        self.cut += cut

    def add_lost_page(self, reason: str) -> None:
        """Count a page of HTML, or what should be one, that gave no text though it was there to be read."""
        self._lost_pages[reason] += 1

    @contextmanager
    def of_file(self, file: str, size: int) -> Iterator[None]:
        """Watch what one file of ``size`` bytes gives: one that gives nothing, or little, is named."""
        records, left_out, lost, named = self.records, self.left_out.copy(), self.lost_records, len(self.named)
        self._pages, self._lost_pages = 0, Counter()
        yield
        self.read_bytes += size
        lost_pages = self._lost_pages.total()
        if self.records == records and len(self.named) == named + 1:  # that is why: one line says it
            self.named[-1] += "; no document in the file"
        elif self.records == records:
            reasons = self.left_out - left_out
            if self.lost_records > lost:
                reasons["it could not be read"] = self.lost_records - lost
            self.poor_files.append(f"{file}: no document in it{_most_frequent(reasons)}")
        elif lost_pages > self._pages:
            pages = self._pages + lost_pages
            why = _most_frequent(self._lost_pages)
            self.poor_files.append(f"{file}: {lost_pages:,} of {pages:,} pages of HTML were left out{why}")

    def counts(self) -> Counts:
        """As a stage's counts."""
        return {
            "records": self.records,
            "too_short": self.short,
            "bad_records": self.lost_records,
            "bad_places": self.bad,
            "lost_bytes": self.lost_bytes,
            "read_bytes": self.read_bytes,
            "cut_pages": self.cut,
            "left_out": dict(self.left_out),
        }

    def warnings(self) -> list[str]:
        """The files that gave little, and the losses by name; a line says how many files are not named."""
        more = len(self.poor_files) - NAMED_AT_MOST
        rest = [f"and {more:,} more files that gave no document, or little"] if more > 0 else []
        return [*map(_printable, self.poor_files[:NAMED_AT_MOST]), *rest, *self.named]

    def _name(self, file: str, position: int, problem: str, unit: str, *, lost: bool = True) -> None:
        if len(self.named) < NAMED_AT_MOST:
            outcome = "; left out" if lost else ""
            self.named.append(_printable(f"{file}: {problem} ({unit} {position:,}){outcome}"))


def _printable(line: str) -> str:
    """One line, whatever a file says of itself."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def _most_frequent(reasons: Counter[str]) -> str:
    return "".join(f"; most frequent reason: {reason} ({count:,})" for reason, count in reasons.most_common(1))
