"""Finds the pages of a translation of a source, and the English that translations are held against."""

from collections.abc import Iterator
from pathlib import Path

from . import pages, text
from .pages import Page


def package_name(source: str, translation: str) -> str:
    """The package that holds a translation of a source."""
    packages = {"gnome": "gnome-user-docs", "handbook": "debian-handbook"}
    return packages.get(source, f"libreoffice-help-{translation}")


def read(source: str, translation: str, folders: dict[str, Path]) -> Iterator[Page]:
    """The pages of a translation. `folders`: unpacked packages by name."""
    return pages.READERS[source][0](folders[package_name(source, translation)], translation)


def english_text(source: str, folders: dict[str, Path]) -> text.EnglishText:
    """All lines of a source's English pages."""
    translation = next(name for name, code in pages.READERS[source][1].items() if code == "en")
    english = text.EnglishText()
    for page in read(source, translation, folders):
        english.add(text.page_lines(page.html))
        english.add(text.main_lines(page.html, source))
    return english
