"""The labelled task: which module of the office suite is a page about? Trained on English, tested in many."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from . import text
from .pages import Page
from .split import Part, label_of, unit_hash
from .wet import gzip_member

# Debian package suffix -> code of the test file; one translation a language.
TEST_TRANSLATIONS: Final = {
    "en-us": "en", "ca": "ca", "cs": "cs", "da": "da", "de": "de", "el": "el", "es": "es", "et": "et",
    "eu": "eu", "fi": "fi", "fr": "fr", "gl": "gl", "hi": "hi", "hu": "hu", "id": "id", "it": "it",
    "ja": "ja", "km": "km", "ko": "ko", "nl": "nl", "om": "om", "pl": "pl", "pt-br": "pt", "ru": "ru",
    "sl": "sl", "sv": "sv", "tr": "tr", "vi": "vi", "zh-cn": "zh",
}  # fmt: skip
MAX_CHARACTERS: Final = 1200
MIN_BYTES: Final = 240
MIN_SHARE: Final = 0.3  # of the page's main content that is translated; only that part becomes the example
MAX_TEST: Final = 150  # examples of a language
MIN_TEST: Final = 40


@dataclass(frozen=True)
class Example:
    """One line of a task file."""

    id: str
    text: str
    label: str


Rows = dict[str, list[tuple[Example, float]]]  # by file name: an example, the share of its page that was translated


@dataclass
class Task:
    """Examples by file name, with the share of each page that was translated."""

    examples: Rows = field(default_factory=dict)

    def add(self, page: Page, part: Part, english: text.EnglishText) -> None:
        """Make an example of what of a page is in its own language, if that is enough."""
        lines = text.without_missing(text.main_lines(page.html, page.source))
        share = 1.0 if page.is_english else text.translated_share(lines, english)
        own = lines if page.is_english else text.translated(lines, english)
        body = cut(" ".join(own))
        if len(body.encode()) < MIN_BYTES or share < MIN_SHARE:
            return
        name = f"{part}.{TEST_TRANSLATIONS[page.translation]}"
        self.examples.setdefault(name, []).append((Example(page.path, body, label_of(page.path)), share))

    def write(self, folder: Path) -> dict[str, dict[str, Any]]:
        """Write one file a split and language; the number and labels of its examples."""
        examples = _seen_once(self.examples)
        spread = Counter(e.id for name, rows in examples.items() if name.startswith("test.") for e, _ in rows)
        counts: dict[str, dict[str, Any]] = {}
        for name in sorted(examples):
            rows = examples[name]
            if name.startswith("test."):
                rows = _balanced(sorted(rows, key=lambda row: (-spread[row[0].id], row[0].id)))[:MAX_TEST]
                if len(rows) < MIN_TEST:
                    continue
            rows = sorted(rows, key=lambda row: unit_hash("task", row[0].id))
            lines = (json.dumps(asdict(example), ensure_ascii=False) + "\n" for example, _ in rows)
            (folder / f"{name}.jsonl.gz").write_bytes(gzip_member("".join(lines).encode()))
            counts[name] = _describe(rows)
        return counts


def _seen_once(examples: Rows) -> Rows:
    """The examples without those whose text stands in a split before theirs: train, then dev, then test."""
    seen: set[str] = set()
    kept: Rows = {}
    for split in ("train", "dev", "test"):
        for name in (name for name in examples if name.startswith(f"{split}.")):
            kept[name] = [row for row in examples[name] if row[0].text not in seen]
        seen.update(row[0].text for name, rows in kept.items() if name.startswith(f"{split}.") for row in rows)
    return kept


def _balanced(rows: list[tuple[Example, float]]) -> list[tuple[Example, float]]:
    """The rows reordered, one of each label in turn as long as there are any: a head of them is balanced."""
    rank: Counter[str] = Counter()
    turns = []
    for row in rows:
        rank[row[0].label] += 1
        turns.append(rank[row[0].label])
    return [row for _, row in sorted(zip(turns, rows, strict=True), key=lambda pair: pair[0])]


def cut(body: str) -> str:
    """At most MAX_CHARACTERS, ending at white space where the script has it."""
    if len(body) <= MAX_CHARACTERS:
        return body
    head = body[:MAX_CHARACTERS]
    end = head.rfind(" ", MAX_CHARACTERS - 100)
    return head[:end] if end > 0 else head


def _describe(rows: list[tuple[Example, float]]) -> dict[str, Any]:
    return {
        "examples": len(rows),
        "labels": dict(sorted(Counter(example.label for example, _ in rows).items())),
        "translated_share": round(sum(share for _, share in rows) / len(rows), 2),
    }
