"""What a user adds to the corpus package: a filter rule, a step of mining, an identifier; from outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from corpus.crawl.wet import Document
from corpus.filters.own_rule import MOST_REASONS, OwnRule
from corpus.filters.text import DocumentText
from corpus.language.own_identifier import OwnIdentifier
from corpus.mine.own_step import OwnStep
from corpus.mine.rows import MinedRow
from corpus.mine.settings import STEPS, Mine
from corpus.mine.writer import DroppedWriter
from pipeline.errors import XlmrError
from pipeline.manifest import read_manifest

EXAMPLES = Path(__file__).parent / "examples"
SETTINGS = """
  filters: {rules: [length], own: [my_rules:no_dots], length: {min_words: 5}}
  language_id: {identifier: my_identifier:identify}
  mine: {steps: [deduplicate, identify, my_steps:no_menus, select, filter, mask, score, write], keep_dropped: true}
"""


def xlmr(folder: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    command = [sys.executable, "-m", "pipeline", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_examples_run_and_their_sources_count(small: Path, tmp_path: Path) -> None:
    for path in EXAMPLES.glob("*.py"):
        shutil.copy(path, tmp_path)
    (tmp_path / "run.yaml").write_text(
        f"run: {{project: mine, workers: 1}}\ncorpus:\n  fetch: {{crawl: '{small}/crawl/*.gz'}}\n"
        f"  language_models: {{text: '{small}/clean/*.xz', vocab_size: 500}}{SETTINGS}"
    )
    xlmr(tmp_path, "run", "run.yaml", "--until", "corpus.mine")
    (output,) = (tmp_path / "runs/mine/corpus.mine").iterdir()
    manifest = read_manifest(output)
    assert manifest is not None
    counts = manifest.counts
    assert set(counts["languages"]) == {"de", "en"}
    dropped = counts["dropped"]
    assert dropped["no_dots: no line ends in a full stop"]["documents"] > 0
    assert dropped["no_menus"]["lines"] > dropped["no_menus"]["documents"] > 0
    for unit in ("lines", "characters"):
        assert counts["read"][unit] == counts["kept"][unit] + sum(amounts[unit] for amounts in dropped.values())
    for path in output.glob("*.arrow"):
        for text in pa.ipc.open_file(str(path)).read_all().column("raw_content").to_pylist():
            assert all(" " in line for line in text.split("\n"))
            assert any(line.endswith(".") for line in text.split("\n"))
    aside = pa.concat_tables(pa.ipc.open_file(str(path)).read_all() for path in (output / "dropped").glob("*.arrow"))
    assert {"no_menus", "no_dots: no line ends in a full stop"} <= set(aside.column("reason").to_pylist())
    for name in ("my_rules", "my_steps", "my_identifier"):
        path = tmp_path / f"{name}.py"
        before = path.read_text()
        path.write_text(f"{before}# another version\n")
        plan = xlmr(tmp_path, "plan", "run.yaml", "--run.until", "corpus.mine").splitlines()
        assert [line.split()[1] for line in plan[:-1]] == ["fresh"] * 4
        assert plan[-1].startswith("corpus.mine ")
        assert plan[-1].endswith(f"{name}.py was changed")
        path.write_text(before)


def test_a_tool_tries_an_identifier(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "my_identifier.py", tmp_path)
    (tmp_path / "text.txt").write_text("the end of the road\nder Rest ist da\n\n")
    found = xlmr(tmp_path, "corpus", "identify", "--identifier", "my_identifier:identify", "text.txt")
    assert found == "en\t1.00\nde\t1.00\nund\t0.00\n"


@pytest.mark.parametrize("path", EXAMPLES.glob("*.py"), ids=lambda path: path.stem)
def test_the_page_shows_the_examples(path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "extend.md").read_text(encoding="utf-8")
    assert path.read_text(encoding="utf-8") in page


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Writes a module ``of_mine`` with a function ``f`` of the given body; returns its import string."""

    def write(body: str) -> str:
        (tmp_path / "of_mine.py").write_text(f"import numpy as np\ndef f(items):\n    {body}\n")
        sys.modules.pop("of_mine", None)
        return "of_mine:f"

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield write
    sys.modules.pop("of_mine", None)


TEXTS = [DocumentText(["a."]), DocumentText(["b"])]


def test_a_rule_keeps_or_drops_with_or_without_a_reason(own: Any) -> None:
    rule = OwnRule(own("return ['too  short\\n' if 'b' in t.joined else None for t in items]"))
    assert rule.reasons(TEXTS) == [None, "f: too short"]
    assert rule.reasons([]) == []
    assert OwnRule(own("return np.array([t.joined == 'b' for t in items])")).reasons(TEXTS) == ["f", None]


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("return [True]", r"of_mine:f: returns 1 answers for 2 documents; return one for each"),
        ("return [1, 2]", r"of_mine:f: returns int for a document; return True or None to keep it"),
        ("return [t.nothing for t in items]", r"of_mine:f: AttributeError: .*of_mine.py, line 3\)"),
    ],
)
def test_a_rule_that_fails_is_one_line(own: Any, body: str, line: str) -> None:
    with pytest.raises(XlmrError, match=line):
        OwnRule(own(body)).reasons(TEXTS)


def test_reasons_are_few(own: Any) -> None:
    rule = OwnRule(own("return [t.joined for t in items]"))
    rule.reasons([DocumentText([str(n)]) for n in range(MOST_REASONS)])
    with pytest.raises(XlmrError, match=r"gives more than 1,000 different reasons; leave numbers"):
        rule.reasons([DocumentText(["one more"])])


def rows() -> list[MinedRow]:
    page = Document("https://e.org", "2019", "sha1:", 9, "e.org", "t", "a.gz", ["aa", "bbb", "c"])
    return [MinedRow(page, ["aa", "bbb"], [0, 1], "de"), MinedRow(page, ["c"], [2], "en")]


def step(import_string: str) -> OwnStep:
    from corpus.mine.own_step import load_own_step

    return load_own_step(import_string, DroppedWriter(None))


def test_a_step_counts_lines_and_documents_that_it_leaves_out(own: Any) -> None:
    one = step(own("items[0].keep_lines([False, True]); items[0].lines = ['rewritten']; return items[:1]"))
    assert [row.lines for row in one(rows())] == [["rewritten"]]
    assert one.counts.dropped == {"f": {"documents": 1, "lines": 2, "characters": 3}}
    assert one.counts.dropped_by_language["de"] == {"f": {"documents": 0, "lines": 1, "characters": 2}}


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("return [*items, items[0]]", "returns what is no row that it was given, or a row twice"),
        ("return ['x']", "returns what is no row that it was given, or a row twice"),
        ("items[0].lines = ['x']; return items", r"changes the number of lines of a row; leave out lines by"),
        ("items[0].lines = ['x', 'y\\nz']; return items", "writes a newline into a line"),
        ("items[0].lines = None; return items", "TypeError"),
        ("return 7", "TypeError: 'int' object is not iterable"),
    ],
)
def test_a_step_that_does_not_fit_is_one_line(own: Any, body: str, line: str) -> None:
    with pytest.raises(XlmrError, match=f"^of_mine:f: {line}"):
        step(own(body))(rows())


def test_of_a_class_one_instance_is_made(own: Any, tmp_path: Path) -> None:
    own("return items")
    with (tmp_path / "of_mine.py").open("a") as module:
        module.write("class Every:\n    seen = 0\n    def __call__(self, rows):\n        self.seen += 1\n")
        module.write("        return rows[: self.seen]\n")
    one = step("of_mine:Every")
    assert [len(one(rows())), len(one(rows()))] == [1, 2]


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        (["identify", "deduplicate", "write"], "keep this order"),
        (["deduplicate", "identify", "identify", "write"], "keep this order, and each stands once"),
        (["deduplicate", "write"], "lacks identify"),
        (["deduplicate", "identify", "write", "my.steps:late"], "deduplicate is the first, write the last"),
        (["deduplicate", "identify", "scor", "write"], "step of mining should be one of deduplicate, "),
        ([], "lacks deduplicate, identify, write"),
    ],
)
def test_the_order_of_steps_is_checked(steps: list[str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Mine(steps=tuple(steps))


def test_every_step_is_a_setting_and_has_a_maker() -> None:
    assert Mine().steps == tuple(STEPS.names)
    assert all(callable(STEPS.load(name)) for name in STEPS.names)


def identify(import_string: str, texts: Sequence[str]) -> tuple[list[str], list[float]]:
    codes, probabilities = OwnIdentifier(import_string).identify(texts)
    return codes, probabilities.tolist()


def test_an_identifier_returns_codes_and_probabilities(own: Any) -> None:
    codes, probabilities = identify(own("return [(t, np.float32(0.567)) for t in items]"), ["de", ""])
    assert codes == ["de", ""]
    assert np.allclose(probabilities, 0.57)
    assert identify(own("return items"), []) == ([], [])


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("return [('de', 1.5)]", "returns a probability that is not from 0 to 1"),
        ("return [('de', float('nan'))]", "returns a probability that is not from 0 to 1"),
        ("return [('../x', 1)]", r"the code '../x' cannot be a language's name"),
        ("return []", r"returns 0 answers for 1 texts; return \(code, probability\) for each"),
        ("return ['de']", "ValueError|returns"),
        ("return [5]", "TypeError"),
    ],
)
def test_an_identifier_that_does_not_fit_is_one_line(own: Any, body: str, line: str) -> None:
    with pytest.raises(XlmrError, match=f"^of_mine:f: ({line})"):
        identify(own(body), ["text"])
