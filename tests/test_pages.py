"""README.md and the pages of docs/: what they link to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.pages import PAGES, ROOT, WRITTEN, anchors, link_targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target, anchor in link_targets(page, page.read_text(encoding="utf-8")):
        if target in WRITTEN:
            continue  # the site's own check of links reads it
        assert target.exists(), target
        assert not anchor or anchor in anchors(target), f"{target}#{anchor}"


def test_every_page_is_in_the_navigation_or_linked_by_a_page_that_is() -> None:
    """Add a page to ``nav`` of mkdocs.yml, in the chapter where a reader looks for it."""
    docs = ROOT / "docs"
    names = re.findall(r"([\w./-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    left = [docs / name for name in names if (docs / name).exists()]
    found = set[Path]()
    while left:
        page = left.pop()
        if page not in found:
            found.add(page)
            led_to = [target for target, _ in link_targets(page, page.read_text(encoding="utf-8"))]
            left += [one for one in led_to if one.suffix == ".md" and docs in one.parents and one not in WRITTEN]
    assert not {*docs.rglob("*.md")} - found


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
