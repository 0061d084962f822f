"""Clean text for the language models: a document a line, in one language, from pages not in the crawl."""

import lzma
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from . import text
from .pages import Page
from .split import unit_hash

MAX_BYTES: Final = 300_000  # of a language, uncompressed
MIN_BYTES: Final = 200  # of a document
MIN_LANGUAGE_BYTES: Final = 40_000  # less text than this makes no language model
SKIPPED_TRANSLATIONS: Final = {"sr@latin", "dz"}


@dataclass
class CleanText:
    """Documents by language, in the order in which they are taken."""

    documents: dict[str, list[tuple[float, list[str]]]] = field(default_factory=dict)

    def add(self, page: Page, english: text.EnglishText) -> None:
        """Keep what of a page is in its own language."""
        if page.translation in SKIPPED_TRANSLATIONS:
            return
        lines = text.main_lines(page.html, page.source)
        if not page.is_english:
            lines = text.translated(lines, english)
        code = "zh" if page.language.startswith("zh-") else page.language  # as language identifiers name it
        order = unit_hash("clean", page.source, page.path, page.translation)
        self.documents.setdefault(code, []).append((order, lines))

    def write(self, folder: Path, crawled: set[str]) -> dict[str, dict[str, int]]:
        """Writes one file a language; documents and bytes of each. `crawled`: lines not to repeat."""
        counts = {}
        for code in sorted(self.documents):
            documents = _fresh_documents(self.documents[code], crawled)
            body = "".join(f"{document}\n" for document in documents).encode()
            if len(body) >= MIN_LANGUAGE_BYTES:
                (folder / f"{code}.txt.xz").write_bytes(lzma.compress(body, preset=9 | lzma.PRESET_EXTREME))
                counts[code] = {"documents": len(documents), "bytes": len(body)}
        return counts


def _fresh_documents(documents: list[tuple[float, list[str]]], crawled: set[str]) -> list[str]:
    """Up to the cap, without lines of the crawl or of an earlier document: pages embed parts of others."""
    seen, taken, total = set(crawled), [], 0
    for _, lines in sorted(documents):
        fresh = [line for line in lines if line not in seen]
        seen.update(fresh)
        document = " ".join(fresh)
        if len(document.encode()) >= MIN_BYTES and total < MAX_BYTES:
            taken.append(document)
            total += len(document.encode())
    return taken
