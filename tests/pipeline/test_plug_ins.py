"""What a user adds: names are checked when settings are read, sources count in keys, what fails is one line."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import ValidationError

from pipeline.config import Section, setting
from pipeline.errors import UsageError, XlmrError
from pipeline.executors import make_executor
from pipeline.plug_ins import ImportString, Registry, calling, load_plug_in, source_file, source_files
from pipeline.run_settings import RunConfig
from pipeline.settings_list import list_settings

EXAMPLES = Path(__file__).parent / "examples"
SHAPES = Registry("shape", {"round": "shapes:Round"})


class Inner(Section):
    """Where rules are named."""

    rules: tuple[ImportString, ...] = setting((), "rules")
    shape: Annotated[str, SHAPES] = setting("round", "a shape")
    watcher: ImportString | None = setting(None, "sees all, changes nothing", affects_result=False)
    on: bool = setting(True, "whether any of it is used")

    def inert(self) -> tuple[str, ...]:
        """Nothing is used where it is off."""
        return () if self.on else ("rules", "shape")


class Outer(Section):
    """A section around it."""

    inner: Inner = setting(Inner(), "inner")


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of the user's: ``my_rules``."""
    path = tmp_path / "my_rules.py"
    path.write_text("def no_dots(text):\n    return '.' not in text\n\ndef broken(text):\n    return text.nothing\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_rules", raising=False)
    return path


def test_an_import_string_is_loaded(rules: Path) -> None:
    assert load_plug_in("my_rules:no_dots")("a.b") is False


@pytest.mark.parametrize("text", ["my_rules", "my rules:x", ":x", "my_rules:", "../rules:x", "my_rules:x()", "a..b:x"])
def test_what_is_no_import_string_is_refused_with_the_settings(text: str) -> None:
    with pytest.raises(ValidationError, match=r"it should be an import string, as my.module:name"):
        Inner(rules=(text,))


def test_a_name_is_one_of_ours_or_an_import_string() -> None:
    assert Inner(shape="my_shapes:Square").shape == "my_shapes:Square"
    with pytest.raises(ValidationError, match=r"shape should be one of round, or an import string"):
        Inner(shape="squar")


@pytest.mark.parametrize(
    ("string", "line"),
    [
        ("nowhere_at_all:x", "Python finds no module nowhere_at_all; put the folder it is in on PYTHONPATH"),
        ("nowhere.below:x", "Python finds no module nowhere.below; put the folder it is in on PYTHONPATH"),
        ("sys:path", "sys has no file; name a module that is a file"),
        ("my_rules:missing", "my_rules has no missing; it is "),
    ],
)
def test_what_is_not_there_is_one_line(rules: Path, string: str, line: str) -> None:
    with pytest.raises(UsageError, match=f"^{string}: {line}"):
        load_plug_in(string)


def test_a_module_that_fails_is_one_line(rules: Path) -> None:
    rules.write_text("x = 1\ny = x / 0\n")
    with pytest.raises(XlmrError, match=r"my_rules:x: ZeroDivisionError: .* \(.*my_rules.py, line 2\)"):
        load_plug_in("my_rules:x")


def test_a_call_that_fails_names_the_line_of_the_users_file(rules: Path) -> None:
    broken = load_plug_in("my_rules:broken")
    with pytest.raises(XlmrError, match=r"AttributeError: .* \(.*my_rules.py, line 5\)"), calling("my_rules:broken"):
        broken("text")


def test_sources_of_live_settings_that_change_the_result_count(rules: Path) -> None:
    named = Outer(inner=Inner(rules=("my_rules:no_dots",), watcher="my_rules:broken"))
    assert source_files(named) == {rules: "inner.rules"} == {source_file("my_rules:no_dots"): "inner.rules"}
    assert source_files(Outer(inner=Inner(shape="my_rules:broken"))) == {rules: "inner.shape"}
    assert source_files(Outer(inner=Inner(rules=("my_rules:no_dots",), on=False))) == {}
    assert source_files(Outer()) == {}


def test_the_list_of_settings_says_what_can_be_chosen() -> None:
    types = {s.name: s.type for group in list_settings(Outer) for s in group.settings}
    assert types["inner.shape"] == "one of round or module:name"
    assert types["inner.rules"] == "list of module:name"


def test_entry_points_of_installed_distributions_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "shapes_of_others-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: shapes-of-others\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[xlmr.test_shapes]\nflat = my_rules:no_dots\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    offered = Registry("shape", {"round": "shapes:Round"}, "xlmr.test_shapes")
    assert offered.known() == ["round", "flat"]
    assert offered.check("flat") == "flat"
    assert offered.import_string("flat") == "my_rules:no_dots"


def _xlmr(folder: Path, *words: str, packages: str = "greetings") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]), "XLMR_PACKAGES": packages}
    command = [sys.executable, "-m", "pipeline", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_package_of_ones_own_has_stages_settings_and_commands(tmp_path: Path) -> None:
    package = tmp_path / "greetings"
    package.mkdir()
    for path in (EXAMPLES / "greetings").glob("*.py"):
        (package / path.name).write_text(path.read_text())
    (tmp_path / "run.yaml").write_text("run: {project: mine}\ngreetings: {greet: {name: you}}\n")
    done = _xlmr(tmp_path, "run", "run.yaml", "--only", "greetings.greet")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / done.stdout.strip() / "greeting.txt").read_text() == "hello you\n"
    assert "greetings" in _xlmr(tmp_path, "--help").stdout
    assert "greetings.greet.name" in _xlmr(tmp_path, "settings", "greetings").stdout
    plan = _xlmr(tmp_path, "plan", "run.yaml", "--run.until", "greetings")
    assert plan.stdout.split() == ["greetings.greet", "fresh"]
    (package / "greet.py").write_text((package / "greet.py").read_text().replace("hello", "good morning"))
    plan = _xlmr(tmp_path, "plan", "run.yaml", "--run.until", "greetings")
    assert plan.stdout.strip().endswith("greet.py was changed")


@pytest.mark.parametrize(
    ("packages", "line"),
    [
        (
            "nowhere_at_all",
            "nowhere_at_all.stages:PACKAGE: Python finds no module nowhere_at_all.stages; put the folder",
        ),
        ("../evil", "XLMR_PACKAGES: ../evil is no name of a package; write mine, or mine.stages:PACKAGE"),
        ("corpus.stages:PACKAGE", "corpus: two packages have this name; give one of them another"),
        ("pipeline.dag:PACKAGES", "pipeline.dag:PACKAGES: is no Package"),
    ],
)
def test_a_package_that_is_not_there_is_one_line(tmp_path: Path, packages: str, line: str) -> None:
    done = _xlmr(tmp_path, "--help", packages=packages)
    assert done.returncode == 2
    assert done.stderr.startswith(f"xlmr: {line}")


SHARDED = """
from pipeline.shards import ShardReport


def double(number, workspace):
    (workspace / f"{number}.txt").write_text(str(2 * number))
    return ShardReport({"numbers": 1})


def run(config, inputs, output, context):
    return {"shards": len(context.map_shards(double, {str(n): n for n in range(3)}))}
"""


def test_an_executor_of_ones_own_does_the_shards_and_is_in_no_key(tmp_path: Path) -> None:
    package = tmp_path / "greetings"
    package.mkdir()
    for path in (EXAMPLES / "greetings").glob("*.py"):
        (package / path.name).write_text(path.read_text())
    (package / "greet.py").write_text(SHARDED)
    (tmp_path / "my_executor.py").write_text((EXAMPLES / "my_executor.py").read_text())
    (tmp_path / "run.yaml").write_text("run: {project: mine, executor: 'my_executor:OneByOne'}\n")
    done = _xlmr(tmp_path, "run", "run.yaml", "--only", "greetings.greet")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("shard")] == ["shard 0", "shard 1", "shard 2"]
    assert (tmp_path / done.stdout.split()[-1] / "2.txt").read_text() == "4"
    plan = _xlmr(tmp_path, "plan", "run.yaml", "--run.until", "greetings", "--run.executor", "local")
    assert plan.stdout.split() == ["greetings.greet", "fresh"]
    listed = " ".join(_xlmr(tmp_path, "settings", "run").stdout.split())
    assert "local, dask, beam, slurm or module:name" in listed


def test_what_is_no_executor_is_one_line(rules: Path) -> None:
    rules.write_text("def nothing(workers):\n    return workers\n\ndef broken(workers):\n    return workers.x\n")
    with pytest.raises(XlmrError, match=r"run.executor: my_rules:nothing makes no executor; give it the methods run"):
        make_executor(RunConfig(executor="my_rules:nothing"))
    with pytest.raises(XlmrError, match=r"my_rules:broken: AttributeError: .*my_rules.py, line 5"):
        make_executor(RunConfig(executor="my_rules:broken"))
