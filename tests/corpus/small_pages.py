"""Four pages and an English language model, made in a second: docstrings and pages show what is done with them."""

from __future__ import annotations

import gzip
from pathlib import Path

from tests.corpus.corpus_crawl import wet_record
from tests.corpus.language_models import clean_text, train_models

PAGES = {
    "Harbour": ["Home | News", "The ferry leaves the harbour at nine.", "Tickets are sold on board."],
    "Hafen": ["Die Fähre verlässt den Hafen um neun.", "Das Museum ist heute leider geschlossen."],
    "Harbour again": [
        "HOME | NEWS",
        "The museum is closed today.",
        "Write to info@example.org before you visit it with a group.",
    ],
    "Short": ["No text"],
}


def write_pages(folder: Path) -> None:
    """Write ``pages.warc.wet.gz`` and ``models/``."""
    records = [wet_record(number, "\n".join([title, *PAGES[title]])) for number, title in enumerate(PAGES)]
    (folder / "pages.warc.wet.gz").write_bytes(b"".join(map(gzip.compress, records)))
    train_models(folder, {"en": "\n".join(clean_text("en", 0, 200))})
