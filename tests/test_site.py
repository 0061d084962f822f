"""The site of the documentation: it builds without a warning, and needs no other host."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("material", reason="the extra docs is not installed")

pytestmark = pytest.mark.slow

LOADED = {"script": "src", "img": "src", "iframe": "src", "link": "href", "source": "src"}
"""Elements that a browser loads by itself, and where they name what."""


class Loaded(HTMLParser):
    """Collects the addresses of what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(LOADED.get(tag, ""))
        if address:
            self.addresses.append(address)


def test_pages_load_only_files_of_the_site(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        reader = Loaded()
        reader.feed(page.read_text(encoding="utf-8"))
        for address in reader.addresses:
            if address.startswith("data:"):
                continue
            assert not re.match(r"(?:[a-z]+:)?//", address), f"{page.name} loads {address}"
            if page.name != "404.html":  # its addresses start at the root of a server
                assert (page.parent / re.split("[?#]", address)[0]).exists(), f"{page.name} loads {address}"


def test_styles_load_only_files_of_the_site(site: Path) -> None:
    styles = list(site.rglob("*.css"))
    assert styles
    for style in styles:
        loaded = re.findall(r"url\(\s*[\"']?([^\"')]+)", style.read_text(encoding="utf-8"))
        assert not [address for address in loaded if re.match(r"(?:https?:)?//", address)]


def test_the_search_has_its_index_in_a_script(site: Path) -> None:
    """A page that is read from a folder cannot fetch JSON."""
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    assert "language_id" in index
