"""The embedded crawl is what its catalogue says, no page or text stands in two parts, and no text tells its label."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from corpus.crawl.tally import Tally
from corpus.crawl.wet import Document, read_documents
from samples.builder import languages, sources
from samples.builder.large import translated_pages
from samples.builder.split import LABELS, part_of
from samples.builder.task import MIN_TEST, Example, Task
from samples.builder.text import without_missing

SAMPLES = Path(__file__).parents[2] / "samples"
MAX_BYTES = 15_000_000
SPLITS = ("train", "dev", "test")
# What an address names: the translation, and the page, the same for both addresses of a copy.
ADDRESSES = {
    "libreoffice": re.compile(r"https://help\.libreoffice\.org/[^/]+/(?P<translation>[^/]+)/text/(?P<page>.+)\.html"),
    "gnome": re.compile(r"https://help\.gnome\.org/(?P<page>.+)\.html(?:\.(?P<translation>[^.]+))?"),
    "handbook": re.compile(
        r"https://(?:www\.)?debian-handbook\.info/browse/(?P<translation>[^/]+)/stable/(?P<page>.+)\.html"
    ),
    "udhr": re.compile(r"https?://www\.unicode\.org/udhr/d/udhr_(?P<translation>.+)-(?P<page>\d)\.html"),
}
LIBREOFFICE_MARK = re.compile(r"text/\S+\.xhp|D'oh!")
LABEL = re.compile(rf"(?<![a-z])(?:{'|'.join(LABELS)})(?![a-z])", re.IGNORECASE)
MODULE_FOLDER = re.compile(r"[/\\]s?(basic|calc|database|impress|math|writer)[/\\]", re.IGNORECASE)


@pytest.fixture(scope="module")
def catalog() -> dict[str, Any]:
    return json.loads((SAMPLES / "catalog.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tasks() -> dict[str, list[dict[str, str]]]:
    """The examples of each task file."""
    files = sorted((SAMPLES / "task").iterdir())
    return {file.name.removesuffix(".jsonl.gz"): _rows(file) for file in files}


@pytest.fixture(scope="module")
def shards() -> dict[str, tuple[list[Document], Tally]]:
    """The documents of each WET file, as the corpus package reads them, none too short."""
    found = {}
    for file in sorted((SAMPLES / "crawl").iterdir()):
        tally = Tally()
        found[file.name] = (list(read_documents([str(file)], 0, 1 << 24, tally)), tally)
    return found


@pytest.fixture(scope="module")
def pages(shards: dict[str, tuple[list[Document], Tally]]) -> dict[tuple[str, str, str], int]:
    """Bytes of each page of the crawl, by source, translation and path; a page fetched twice stands once."""
    documents = [document for found, _ in shards.values() for document in found]
    return {_page(document.url): document.length for document in documents}


def _rows(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


def _page(url: str) -> tuple[str, str, str]:
    for source, pattern in ADDRESSES.items():
        if match := pattern.fullmatch(url):
            page = re.sub(r"^(users|admin)/([^/]+)/(43|stable)/", r"\2/", match["page"])
            return source, match["translation"] or "C", page
    raise AssertionError(f"{url} is of no source")


def _language(source: str, translation: str) -> str:
    if source == "libreoffice":
        return languages.LIBREOFFICE[translation.lower()]
    table = {"gnome": languages.GNOME, "handbook": languages.HANDBOOK, "udhr": languages.UDHR}[source]
    return table.get(translation, translation)


def _ids(tasks: dict[str, list[dict[str, str]]], split: str, field: str = "id") -> set[str]:
    return {row[field] for name, rows in tasks.items() if name.startswith(f"{split}.") for row in rows}


def test_the_catalogue_lists_every_file_with_its_checksum(catalog: dict[str, Any]) -> None:
    found = {
        file.relative_to(SAMPLES).as_posix(): {
            "bytes": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for part in ("crawl", "clean", "task")
        for file in (SAMPLES / part).iterdir()
    }
    assert found == catalog["files"]


def test_the_sample_is_small() -> None:
    files = [file for file in SAMPLES.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    assert sum(file.stat().st_size for file in files) <= MAX_BYTES


def test_every_record_of_the_crawl_can_be_read(
    shards: dict[str, tuple[list[Document], Tally]], catalog: dict[str, Any]
) -> None:
    assert {name: tally.named for name, (_, tally) in shards.items() if tally.bad} == {}
    assert [tally.records for _, tally in shards.values()] == catalog["crawl"]["shard_records"]
    assert [len(documents) for documents, _ in shards.values()] == catalog["crawl"]["shard_records"]


def test_the_crawl_holds_the_languages_of_the_catalogue(
    pages: dict[tuple[str, str, str], int], catalog: dict[str, Any]
) -> None:
    numbers: Counter[str] = Counter()
    volume: Counter[str] = Counter()
    for (source, translation, _), size in pages.items():
        numbers[_language(source, translation)] += 1
        volume[_language(source, translation)] += size
    listed = catalog["crawl"]["languages"]
    assert len(pages) == catalog["crawl"]["pages"]
    assert numbers == {code: row["pages"] for code, row in listed.items()}
    assert volume == {code: row["bytes"] for code, row in listed.items()}

    assert catalog["crawl"]["xlmr_codes_present"] == [code for code in languages.XLMR_CODES if volume[code]]
    assert len(catalog["crawl"]["xlmr_codes_present"]) >= 85
    large = [code for code in languages.XLMR_CODES if code in listed and listed[code]["own_bytes"] >= 100_000]
    assert len(large) >= 25


def test_the_task_files_hold_the_examples_of_the_catalogue(
    tasks: dict[str, list[dict[str, str]]], catalog: dict[str, Any]
) -> None:
    counts = {name: (len(rows), dict(Counter(row["label"] for row in rows))) for name, rows in tasks.items()}
    assert counts == {name: (row["examples"], row["labels"]) for name, row in catalog["task"].items()}
    assert all(row["id"].split("/")[0] == row["label"] for rows in tasks.values() for row in rows)


def test_no_page_stands_in_two_parts(
    tasks: dict[str, list[dict[str, str]]], pages: dict[tuple[str, str, str], int]
) -> None:
    parts = {split: _ids(tasks, split) for split in SPLITS}
    parts["crawl"] = {page for source, _, page in pages if source == "libreoffice"}
    assert any(page.startswith("scalc/") for page in parts["crawl"])  # named as the task names them
    twice = [page for page, number in Counter(page for ids in parts.values() for page in ids).items() if number > 1]
    assert twice == []


def test_no_text_stands_in_two_splits(tasks: dict[str, list[dict[str, str]]]) -> None:
    texts = [_ids(tasks, split, "text") for split in SPLITS]
    assert [text for text, number in Counter(text for split in texts for text in split).items() if number > 1] == []


@pytest.mark.parametrize("pattern", [LIBREOFFICE_MARK, LABEL, MODULE_FOLDER], ids=["mark", "label", "folder"])
def test_no_text_tells_its_label_by_a_path(tasks: dict[str, list[dict[str, str]]], pattern: re.Pattern[str]) -> None:
    hits = [(name, row["id"]) for name, rows in tasks.items() for row in rows if pattern.search(row["text"])]
    assert hits == []


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("Before [text/scalc/01/a.xhp#b not found]. After", ["Before After"]),
        ("Zoom D'oh! You found a bug (text/shared/01/03010000.xhp#zoom_text not found).", ["Zoom"]),
        ("D'oh! You found a bug (text/shared/01/03010000.xhp#zoom_text not found).", []),
        ("53 File not found [see text/plain]", ["53 File not found [see text/plain]"]),
    ],
)
def test_marks_of_missing_parts_go_and_nothing_else(line: str, left: list[str]) -> None:
    assert without_missing([line]) == left


def test_an_example_is_left_out_where_an_earlier_split_has_its_text(tmp_path: Path) -> None:
    texts = {
        "test.en": ["of train", "of dev", *(f"of test {number}" for number in range(MIN_TEST))],
        "dev.en": ["of train", "of dev"],
        "train.en": ["of train", "of train"],  # a repeat within a split stays
    }
    examples = {
        name: [(Example(f"scalc/{name}-{number}", text, "scalc"), 1.0) for number, text in enumerate(rows)]
        for name, rows in texts.items()
    }
    counts = Task(examples).write(tmp_path)
    assert {name: row["examples"] for name, row in counts.items()} == {"train.en": 2, "dev.en": 1, "test.en": MIN_TEST}
    assert [row["text"] for row in _rows(tmp_path / "dev.en.jsonl.gz")] == ["of dev"]


def test_the_large_crawl_has_no_page_of_the_dev_and_test_sets_and_no_line_in_english(tmp_path: Path) -> None:
    folders = {}
    for locale, words in (("en-us", "The cells of this sheet are"), ("de", "Die Zellen dieser Tabelle sind")):
        name = sources.package_name("libreoffice", locale)
        folders[name] = tmp_path / name
        pages_of = tmp_path / name / f"usr/share/libreoffice/help/{locale}/text/scalc"
        pages_of.mkdir(parents=True)
        for number in range(100):
            lines = f"<p>{words} {number}.</p>" * 3 + "<p>This line is left.</p>"
            (pages_of / f"{number}.html").write_text(f"<html><title>Calc {number}</title><body>{lines}</body></html>")
    english = sources.english_text("libreoffice", folders)

    found = translated_pages("libreoffice", "de", folders, english)

    parts = {part_of("libreoffice", page.page.path) for page in found}
    assert parts == {"crawl", "crawl-en", "train"}
    assert len(found) == sum(part_of("libreoffice", f"scalc/{number}") in parts for number in range(100)) < 100
    assert all(line.startswith("Die Zellen") for page in found for line in page.lines if "Calc" not in line)
