"""Reads the pages of the four sources: HTML, language, path within the source, and address on the web."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import languages, mallard

# First and last article of each page cut from the declaration; 0 is the preamble.
UDHR_PAGES = ((0, 2), (3, 8), (9, 15), (16, 22), (23, 26), (27, 30))


@dataclass(frozen=True)
class Page:
    """One translation of one page. `path` is without extension and the same in every language."""

    source: str
    path: str
    translation: str
    language: str
    urls: tuple[str, str]  # where the page stands, and where a copy of it does
    html: str

    @property
    def is_english(self) -> bool:
        """Whether this is the original, not a translation."""
        return self.language == "en"


def libreoffice(folder: Path, locale: str) -> Iterator[Page]:
    """The help pages of the office suite; the first folder of a path names the module."""
    root = next(folder.glob("usr/share/libreoffice/help/*/text"))
    name = root.parent.name
    for file in sorted(root.rglob("*.html")):
        tail = file.relative_to(root).as_posix()
        site = "https://help.libreoffice.org"
        urls = (f"{site}/7.4/{name}/text/{tail}", f"{site}/latest/{name}/text/{tail}")
        text = file.read_text(encoding="utf-8", errors="replace")
        path = tail.removesuffix(".html")
        yield Page("libreoffice", path, locale, languages.LIBREOFFICE[locale], urls, text)


def gnome(folder: Path, locale: str) -> Iterator[Page]:
    """The help pages of the GNOME desktop, and its system administration guide."""
    root = folder / "usr/share/help" / locale
    ending = "html" if locale == "C" else f"html.{locale}"
    for book in sorted(path for path in root.iterdir() if path.is_dir()):
        titles = mallard.titles(book)
        shelf = "admin" if book.name == "system-admin-guide" else "users"
        site = f"https://help.gnome.org/{shelf}/{book.name}"
        for file in sorted(book.glob("*.page")):
            urls = (f"{site}/43/{file.stem}.{ending}", f"{site}/stable/{file.stem}.{ending}")
            text = mallard.to_html(file, titles)
            yield Page("gnome", f"{book.name}/{file.stem}", locale, languages.GNOME[locale], urls, text)


def handbook(folder: Path, locale: str) -> Iterator[Page]:
    """The sections of the Debian Administrator's Handbook."""
    for file in sorted((folder / "usr/share/doc/debian-handbook/html" / locale).glob("*.html")):
        tail = f"debian-handbook.info/browse/{locale}/stable/{file.name}"
        urls = (f"https://{tail}", f"https://www.{tail}")
        text = file.read_text(encoding="utf-8", errors="replace")
        yield Page("handbook", file.stem, locale, languages.HANDBOOK[locale], urls, text)


def udhr(folder: Path, code: str) -> Iterator[Page]:
    """The declaration, in a few pages of some articles each: whole, it would be one document a language."""
    text = (folder / "package/declaration" / f"{code}.html").read_text(encoding="utf-8")
    head = re.search(r"<h1>(.*?)</h1>", text, re.DOTALL)
    title = head.group(1).strip() if head else code
    for number, (first, last) in enumerate(UDHR_PAGES, 1):
        body = _declaration_articles(text, first, last)
        if body:
            tail = f"www.unicode.org/udhr/d/udhr_{code}-{number}.html"
            urls = (f"https://{tail}", f"http://{tail}")
            header = f"<title>{title} ({number})</title></head><body><h1>{title}</h1>"
            page = f"<html><head>{header}{body}</body></html>"
            yield Page("udhr", f"{code}-{number}", code, languages.UDHR.get(code, code), urls, page)


def _declaration_articles(text: str, first: int, last: int) -> str:
    found = [(0, match.group(0)) for match in re.finditer(r"<header>.*?</header>", text, re.DOTALL)]
    articles = re.finditer(r'<article data-number="(\d+)">.*?</article>', text, re.DOTALL)
    found += [(int(match.group(1)), match.group(0)) for match in articles]
    return "\n".join(body for number, body in found if first <= number <= last)


READERS: dict[str, tuple[Callable[[Path, str], Iterator[Page]], dict[str, str]]] = {
    "libreoffice": (libreoffice, languages.LIBREOFFICE),
    "gnome": (gnome, languages.GNOME),
    "handbook": (handbook, languages.HANDBOOK),
}
