"""Chooses the pages that the crawl holds, repeats some of them, and deals them out over the shards."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from . import languages, text
from .pages import Page
from .split import unit_hash
from .wet import Record, write_shard

SHARDS: Final = 8
CRAWL_START: Final = datetime(2023, 6, 1, tzinfo=UTC)
CRAWL_DAYS: Final = 12
TRANSLATED: Final = 0.5  # the share of a page from which it counts as translated
UNTRANSLATED_SHARE: Final = 0.12  # of a translation's text: pages still in English, as in real crawls
REFETCHED: Final = 0.015  # of pages that the crawl fetched twice, and as many under another address


@dataclass(frozen=True)
class Candidate:
    """A page that may enter the crawl: its text, its size, and how much of it is in its own language."""

    page: Page
    lines: list[str]
    bytes: int
    own_bytes: int

    @property
    def share(self) -> float:
        """How much of the text, by bytes, is in the page's own language."""
        return self.own_bytes / self.bytes if self.bytes else 0.0


@dataclass
class Crawl:
    """All pages chosen so far, of every source and language."""

    chosen: list[Candidate] = field(default_factory=list)

    def add_translation(self, candidates: list[Candidate], kilobytes: int) -> None:
        """Takes pages up to the budget: translated ones, a few that are not, then the best left."""
        ordered = sorted(candidates, key=lambda c: unit_hash("choose", c.page.translation, c.page.path))
        budget = 1000 * kilobytes
        good = [c for c in ordered if c.share >= TRANSLATED]
        taken = _up_to(good, budget * (1 - UNTRANSLATED_SHARE))
        poor = [c for c in ordered if c.share < TRANSLATED]
        untranslated = _up_to(poor, budget * UNTRANSLATED_SHARE)
        taken += untranslated
        best_left = sorted(poor[len(untranslated) :], key=lambda c: c.share, reverse=True)
        self.chosen += taken + _up_to(best_left, budget - sum(c.bytes for c in taken))

    def records(self) -> list[Record]:
        """Every fetch of every page, shuffled."""
        fetched = [fetch for candidate in self.chosen for fetch in _fetches(candidate)]
        return [record for _, record in sorted(fetched, key=lambda item: item[0])]

    def write(self, folder: Path) -> list[int]:
        """Writes the shards; the number of records of each."""
        records = self.records()
        shards = [records[shard::SHARDS] for shard in range(SHARDS)]
        for number, shard in enumerate(shards):
            write_shard(folder / f"shard-{number:05d}.warc.wet.gz", shard, _iso(CRAWL_START))
        return [len(shard) for shard in shards]

    def lines(self) -> set[str]:
        """Every line that the crawl holds."""
        return {line for candidate in self.chosen for line in candidate.lines}


def candidate(page: Page, english: text.EnglishText) -> Candidate:
    """A page with its text, as the crawl would store it."""
    lines = text.page_lines(page.html)
    own = lines if page.is_english or page.source == "udhr" else text.translated(lines, english)
    return Candidate(page, lines, text.size(lines), text.size(own))


def udhr_pages(pages: list[Page]) -> list[Page]:
    """All pages of the declaration in CC100's languages, one page of the others."""
    return [page for page in pages if page.translation in languages.UDHR or page.path.endswith("-2")]


def _up_to(candidates: list[Candidate], budget: float) -> list[Candidate]:
    """The first candidates, until they hold this many bytes."""
    taken: list[Candidate] = []
    for item in candidates:
        if budget <= 0:
            break
        taken.append(item)
        budget -= item.bytes
    return taken


def _fetches(candidate: Candidate) -> Iterator[tuple[float, Record]]:
    """The records of a page, each with its place in the crawl."""
    first, other = candidate.page.urls
    chance = unit_hash("again", first)
    urls = [first, *([first] if chance < REFETCHED else [other] if chance < 2 * REFETCHED else [])]
    for attempt, url in enumerate(urls):
        seconds = unit_hash("when", url, str(attempt)) * CRAWL_DAYS * 86_400
        date = _iso(CRAWL_START + timedelta(seconds=int(seconds)))
        yield unit_hash("place", url, str(attempt)), Record(url, date, "\n".join(candidate.lines) + "\n")


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
