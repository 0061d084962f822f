"""Turns HTML into lines of text with Resiliparse: whole pages as crawls store them, or the main content."""

import re
from collections.abc import Iterable, Iterator

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

_LETTERS = re.compile(r"[^\W\d_]{2}")
_BULLET = re.compile(r"^(?:[•◦▪‣·*-]|\d{1,2}\.)\s+")
# What of a page is not its main content, by source: the frame of the site, menus, links to other pages.
_MAIN = {"libreoffice": "#DisplayArea"}
_NOT_MAIN = ".relatedtopics, .related, .howtoget, .docnav, .toc, script, style, pre"
# What the office suite's help leaves where a part that a page embeds is missing: it names the part's module.
_MISSING = re.compile(r"(?:D'oh! You found a bug )?[\[(]text/\S+ not found[\])]\.?")


def page_lines(html: str) -> list[str]:
    """All text of a page, menus included, the title first: the body of a WET record."""
    tree = HTMLTree.parse(html)
    text = extract_plain_text(tree, main_content=False, alt_texts=False, links=False)
    return [line for line in map(_squeeze, [tree.title or "", *text.split("\n")]) if line]


def main_lines(html: str, source: str) -> list[str]:
    """The main content of a page, without menus, listings, and links to other pages."""
    tree = HTMLTree.parse(html)
    root = tree.document.query_selector(_MAIN.get(source, "body")) if tree.document else None
    if root is None:
        return []
    for node in list(root.query_selector_all(_NOT_MAIN)):
        if node.parent is not None:  # nodes within a removed one go with it
            node.parent.remove_child(node)
    lines = extract_plain_text(root.html, main_content=False, alt_texts=False, links=False).split("\n")
    return [line for line in (_BULLET.sub("", _squeeze(line)) for line in lines) if line]


def without_missing(lines: Iterable[str]) -> list[str]:
    """The lines without marks like `[text/scalc/01/a.xhp#b not found]`, which stand for a missing part."""
    return [line for line in (_squeeze(_MISSING.sub(" ", line)) for line in lines) if line]


class EnglishText:
    """The English pages of a source, to tell what a translation of them left in English."""

    def __init__(self) -> None:
        self._lines: set[str] = set()
        self._trigrams: set[str] = set()

    def add(self, lines: Iterable[str]) -> None:
        """Learn lines of an English page."""
        for line in lines:
            self._lines.add(line)
            self._trigrams.update(_trigrams(line))

    def holds(self, line: str) -> bool:
        """Whether a line is English: word for word, or in most of its trigrams (with a translated name)."""
        if line in self._lines:
            return True
        trigrams = list(_trigrams(line))
        return sum(trigram in self._trigrams for trigram in trigrams) * 2 > len(trigrams)


def translated(lines: Iterable[str], english: EnglishText) -> list[str]:
    """The lines that hold words and are not English."""
    return [line for line in lines if _LETTERS.search(line) and not english.holds(line)]


def translated_share(lines: list[str], english: EnglishText) -> float:
    """How much of the text, by bytes, is not English."""
    total = size(lines)
    return size(translated(lines, english)) / total if total else 0.0


def size(lines: Iterable[str]) -> int:
    """Bytes of UTF-8, line ends included."""
    return sum(len(line.encode()) + 1 for line in lines)


def _squeeze(line: str) -> str:
    return " ".join(line.split())


def _trigrams(line: str) -> Iterator[str]:
    words = line.split()
    return (" ".join(words[start : start + 3]) for start in range(len(words) - 2))
