"""The public Python API: read, deduplicate, identify, filter, score. The docstrings' examples are run."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import corpus
from corpus import api
from corpus.output.records import BUCKETS, CORPUS
from pipeline.errors import UsageError, XlmrError
from tests.corpus.small_pages import PAGES, write_pages


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``pages.warc.wet.gz`` and ``models/``."""
    home = tmp_path_factory.mktemp("home")
    write_pages(home)
    return home


def test_examples_of_docstrings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    found = doctest.testmod(api, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted
    assert not found.failed


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, corpus; print([name for name in sys.modules if name.partition('.')[0] in ('corpus', 'numpy')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['corpus']\n"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = corpus.nothing


def test_documents_of_a_crawl(home: Path) -> None:
    (batch,) = corpus.read(home / "pages.warc.wet.gz", min_characters=1)
    assert batch.schema == api.READ
    rows = batch.to_pylist()
    assert [row["title"] for row in rows] == list(PAGES)
    assert [row["raw_content"].split("\n")[: len(of)] for row, of in zip(rows, PAGES.values(), strict=True)] == list(
        PAGES.values()
    )
    assert rows[0]["url"] == "https://example.org/0"


def test_what_cannot_be_read_is_named_by_a_warning(home: Path, tmp_path: Path) -> None:
    whole = (home / "pages.warc.wet.gz").read_bytes()
    (tmp_path / "cut.warc.wet.gz").write_bytes(whole[:-40])
    with pytest.warns(UserWarning, match=r"cut\.warc\.wet\.gz: "):
        batches = list(corpus.read(tmp_path, min_characters=1))
    assert 0 < sum(batch.num_rows for batch in batches) < len(PAGES)


def test_documents_of_a_corpus(done) -> None:  # type: ignore[no-untyped-def]
    project = done.output("corpus.regroup").parents[1]
    batches = list(corpus.read(project))
    assert {tuple(batch.schema.names) for batch in batches} == {tuple(CORPUS.names)}
    assert len(batches) == len(list(corpus.read(done.output("corpus.regroup"))))
    german = pa.Table.from_batches(corpus.read(project, languages=["de"]))
    assert set(german["language"].to_pylist()) == {"de"}
    assert set(german["bucket"].to_pylist()) <= set(BUCKETS)
    with pytest.raises(UsageError, match="has no language xx; it has "):
        corpus.read(project, languages=["xx"])
    with pytest.raises(UsageError, match="is a corpus; min_characters is a setting of a crawl"):
        corpus.read(project, min_characters=1)


def test_the_functions_decide_as_the_stages_did(done) -> None:  # type: ignore[no-untyped-def]
    table = pa.Table.from_batches(corpus.read(done.output("corpus.regroup")))
    assert table.num_rows > 50
    found = corpus.identify(table["raw_content"])
    assert found.languages == table["language"].to_pylist()
    assert found.probabilities.tolist() == table["language_score"].to_pylist()
    perplexities = corpus.score(table["raw_content"], found.languages, done.output("corpus.language_models"))
    expected = table["perplexity"].to_pylist()
    assert [x and round(x, 1) for x in perplexities] == [x and round(x, 1) for x in expected]
    assert None in expected
    assert any(expected)


def test_nothing_and_null_are_texts(home: Path) -> None:
    assert corpus.deduplicate([]) == []
    assert corpus.deduplicate(pa.array(["a", None, "a"])) == ["", "", ""]
    assert corpus.identify([]).languages == []
    assert corpus.identify(pa.chunked_array([["", None]])).languages == ["", ""]
    assert corpus.filter([], rules=["c4"]) == ([], [])
    assert corpus.score([None], "en", home / "models") == [None]


def test_lines_that_rules_leave_out_are_gone_and_dropped_texts_are_not_masked() -> None:
    line = "This is a line with enough words, and it ends as it should."
    texts = [f"{line}\nHome\n{line}\n{line} a@example.org.", "Home a@example.org"]
    found = corpus.filter(texts, ["en", "de"], rules=["c4"], mask=["email"])
    assert found.texts == [f"{line}\n{line}\n{line} [email].", ""]
    assert found.reasons == [None, "c4: no line left"]


@pytest.mark.parametrize(
    ("call", "line"),
    [
        (lambda: corpus.identify(["x"], model="lid.176.ftz", label="cc100"), r"corpus.language_id.label: extra inputs"),
        (lambda: corpus.identify("a text"), "one text was given where a list is taken; put it into a list"),
        (lambda: corpus.filter(["x"], rules=["gopher"]), r"corpus.filters.rules.0: input should be 'only_hosts'"),
        (lambda: corpus.filter(["x"], ["en", "de"]), "languages: 2 for 1 texts; give one for each, or one for all"),
        (lambda: corpus.deduplicate(["x"], keep="last"), "corpus.duplicates.keep: input should be 'drop_all'"),  # type: ignore[arg-type]
        (lambda: corpus.score(["x"], "en", "nowhere"), "nowhere: has no language models; name the output of"),
        (lambda: corpus.read("nowhere.wet", languages=["de"]), "is a crawl, which has no languages and buckets"),
        (lambda: list(corpus.read("nowhere.wet")), r"nowhere.wet"),
    ],
)
def test_mistakes_are_one_line(call, line) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(XlmrError, match=line):
        call()
