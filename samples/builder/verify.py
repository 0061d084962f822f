"""Checks the committed sample: parses every WET file, and counts languages as fastText's lid.176 names them.

`python -m samples.builder.verify --lid-model lid.176.ftz`; fails on a broken record or a page in two parts.
"""

import argparse
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import fasttext
from fastwarc.warc import ArchiveIterator, WarcRecordType

from .split import part_of

SAMPLES = Path(__file__).resolve().parent.parent
CONFIDENCE = 0.5  # both thresholds are CCNet's
MIN_CHARACTERS = 300


def wet_documents(folder: Path) -> Iterator[tuple[str, str]]:
    """Address and text of every record; the parser passes over records whose digest does not fit."""
    kind = WarcRecordType.conversion
    for path in sorted(folder.glob("*.warc.wet.gz")):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=kind, verify_digests=True):
                yield record.headers["WARC-Target-URI"], record.reader.read().decode()


def unique_lines(documents: list[str]) -> list[str]:
    """The documents without any line that stands in two of them: what CCNet's deduplication leaves."""
    holders = Counter(line for document in documents for line in set(document.split("\n")))
    return ["\n".join(line for line in document.split("\n") if holders[line] == 1) for document in documents]


def languages_of(documents: list[str], model: Path) -> tuple[Counter[str], Counter[str]]:
    """Documents and bytes by identified language, of documents above the confidence threshold."""
    labels, scores = fasttext.load_model(str(model)).predict([text.replace("\n", " ") for text in documents])
    numbers: Counter[str] = Counter()
    volume: Counter[str] = Counter()
    for text, label, score in zip(documents, labels, scores, strict=True):
        if score[0] >= CONFIDENCE:
            code = label[0].removeprefix("__label__")
            numbers[code] += 1
            volume[code] += len(text.encode())
    return numbers, volume


def libreoffice_page(url: str) -> str | None:
    """The page id of an address, None on other sites."""
    if not url.startswith("https://help.libreoffice.org/"):
        return None
    return url.split("/text/", 1)[1].removesuffix(".html")


def check_disjoint(urls: list[str], task: Path) -> dict[str, int]:
    """Page ids of each part; raises AssertionError where one stands in two."""
    parts = {"crawl": {page for page in map(libreoffice_page, urls) if page}}
    for file in sorted(task.glob("*.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            parts.setdefault(file.name.split(".")[0], set()).update(json.loads(line)["id"] for line in lines)
    for name, ids in parts.items():
        for page in ids:
            if not part_of("libreoffice", page).startswith(name):
                raise AssertionError(f"{page} stands in {name}, belongs to {part_of('libreoffice', page)}")
    return {name: len(ids) for name, ids in parts.items()}


def check_complete(count: int, catalog: Path) -> None:
    """Raise AssertionError unless as many records can be read as were written."""
    expected = sum(json.loads(catalog.read_text())["crawl"]["shard_records"])
    if count != expected:
        raise AssertionError(f"{count} records can be read, the catalog names {expected}")


def report(name: str, texts: list[str], model: Path) -> None:
    """Print size and languages of some documents."""
    numbers, volume = languages_of(texts, model)
    rows = ", ".join(f"{code} {count} ({volume[code] // 1000} kB)" for code, count in numbers.most_common())
    print(f"{name}: {sum(map(len, texts)):,} characters, {len(numbers)} languages: {rows}")


def main() -> None:
    """Check the sample, and print what is in it."""
    parser = argparse.ArgumentParser(prog="python -m samples.builder.verify", description=__doc__)
    parser.add_argument("--lid-model", type=Path, required=True)
    parser.add_argument("--samples", type=Path, default=SAMPLES)
    arguments = parser.parse_args()
    documents = list(wet_documents(arguments.samples / "crawl"))
    print("page ids:", check_disjoint([url for url, _ in documents], arguments.samples / "task"))
    check_complete(len(documents), arguments.samples / "catalog.json")
    bodies = [text.partition("\n")[2] for _, text in documents]
    short = [sum(len(body) < limit for body in bodies) for limit in (300, 120)]
    print(f"{len(bodies)} documents; under 300 characters: {short[0]}; under 120: {short[1]}")
    long = [body for body in bodies if len(body) >= MIN_CHARACTERS]
    report("as crawled", long, arguments.lid_model)
    report("deduplicated", [body for body in unique_lines(long) if body], arguments.lid_model)


if __name__ == "__main__":
    main()
