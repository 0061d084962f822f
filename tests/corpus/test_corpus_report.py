"""The package's sections: what steps dropped adds up, the papers' table is read as printed, no name becomes markup."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import made_corpus
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from corpus.language.accuracy import accuracy
from corpus.language.settings import LanguageId
from corpus.mine.counts import StepCounts
from corpus.output.step_counts import UNITS, by_language, reasons_by_step, steps
from corpus.report import sections
from corpus.report.kept import kept_section, language_section
from corpus.report.papers import JOINED, papers_section, papers_sizes, papers_table, rank_correlation, ranks
from corpus.report.perplexity import round_numbers
from corpus.stages import PACKAGE
from pipeline.report.page import write_report
from pipeline.storage import write_json

HOSTILE = '<script>alert("1")</script>|&'

reasons = st.sampled_from(
    ["duplicate lines", "lines repeated in a document", "nothing but duplicate lines", "language unsure",
     "not one of the languages asked for", "another dump's language", "c4: a line", "length: too long", HOSTILE]
)  # fmt: skip


class Text(HTMLParser):
    """The cells of every table row, and the tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[str] = []
        self.in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data):
        if self.in_cell:
            self.rows[-1][-1] += data


def cells(text: str, first: str) -> list[list[str]]:
    return [row[1:] for row in Text(text).rows if row[:1] == [first]]


def random_counts(drops, kept) -> dict:
    """As mining counts, so that everything that was read went or stayed."""
    tally = StepCounts()
    for reason, documents, lines, characters in drops:
        tally.read(documents, lines, characters)
        tally.drop(reason, documents=documents, lines=lines, characters=characters)
    for language, lines, characters in kept:
        tally.read(1, lines, characters)
        tally.keep(language, lines, characters)
    return tally.plain()


amounts = st.integers(1, 9)
drops = st.lists(st.tuples(reasons, amounts, amounts, amounts), max_size=12)
keeps = st.lists(st.tuples(st.sampled_from(["en", "de"]), amounts, amounts), max_size=6)


@given(drops, keeps)
def test_what_steps_drop_and_leave_adds_up(drops, kept):
    mined = random_counts(drops, kept)
    rows = steps({"records": 9}, mined, {})
    left = mined["read"]
    for row in rows[2:]:  # after "records in the crawl" and "read"
        found = {unit: getattr(row, unit) for unit in UNITS}
        left = left if row.left else {unit: left[unit] - found[unit] for unit in UNITS}
        if row.left:
            assert found == left, row.what
    assert rows[-1].what == "kept"
    assert {row.what for row in rows if not row.left} == {reason for reason, *_ in drops}


@given(drops, keeps)
def test_every_reason_stands_in_one_step(drops, kept):
    dropped = random_counts(drops, kept)["dropped"]
    by_step = reasons_by_step(dropped)
    named = [reason for of_step in by_step.values() for reason, _ in of_step]
    assert sorted(named) == sorted(dropped)
    assert all(reason in ("c4: a line", "length: too long", HOSTILE) for reason, _ in by_step.get("filters", []))


def test_documents_that_became_two_are_not_subtracted():
    """By paragraph a document in two languages is kept twice: what is left in between is not known."""
    mined = random_counts([("duplicate lines", 0, 2, 2), ("language unsure", 1, 2, 5)], [("en", 3, 9)])
    mined["kept"]["documents"] = 2
    row = next(row for row in steps({}, mined, {}) if row.what == "after deduplication")
    assert (row.documents, row.lines, row.characters) == (None, 5, 14)
    section = kept_section({"records": 1}, mined, {})
    assert "2 documents of one language each were kept" in section.lead
    assert "Records of the crawl" not in section.body


def test_near_duplicates_come_last():
    mined = random_counts([], [("en", 3, 9), ("en", 2, 4)])
    rows = steps({}, mined, {"near_duplicates_left_out": 1, "documents": 1, "characters": 11})
    assert [(row.what, row.documents) for row in rows[-2:]] == [("near-duplicates", 1), ("in the corpus", 1)]


def test_reasons_are_drawn_whatever_they_are():
    mined = random_counts([(HOSTILE, 2, 3, 70), ("language unsure", 1, 1, 10)], [("en", 1, 20)])
    hashed = {"records": 9, "too_short": 2, "bad_records": 0, "left_out": {"more than 9 lines": 3}}
    page = str(kept_section(hashed, mined, {}).body)
    assert "<script" not in page
    assert cells(page, f"− {HOSTILE}") == [["2", "3", "70"]]
    assert cells(page, "− more than 9 lines") == [["3", "–", "–"]]
    assert "Records of the crawl" in page
    assert "70.0%" in page, "70 of the 100 characters that were read"
    assert not cells(page, "− cannot be read")


def test_what_was_masked_is_shown_where_anything_was():
    mined = random_counts([], [("en", 1, 20)])
    assert "masked" not in str(kept_section({}, mined, {}).body)
    page = str(kept_section({}, mined | {"masked": {"phone": 1200, "email": 0}}, {}).body)
    assert cells(page, "phone") == [["1,200"]]
    assert not cells(page, "email")


def test_more_reasons_than_colours_are_one_part():
    mined = random_counts([(f"length: {n}", 1, 1, n) for n in range(1, 10)], [("en", 1, 55)])
    page = str(kept_section({"records": 10}, mined, {}).body)
    assert "4 other reasons <b>10.0%</b>" in page, "1 + 2 + 3 + 4 of 100"
    assert len(cells(page, "− length: 3")) == 1, "the table has them all"


def test_language_by_language_before_and_after():
    tally = StepCounts()
    tally.read(10, 10, 100)
    for _ in range(2):
        tally.keep("en", 1, 30)
    mined = tally.plain() | {
        "dropped_by_language": {
            "en": {"language unsure": {"documents": 1, "lines": 1, "characters": 15}},
            "xx": {"c4: a page": {"documents": 1, "lines": 2, "characters": 25}},
        }
    }
    table = {"documents": {"en": {"head": 2}}, "characters": {"en": {"head": 62}}}
    found = by_language(mined, table, "characters")
    assert found["en"] == {
        "after deduplication": 75, "language identification": 15, "the choice of languages": 0,
        "the choice of dumps": 0, "filters": 0, "kept": 60, "head": 62, "middle": 0, "tail": 0, "all": 0,
    }  # fmt: skip
    assert (found["xx"]["after deduplication"], found["xx"]["filters"], found["xx"]["kept"]) == (25, 25, 0)
    page = str(language_section(mined, table).body)
    assert cells(page, "language")[0] == [
        "after deduplication", "language unsure", "filtered", "kept", "head", "middle", "tail", "all",
    ]  # fmt: skip
    assert cells(page, "xx") == [
        ["1", "0", "1", "0", "0", "0", "0", "0"], ["2", "0", "2", "0"], ["25", "0", "25", "0", "0", "0", "0", "0"],
    ]  # fmt: skip
    assert "80 %" in page, "60 of 75 characters of English"


def test_without_drops_by_language_only_what_was_kept():
    mined = random_counts([("language unsure", 3, 3, 3)], [("en", 3, 9)])
    assert by_language(mined, {}, "lines") == {"en": {"kept": 3}}
    page = str(language_section(mined, {}).body)
    assert cells(page, "language") == [["kept"]] * 3
    assert language_section(random_counts([], []), {}) is None


def test_the_papers_table_is_whole():
    rows = papers_table()
    assert len(rows) == 100
    assert 2.4e12 < sum(row.gib for row in rows) * 2**30 < 2.6e12, "the paper says 2.5 TB"
    by_code = {row.language: row for row in rows}
    assert (by_code["en"].tokens, by_code["en"].gib, by_code["en"].name) == (55608, 300.8, "English")
    assert (by_code["zh-Hant"].tokens, by_code["zh-Hant"].gib) == (176, 16.6)
    assert by_code["ur_rom"].name == "Urdu Romanized"
    unreadable = {row.language for row in rows if row.tokens is None}
    assert unreadable == {"sv", "uk"}
    assert all("unreadable" in by_code[language].note for language in unreadable)
    assert [row.gib for row in rows if row.language == "my"] == [0.4, 1.6]


def test_languages_are_split_as_far_as_both_do():
    assert papers_sizes(["zh"])["zh"].gib == 63.5
    assert papers_sizes(["zh"])["zh"].tokens == 435
    assert "zh-Hans" not in papers_sizes(["zh"])
    assert papers_sizes(["zh-Hans"])["zh-Hans"].gib == 46.9
    assert "zh" not in papers_sizes(["zh-Hans"])
    assert papers_sizes([])["my"].gib == 2.0
    assert set(JOINED) & {row.language for row in papers_table()} == set()


def test_side_by_side_by_hand():
    total = sum(row.gib for row in papers_table())
    counts = {
        "bytes": {"en": {"head": 300, "tail": 450}, "my": {"all": 100}, "my_zaw": {"all": 140}, "xx": {"all": 10}}
    }
    section = papers_section(counts, {"en": 200, "my": 3, "my_zaw": 4})
    page = str(section.body)
    assert cells(page, "en") == [["English", "750 B", "300.8 GiB", "75.00", f"{30080 / total:.2f}", "200", "55,608"]]
    assert cells(page, "my")[0] == ["Burmese", "240 B", "2.0 GiB", "24.00", f"{200 / total:.2f}", "7", "71"]
    assert cells(page, "xx") == [["not in the table", "10 B", "–", "1.00", "–", "–", "–"]]
    assert cells(page, "sv")[0] == ["Swedish", "–", "12.1 GiB", "–", f"{1210 / total:.2f}", "–", "–"]
    assert "Only here (1): xx." in page
    assert "Only in the paper (97): af am" in page
    assert "75 %" in page
    assert "Spearman" not in section.lead, "of two languages there is none"


def test_rank_correlation_of_the_papers_own_sizes_is_one():
    counts = {"bytes": {row.language: {"all": int(row.gib * 10**6)} for row in papers_table() if row.language != "my"}}
    assert "(Spearman) of 1.00" in papers_section(counts, {}).lead


def test_a_language_of_a_few_lines_has_no_bar():
    page = str(papers_section({"bytes": {"en": {"all": 10**9}, "uk": {"all": 37}}}, {}).body)
    assert re.findall(r'class="label">(\w+)<', page) == ["en"]
    assert cells(page, "uk")[0][1] == "37 B"


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 9, width=16)), min_size=1, max_size=30))
def test_rank_correlation_is_scipys(pairs):
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    found = rank_correlation(first, second)
    if len(pairs) < 3 or len(set(first)) == 1 or len(set(second)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)


def test_equal_values_share_their_rank():
    assert ranks([3.0, 1.0, 3.0, 2.0]) == [3.5, 1, 3.5, 2]


@given(st.floats(0.1, 1e6), st.floats(1.01, 1e5))
def test_ticks_are_round_and_few(low, factor):
    ticks = round_numbers(low, low * factor)
    assert all(low <= tick <= low * factor for tick in ticks)
    assert all(f"{tick:e}"[0] in "1235" for tick in ticks)
    assert len(ticks) <= 3 or all(f"{tick:e}"[0] == "1" for tick in ticks)


def model_card(folder: Path) -> Path:
    """A model's card as training writes it, with a measurement by the function that measures."""
    truth = ["hr"] * 10 + ["no"] * 8 + ["en"] * 2 + [HOSTILE] * 2
    combined = accuracy(truth, ["hr"] * 9 + ["no"] * 9 + ["en", "no"] + [HOSTILE] * 2)
    base = accuracy(truth, ["hr"] * 14 + ["no"] * 4 + ["en"] * 2 + [HOSTILE] * 2)
    held_out = {"paragraph": {"base": base, "own": combined, "combined": combined}, "document": {}}
    write_json(folder / "own.json", {"card_version": 1, "held_out": held_out})
    return folder / "own.ftz"


def run_with_model(folder: Path, model: Path) -> dict[str, Path]:
    return made_corpus.make_run(folder / "run", config={"language_id": LanguageId(own_model=str(model))})


def test_accuracy_by_language_from_the_card(tmp_path):
    outputs = run_with_model(tmp_path, model_card(tmp_path))
    section = next(s for s in sections(outputs) if s.title == "Language identification")
    page = str(section.body)
    assert "22 texts (paragraph by paragraph) in 4 languages" in section.lead
    assert "Over all texts 90.9%" in section.lead, "20 of 22"
    assert re.findall(r'class="label">([^<]+)<', page) == ["en", "no"], "the worst first, of those that were mined"
    accurate, confused = cells(page, "hr")
    # Texts; right by fastText's, ours, both combined; precise by the same: 10 of the 14 that fastText's called hr.
    assert accurate == ["10", "100.0", "90.0", "90.0", "71.4", "100.0", "100.0"]
    assert confused == ["no", "1", "10.00"]
    assert "<script" not in page


@pytest.mark.parametrize(
    "content",
    [None, b"{", b"[]", b"{}", b'{"held_out": 3}', b'{"held_out": {"paragraph": {"base": {"languages": {}}}}}',
     b'{"held_out": {"paragraph": 1, "document": null}}'],
)  # fmt: skip
def test_a_card_that_says_nothing_is_left_out(tmp_path, content):
    path = tmp_path / "own.json"
    if content is not None:
        path.write_bytes(content)
    titles = [section.title for section in sections(run_with_model(tmp_path, path.with_suffix(".ftz")))]
    assert "Language identification" not in titles
    assert "Text by language" in titles


def test_tokens_are_those_of_the_encoded_corpus(tmp_path):
    outputs = made_corpus.make_run(tmp_path)
    encoded = {"en": {"train": {"tokens": 40}, "validation": {"tokens": 2}}}
    write_json(tmp_path / "encoded/sequences.json", {"languages": encoded})
    page = str(sections(outputs | {"tokenizer.encode": tmp_path / "encoded"})[0].body)
    head = cells(page, "language")[0]
    assert cells(page, "en")[0][head.index("tokens")] == "42"
    assert cells(page, "en")[0][head.index("lines")] == "4"
    assert "tokens" not in cells(str(sections(outputs)[0].body), "language")[0]


def test_the_page_of_a_whole_run(tmp_path):
    """Well-formed, self-contained, the same bytes twice; and every section is there."""
    outputs = made_corpus.make_run(tmp_path)
    write_report([PACKAGE], outputs, tmp_path / "page.html")
    first = (tmp_path / "page.html").read_bytes()
    write_report([PACKAGE], outputs, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_bytes() == first
    page = first.decode()
    titles = re.findall(r"<h2[^>]*>([^<]+)</h2>", page)
    for title in ("Text by language", "What was kept, and why the rest went", "Step by step, by language",
                  "Beside CC100", "Perplexity"):  # fmt: skip
        assert title in map(unescape, titles)
    parsed = Text(page)
    assert not {"script", "link", "img", "iframe"} & set(parsed.tags)
    assert set(re.findall(r"url\((.)", page)) <= {"#"}
    assert cells(page, f"− {made_corpus.REASON}") == [["4", "4", "30"]]


def test_sections_of_what_has_run_so_far(tmp_path):
    outputs = made_corpus.make_run(tmp_path)
    assert sections({}) == []
    assert sections({"corpus.fetch": outputs["corpus.fetch"]}) == []
    until_mine = {name: outputs[name] for name in ("corpus.hash", "corpus.mine")}
    assert [section.title for section in sections(until_mine)] == [
        "What was kept, and why the rest went", "Step by step, by language",
    ]  # fmt: skip


def test_a_corpus_without_documents(tmp_path):
    output = tmp_path / "corpus.regroup" / "00000000"
    output.mkdir(parents=True)
    made_corpus.write_corpus(output, {})
    assert [section.title for section in sections({"corpus.regroup": output})] == []
