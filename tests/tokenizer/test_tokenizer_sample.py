"""The training text: the formula by hand, what is drawn, that nothing is drawn twice or too long."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import XlmrError
from pipeline.lines import cut
from tokenizer.sample import uniform
from tokenizer.settings import TokenizerSettings
from tokenizer.shares import drawn_fractions, smoothed_shares


def test_smoothing_by_hand() -> None:
    # q = 0.9, 0.09, 0.01; q^0.5 = 0.94868, 0.3, 0.1; their sum 1.34868.
    shares = smoothed_shares({"en": 900, "sw": 90, "la": 10, "none": 0}, 0.5)
    assert shares == pytest.approx({"en": 0.703412, "sw": 0.222440, "la": 0.074147, "none": 0.0}, abs=1e-5)
    # XLM-R's exponent on 8:1, by logarithms: 8^0.3 = 2^0.9 = 1.86607, so 0.65109 and 0.34891.
    assert smoothed_shares({"a": 8, "b": 1}, 0.3) == pytest.approx({"a": 0.65109, "b": 0.34891}, abs=1e-5)
    assert smoothed_shares({"a": 3, "b": 1}, 1.0) == pytest.approx({"a": 0.75, "b": 0.25})
    assert smoothed_shares({"a": 3, "b": 1}, 0.0) == pytest.approx({"a": 0.5, "b": 0.5})


def test_what_a_small_language_lacks_is_given_by_the_others() -> None:
    # alpha 0: 300 bytes, 100 each; c has 40 only, so a and b give 130 each.
    sizes = {"a": 1000, "b": 200, "c": 40}
    assert drawn_fractions(sizes, sizes, 0.0, 300) == pytest.approx({"a": 0.13, "b": 0.65, "c": 1.0})


def test_shares_are_of_characters_and_the_budget_of_bytes() -> None:
    # alpha 0: as many characters of each; one of b takes 3 bytes, so 100 of each fill 400 bytes.
    fractions = drawn_fractions({"a": 1000, "b": 1000}, {"a": 1000, "b": 3000}, 0.0, 400)
    assert fractions == pytest.approx({"a": 0.1, "b": 0.1})


corpora = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.integers(0, 10**9).flatmap(lambda n: st.tuples(st.just(n), st.integers(n, 4 * n))),
    min_size=1,
)


@given(corpora, st.floats(0, 1), st.integers(1, 10**10))
def test_the_budget_is_filled_and_no_language_gives_more_than_it_has(
    corpus: dict[str, tuple[int, int]], alpha: float, budget: int
) -> None:
    characters = {name: n for name, (n, _) in corpus.items()}
    sizes = {name: size for name, (_, size) in corpus.items()}
    fractions = drawn_fractions(characters, sizes, alpha, budget)
    assert all(0 <= fraction <= 1 for fraction in fractions.values())
    drawn = sum(fractions[name] * sizes[name] for name in sizes)
    assert drawn == pytest.approx(min(budget, sum(sizes.values())), rel=1e-6)
    # Those that are not exhausted stand to one another as their shares.
    shares = smoothed_shares(characters, alpha)
    levels = [fractions[n] * characters[n] / shares[n] for n in shares if 0 < fractions[n] < 1]
    assert levels == pytest.approx([levels[0]] * len(levels), rel=1e-6) if levels else True


def test_uniform_is_uniform_and_known() -> None:
    import numpy as np

    values = uniform(np.arange(200_000, dtype=np.uint64))
    assert np.histogram(values, 20, (0, 1))[0] == pytest.approx(10_000, rel=0.05)
    # The first output of SplitMix64 from state 0 is 0xE220A8397B1DCDAF (as in Java's SplittableRandom).
    assert uniform(np.zeros(1, np.uint64))[0] == (0xE220A8397B1DCDAF >> 11) * 2.0**-53


@given(st.lists(st.text(alphabet="ab é自🦄", max_size=30)).map("".join), st.integers(4, 40))
def test_long_lines_are_cut_not_lost(line: str, longest: int) -> None:
    parts = [part.decode() for part in cut(line.encode(), longest)]
    assert all(len(part.encode()) <= longest for part in parts)
    assert "".join(parts).replace(" ", "") == line.replace(" ", "")
    if all(len(word.encode()) < longest for word in line.split()):
        assert " ".join(parts).split() == line.split()


def lines_of(folder: Path) -> list[tuple[str, str]]:
    """(language, line) of the drawn text."""
    return [
        (path.parent.name, line)
        for path in sorted((folder / "text").glob("*/*.txt"))
        for line in path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    ]


@pytest.fixture(name="corpus_lines")
def _corpus_lines(documents: dict[str, dict[str, list[str]]]) -> Counter[tuple[str, str]]:
    return Counter(
        (language, line)
        for language, by_bucket in documents.items()
        for bucket in ("head", "middle", "all")
        for text in by_bucket.get(bucket, [])
        for line in text.split("\n")
    )


def test_everything_is_taken_when_there_is_too_little(
    corpus: Path, corpus_lines: Counter[tuple[str, str]], run_stage: Any, tmp_path: Path
) -> None:
    counts, context = run_stage("tokenizer.sample", {}, {"corpus.regroup": corpus}, tmp_path)
    assert Counter(lines_of(tmp_path)) == corpus_lines
    assert counts["lines"] == corpus_lines.total()
    assert "all of it is used" in context.warnings[0]


def test_the_draw_meets_its_targets(
    corpus: Path, documents: Any, corpus_lines: Counter[tuple[str, str]], run_stage: Any, tmp_path: Path
) -> None:
    counts, _ = run_stage("tokenizer.sample", {"sample": {"bytes": 9_000}}, {"corpus.regroup": corpus}, tmp_path)
    drawn = lines_of(tmp_path)
    assert Counter(drawn) <= corpus_lines  # no line more often than the corpus has it
    assert counts["bytes"] == sum(len(line.encode()) for _, line in drawn)
    assert counts["bytes"] == pytest.approx(9_000, rel=0.35)  # some sixty lines, each drawn or not
    table = json.loads((tmp_path / "languages.json").read_text(encoding="utf-8"))
    assert sum(row["target_share"] for row in table.values()) == pytest.approx(1)
    for language, row in table.items():
        assert row["drawn_lines"] == sum(1 for code, _ in drawn if code == language)
    assert table["en"]["target_share"] < table["en"]["natural_share"]
    assert table["th"]["target_share"] > table["th"]["natural_share"]
    # From the documents, not from the code: shares of characters over the chosen buckets.
    size = {
        code: sum(len(text) for bucket, texts in by.items() if bucket != "tail" for text in texts)
        for code, by in documents.items()
    }
    assert table["ko"]["natural_share"] == pytest.approx(size["ko"] / sum(size.values()))


def test_long_lines_reach_the_text_in_parts(write_corpus: Any, run_stage: Any, tmp_path: Path) -> None:
    long = "word " * 100 + "自" * 100
    write_corpus(tmp_path / "corpus", {"en": {"head": [f"short\n\n  {long}  \n"]}})
    settings = {"sample": {"max_sentence_length": 64}}
    counts, _ = run_stage("tokenizer.sample", settings, {"corpus.regroup": tmp_path / "corpus"}, tmp_path / "out")
    drawn = [line for _, line in lines_of(tmp_path / "out")]
    assert drawn[0] == "short"
    assert "".join(drawn[1:]).replace(" ", "") == long.replace(" ", "")
    assert max(len(line.encode()) for line in drawn) <= 64
    assert counts["cuts"] == len(drawn) - 2


def contents(folder: Path) -> dict[str, bytes]:
    """The files of an output that its manifest would name."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {
        name: path.read_bytes() for path in paths if not (name := path.relative_to(folder).as_posix()).startswith(".")
    }


def test_same_text_whatever_the_workers_and_another_with_another_seed(
    corpus: Path, run_stage: Any, tmp_path: Path
) -> None:
    inputs = {"corpus.regroup": corpus}
    run_stage("tokenizer.sample", {"sample": {"bytes": 9_000}}, inputs, tmp_path / "one", workers=1)
    run_stage("tokenizer.sample", {"sample": {"bytes": 9_000}}, inputs, tmp_path / "four", workers=4)
    run_stage("tokenizer.sample", {"sample": {"bytes": 9_000, "seed": 2}}, inputs, tmp_path / "other")
    assert contents(tmp_path / "one") == contents(tmp_path / "four")
    assert contents(tmp_path / "one") != contents(tmp_path / "other")


def test_only_the_languages_that_are_named(corpus: Path, run_stage: Any, tmp_path: Path) -> None:
    inputs = {"corpus.regroup": corpus}
    chosen = {"sample": {"languages": ["th", "en", "th"], "bytes": 9_000}}
    run_stage("tokenizer.sample", chosen, inputs, tmp_path / "two")
    assert {language for language, _ in lines_of(tmp_path / "two")} == {"en", "th"}
    table = json.loads((tmp_path / "two" / "languages.json").read_text(encoding="utf-8"))
    assert sum(row["natural_share"] for row in table.values()) == pytest.approx(1)
    assert set(table) == {"en", "th"}
    turned = TokenizerSettings.model_validate({"sample": {"languages": ["en", "th"], "bytes": 9_000}})
    assert TokenizerSettings.model_validate(chosen) == turned  # so the key is the same too


def test_a_language_that_is_not_there(corpus: Path, run_stage: Any, tmp_path: Path) -> None:
    inputs = {"corpus.regroup": corpus}
    settings = {"sample": {"languages": ["en", "zh-hans"]}}
    with pytest.raises(XlmrError, match=r"no text of zh-hans in the .* the corpus has among others zh-Hans$") as error:
        run_stage("tokenizer.sample", settings, inputs, tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(XlmrError, match=r"no text of Q, en in the buckets all; .* the corpus has .*ja, ko, sw"):
        run_stage("tokenizer.sample", {"sample": {"languages": ["Q", "en"], "buckets": ["all"]}}, inputs, tmp_path)


def test_an_empty_corpus(run_stage: Any, write_corpus: Any, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(XlmrError, match=r"the corpus has no file of the buckets .*; check what corpus.regroup kept"):
        run_stage("tokenizer.sample", {}, {"corpus.regroup": tmp_path / "nothing"}, tmp_path / "out")
    corpus = write_corpus(tmp_path / "corpus", {"en": {"head": ["some text"]}})
    (corpus / "counts.json").unlink()
    with pytest.raises(XlmrError, match=r"counts\.json: no such file; run corpus.regroup again"):
        run_stage("tokenizer.sample", {}, {"corpus.regroup": corpus}, tmp_path / "out")


def test_buckets_that_are_not_there(write_corpus: Any, run_stage: Any, tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", {"en": {"tail": ["text"]}})
    with pytest.raises(XlmrError, match="no file of the buckets head, middle, all; it has tail"):
        run_stage("tokenizer.sample", {}, {"corpus.regroup": tmp_path / "corpus"}, tmp_path / "out")
    (tmp_path / "corpus" / "en" / "tail-00000.arrow").write_bytes(b"not Arrow")
    settings = {"sample": {"buckets": ["tail"]}}
    with pytest.raises(XlmrError, match=r"tail-00000\.arrow: not a file of the corpus"):
        run_stage("tokenizer.sample", settings, {"corpus.regroup": tmp_path / "corpus"}, tmp_path / "out")
