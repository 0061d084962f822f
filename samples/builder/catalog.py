"""Counts what was built: catalog.json for tests, and the table by language of README.md for readers."""

import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from . import languages
from .crawl import Crawl
from .fetch import Package

Counts = dict[str, dict[str, int]]
Task = dict[str, dict[str, Any]]
TABLE_MARKS: Final = ("<!-- table by language, written by samples.builder -->\n", "<!-- end of table -->")


def write(
    out: Path,
    packages: list[Package],
    crawl: Crawl,
    shard_records: list[int],
    clean: Counts,
    task: Task,
) -> None:
    """Write catalog.json, and the table of the README where there is one."""
    by_language = _by_language(crawl)
    body: dict[str, Any] = {
        "packages": [{"name": p.name, "version": p.version, "kind": p.kind} for p in packages],
        "crawl": {
            "shard_records": shard_records,
            "pages": len(crawl.chosen),
            "xlmr_codes_present": [code for code in languages.XLMR_CODES if code in by_language],
            "languages": by_language,
        },
        "clean": clean,
        "task": task,
        "files": _files(out),
    }
    (out / "catalog.json").write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n")
    readme = out / "README.md"
    if readme.exists():  # not when building elsewhere to compare
        readme.write_text(_with_table(readme.read_text(), _table(by_language, clean, task)))


def _by_language(crawl: Crawl) -> Counts:
    """Pages, bytes of text, and bytes of it that are not untranslated English, by language and source."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for candidate in crawl.chosen:
        row = counts[candidate.page.language]
        row["pages"] += 1
        row["bytes"] += candidate.bytes
        row["own_bytes"] += candidate.own_bytes
        row[candidate.page.source] += 1
    return {code: dict(row) for code, row in sorted(counts.items())}


def _files(out: Path) -> dict[str, dict[str, int | str]]:
    """Size and checksum of every file built."""
    found = sorted(file for part in ("crawl", "clean", "task") for file in (out / part).iterdir())
    return {
        file.relative_to(out).as_posix(): {
            "bytes": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file in found
    }


def _table(crawl: Counts, clean: Counts, task: Task) -> str:
    rows = [
        "| code | crawl pages | crawl kB | of it not English kB | clean documents | clean kB | test pages |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for code in sorted({*languages.XLMR_CODES, *clean} & {*crawl, *clean}):
        row, text, test = crawl.get(code, {}), clean.get(code, {}), task.get(f"test.{code}", {})
        sizes = [row.get("bytes", 0), row.get("own_bytes", 0)]
        cells = [row.get("pages"), *(_kilobytes(size) for size in sizes)]
        cells += [text.get("documents"), _kilobytes(text.get("bytes", 0)), test.get("examples")]
        rows.append(f"| {code} | " + " | ".join(str(cell or "") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _kilobytes(size: int) -> int:
    return round(size / 1000)


def _with_table(readme: str, table: str) -> str:
    start, end = TABLE_MARKS
    head, rest = readme.split(start)
    return head + start + table + end + rest.split(end)[1]
