"""README.md and the pages of docs/ as sections, links and commands, for the tests that read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scripts import reference

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*/README.md"))]
WRITTEN = {ROOT / "docs" / uri for uri in reference.PAGES}
"""Pages that exist on the site alone."""
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Section:
    """A heading, and what stands between it and the next one."""

    level: int
    heading: str
    text: str
    above: Section | None = None
    """The section that this one is a part of."""

    @property
    def anchor(self) -> str:
        """As GitHub makes it."""
        return re.sub(r"[^\w\- ]", "", self.heading.lower()).replace(" ", "-")

    @property
    def prose(self) -> str:
        """Its text without blocks of code."""
        return BLOCK.sub("", self.text)


@cache
def sections(page: Path) -> list[Section]:
    """All of a page, in their order. A ``#`` in a block is no heading."""
    found: list[Section] = []
    text = page.read_text(encoding="utf-8")
    blocks = [match.span() for match in BLOCK.finditer(text)]
    headings = [
        match
        for match in re.finditer(r"^(#+) (.+)$", text, re.MULTILINE)
        if not any(start <= match.start() < end for start, end in blocks)
    ]
    for match, end in zip(headings, [*(one.start() for one in headings[1:]), len(text)], strict=True):
        level = len(match[1])
        above = next((one for one in reversed(found) if one.level < level), None)
        found.append(Section(level, match[2], text[match.end() : end], above))
    return found


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    return {section.anchor for section in sections(page)}


def links(text: str) -> list[str]:
    """The targets of links and images, but for those in blocks."""
    return re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", text))


def link_targets(page: Path, text: str) -> Iterator[tuple[Path, str]]:
    """(file, anchor or '') of each link of a page that leads to a file."""
    for link in links(text):
        if not re.match(r"[a-z]+:", link):
            name, _, anchor = link.partition("#")
            yield ((page.parent / name).resolve() if name else page), anchor
