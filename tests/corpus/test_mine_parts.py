"""Parts of mining by themselves: rows, what waits to be written, and what the stage says beside its shards."""

from __future__ import annotations

import pytest
from mined_corpus import SMALL, contents, run_on

from corpus.crawl.wet import Document
from corpus.language.settings import LanguageId
from corpus.mine import stage, writer
from corpus.mine.deduplication import DUPLICATE, NOTHING_LEFT, REPEATED
from corpus.mine.identification import UNSURE
from corpus.mine.rows import MinedRow
from corpus.mine.selection import OTHER_DUMP, OTHER_LANGUAGE
from corpus.mine.writer import DroppedWriter, RecordWriter
from corpus.output.arrow_files import read_batches
from corpus.output.step_counts import STEP_OF
from corpus.settings import MineStage
from corpus.stages import PACKAGE
from pipeline.errors import XlmrError
from pipeline.storage import read_json


def row(language: str, text: str, number: int = 0) -> MinedRow:
    lines = text.split("\n")
    page = [*lines, "a line that went" * 3]
    document = Document(f"https://e.org/{number}", "2019", f"sha1:{number}", 9, "e.org", "t", "a.gz", page)
    return MinedRow(document, lines, list(range(len(lines))), language, 0.9, 150.0)


def test_by_paragraph_the_score_is_that_of_the_lines_that_stay():
    one = row("de", "aaaa\nbb\ncc")
    one.line_scores = [0.5, 0.8, 1.0]
    one.average_scores()
    assert one.score == round((4 * 0.5 + 2 * 0.8 + 2 * 1.0) / 8, 2)
    one.keep_lines([False, True, True])
    assert (one.lines, one.line_scores, one.score) == (["bb", "cc"], [0.8, 1.0], 0.9)
    one.keep_lines([False, False])
    assert one.score == 0.9
    whole = row("de", "aaaa\nbb")
    whole.keep_lines([True, False])
    assert whole.score == 0.9, "a document was identified as one"


def test_every_reason_of_mining_has_its_step():
    assert set(STEP_OF) == {DUPLICATE, REPEATED, NOTHING_LEFT, UNSURE, OTHER_LANGUAGE, OTHER_DUMP}


def write(folder, rows, monkeypatch, most):
    """Rows through a writer that holds so much text; the largest amount that waited at once."""
    monkeypatch.setattr(writer, "WAITING_CHARACTERS", most)
    folder.mkdir(parents=True)
    largest = 0
    with RecordWriter(folder / "a.arrow") as out:
        for one in rows:
            out.add(one)
            held = [len(line) for some in out._waiting.values() for r in some for line in r.document.lines]
            largest = max(largest, sum(held))
    return largest


def test_what_waits_to_be_written_is_bounded_over_all_languages(tmp_path, monkeypatch):
    """Whatever the bound, the rows of a language keep their order, and the corpus is the same bytes."""
    rows = [row(["de", "en", "fy"][n % 3 if n % 5 else 0], f"text {n}\n" + "y" * (n % 70), n) for n in range(300)]
    assert write(tmp_path / "mined", rows, monkeypatch, 10**9) > 10_000
    assert write(tmp_path / "bounded" / "mined", rows, monkeypatch, 2_000) <= 2_000
    found = []
    for folder in (tmp_path / "mined", tmp_path / "bounded/mined"):
        languages = read_json(folder / "a.languages.json")
        batches = list(read_batches(folder / "a.arrow"))
        assert [set(batch.column("language").to_pylist()) for batch in batches] == [{one} for one in languages]
        found.append(len(languages))
        run_on(folder, folder.parent / "corpus", SMALL)
    assert found[0] == 3 < found[1]
    assert contents(tmp_path / "corpus") == contents(tmp_path / "bounded/corpus")


def test_pages_that_nothing_is_left_of_do_not_wait_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "BATCH_CHARACTERS", 500)
    with DroppedWriter(tmp_path / "a.arrow") as out:
        for number in range(50):
            one = row("", "some text", number)
            one.keep_lines([False])
            out.add(one, NOTHING_LEFT)
    assert [batch.num_rows for batch in read_batches(tmp_path / "a.arrow")] == [9] * 5 + [5]


class MinedContext:
    """A context that has mined already."""

    def __init__(self, languages):
        self.counts = {"a": {"languages": {language: {"documents": 1} for language in languages}}}
        self.warnings = []

    def map_shards(self, function, shards, **_others):
        return self.counts

    def warn(self, line):
        self.warnings.append(line)


def mine(tmp_path, monkeypatch, context, **language_id):
    monkeypatch.setattr(stage, "read_shards", lambda folder: {})
    monkeypatch.setattr(stage, "read_root", lambda folder: "")
    config = PACKAGE.config()
    sections = {name: getattr(config, name) for name in MineStage.model_fields}
    sections["language_id"] = LanguageId(**language_id)
    inputs = {f"corpus.{name}": tmp_path for name in ("fetch", "hash", "duplicates", "language_models")}
    stage.run(MineStage.model_construct(**sections), inputs, tmp_path, context)


def test_a_language_in_one_script_has_the_model_of_both(tmp_path, monkeypatch):
    for name in ("zh.sp.model", "zh.arpa.bin"):
        (tmp_path / name).touch()
    context = MinedContext(["fr", "zh-Hans", "zh-Hant"])
    mine(tmp_path, monkeypatch, context)
    assert context.warnings == ["languages without a language model, whose bucket is 'all': fr"]


def test_models_without_a_label_are_named(tmp_path, monkeypatch):
    for name in ("eng", "de", "om"):
        (tmp_path / f"{name}.sp.model").touch()
        (tmp_path / f"{name}.arpa.bin").touch()
    for settings, never in ({}, "eng om"), ({"labels": "cc100", "own_model": "built-in"}, "eng"):
        context = MinedContext(["de"])
        mine(tmp_path, monkeypatch, context, **settings)
        assert context.warnings == [f"this identifier has no label {never}, so their language models are not used"]


def test_an_identifier_that_cannot_be_read_is_found_before_the_shards(tmp_path, monkeypatch):
    path = tmp_path / "m.bin"
    path.write_bytes(b"\xba\x16\x4f\x2f\x0c\0\0\0" + bytes(20))
    with pytest.raises(XlmrError, match=r"m\.bin: not a fastText classifier"):
        mine(tmp_path, monkeypatch, None, model=str(path))
