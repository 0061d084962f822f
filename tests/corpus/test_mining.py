"""What mining drops, keeps aside and counts."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from minified_corpus import MASKS

from corpus.mine.settings import Mine
from pipeline.manifest import read_manifest

BY_PARAGRAPH = ("--corpus.mine.unit", "paragraph", "--corpus.read.title", "paragraph")
FILTERS = ("--corpus.filters.rules", "[c4, gopher_quality, gopher_repetition]", "--corpus.mine.keep_dropped", "true")


def records(paths) -> list[dict]:
    return [record for path in paths for record in pa.ipc.open_file(str(path)).read_all().to_pylist()]


def counts_of(output: Path) -> dict:
    manifest = read_manifest(output)
    assert manifest is not None
    return manifest.counts


@pytest.mark.parametrize(
    "words", [(), BY_PARAGRAPH, FILTERS, (*BY_PARAGRAPH, *FILTERS), MASKS], ids=lambda w: str(len(w))
)
def test_all_that_is_read_is_kept_or_dropped_for_a_reason(done, words):
    done.run(*words, until="corpus.mine")
    folder = done.output("corpus.mine", *words)
    counts = counts_of(folder)
    for what in ("lines", "characters"):
        gone = sum(reason[what] for reason in counts["dropped"].values())
        assert counts["read"][what] == counts["kept"][what] + gone
        assert counts["kept"][what] == sum(language[what] for language in counts["languages"].values())
    kept = records(folder.glob("*.arrow"))
    assert len(kept) == counts["kept"]["documents"]
    assert sum(record["nlines"] for record in kept) == counts["kept"]["lines"]
    if words[-2:] == FILTERS[-2:]:
        assert {"c4", "gopher_quality"} <= {reason.partition(":")[0] for reason in counts["dropped"]}


def test_what_is_dropped_can_be_kept_aside(done):
    done.run(*FILTERS, until="corpus.mine")
    folder = done.output("corpus.mine", *FILTERS)
    aside = records((folder / "dropped").glob("*.arrow"))
    counts = counts_of(folder)["dropped"]
    reasons = {record["reason"] for record in aside}
    assert {"language unsure", "nothing but duplicate lines"} < reasons
    for reason in reasons:
        found = [record for record in aside if record["reason"] == reason]
        assert len(found) == counts[reason]["documents"]
        assert all(
            len(record["line_ids"]) == record["raw_content"].count("\n") + 1 for record in found if record["line_ids"]
        )


def test_masks_leave_every_line_in_its_place(done):
    done.run(*MASKS, until="corpus.mine")
    masked, plain = (records(sorted(done.output("corpus.mine", *w).glob("*.arrow"))) for w in (MASKS, ()))
    assert sum(counts_of(done.output("corpus.mine", *MASKS))["masked"].values()) > 0
    assert [record["line_ids"] for record in masked] == [record["line_ids"] for record in plain]
    assert [record["raw_content"] for record in masked] != [record["raw_content"] for record in plain]


def test_a_language_is_taken_from_its_dumps_alone(small, done, tmp_path):
    for dump, path in zip("AB", sorted((small / "crawl").iterdir()), strict=False):
        folder = tmp_path / "crawl-data" / dump
        folder.mkdir(parents=True)
        (folder / "a.gz").write_bytes(path.read_bytes())
        (folder / "wet.paths.gz").write_bytes(gzip.compress(f"crawl-data/{dump}/a.gz\n".encode()))
    words = (
        "--corpus.fetch.dumps", "[A, B]", "--corpus.fetch.base", str(tmp_path),
        "--corpus.mine.dumps", "{en: [A], '*': [B]}",
    )  # fmt: skip
    done.run(*words, until="corpus.mine")
    first, second = sorted(done.output("corpus.mine", *words).glob("*.arrow"))
    assert {record["language"] for record in records([first])} == {"en"}
    languages = {record["language"] for record in records([second])}
    assert "de" in languages
    assert "en" not in languages


def test_only_the_languages_that_are_asked_for(done):
    words = ("--corpus.mine.languages", "[de, el]")
    done.run(*words, until="corpus.mine")
    folder = done.output("corpus.mine", *words)
    assert {record["language"] for record in records(folder.glob("*.arrow"))} <= {"de", "el"}
    assert counts_of(folder)["dropped"]["not one of the languages asked for"]["documents"] > 0
    everything = counts_of(done.output("corpus.mine"))["languages"]
    assert counts_of(folder)["languages"] == {code: everything[code] for code in ("de", "el") if code in everything}


def test_which_dump_a_language_is_taken_from():
    table = Mine(dumps={"en": ["a"], "*": ["b", "c"]})
    assert [table.takes("en", "a"), table.takes("en", "b"), table.takes("de", "c"), table.takes("de", "a")] == [
        True, False, True, False,
    ]  # fmt: skip
    assert Mine().takes("en", "any")
    assert Mine(dumps={"en": ["a"]}).takes("de", "any")
