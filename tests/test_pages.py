"""README.md and the pages of docs/: what they link to is there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*/README.md"))]


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [page.name for page in (ROOT / "docs").glob("*.md") if f"](docs/{page.name})" not in readme]


PLACES = re.findall(
    r"^\| (.+?) \| `(.+?)` \| (.+) \|$",
    (ROOT / "docs" / "architecture.md")
    .read_text(encoding="utf-8")
    .partition("## Where to change what")[2]
    .partition("\n## ")[0],
    re.MULTILINE,
)


@pytest.mark.parametrize(("place", "names"), [row[1:] for row in PLACES], ids=[row[0] for row in PLACES])
def test_where_to_change_what_names_a_file_or_folder_that_has_it(place: str, names: str) -> None:
    path = ROOT / place
    files = sorted(path.glob("*.py")) if place.endswith("/") else [path]
    assert files, f"{place} has no module"
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    for name in re.findall(r"`([\w-]+)`", names):
        assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text), f"{name} does not stand in {place}"


def test_where_to_change_what_has_its_twelve_rows() -> None:
    assert len(PLACES) == 12
