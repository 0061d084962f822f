# ruff: noqa: E501 - one case a line
"""The command line as a person meets it."""

from __future__ import annotations

import importlib.metadata
import io
import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline
from pipeline.cli import _command_of, _options, build_app, main
from pipeline.dag import Dag
from pipeline.formatting import counted
from pipeline.plan import make_plan
from pipeline.run_summary import next_command
from pipeline.terminal import BOLD, styled

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch",
    "pyarrow",
    "numpy",
    "prefect",
    "apache_beam",
    "deepspeed",
    "sentencepiece",
    "fasttext",
    "matplotlib",
    "starlette",
    "uvicorn",
)


def test_help_imports_nothing_heavy():
    code = f"import sys, pipeline.cli as c; c.main(['--help']); print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for command in (
        "run",
        "plan",
        "slurm",
        "status",
        "inspect",
        "report",
        "serve",
        "prune",
        "corpus",
        "tokenizer",
        "pretrain",
        "finetune",
    ):
        assert f" {command} " in done.stdout


@pytest.mark.parametrize("package", Dag.default().packages, ids=lambda package: package.name)
def test_every_tool_is_described_without_being_imported(package):
    code = f"import sys, pipeline.cli as c; c.main(['{package.name}', '--help']); print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    rows = [line.strip("│ ").split(None, 1) for line in done.stdout.splitlines() if line.startswith("│ ")]
    described = {row[0] for row in rows if len(row) == 2}
    assert {*package.tools, *(stage.name.partition(".")[2].replace("_", "-") for stage in package.stages)} <= described


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["run", "configs/nothing.yaml"], 2, "xlmr: configs/nothing.yaml: no such configuration; look in configs/"),
        (["run", "configs/demo.yaml", "--corpus.fetch.crwl", "x"], 2, "did you mean crawl?"),
        (["run", "configs/demo.yaml", "--only", "corpus.mien"], 2, "corpus.mien: no such stage"),
        (["plan", "configs/demo.yaml", "--corpus.fetch.crawl", "nowhere/*"], 1, "nowhere/*: no such file; it is named by corpus.fetch.crawl"),
        (["plan", "configs/demo.yaml", "--corpus.language_id.model", "gone.bin"], 1, "it is named by corpus.language_id.model"),
        (["plan", "configs/demo.yaml", "--run.cache", "s3://bucket/runs"], 2, "run.cache: a path on this machine is meant, no address"),
        (["status", "zip://runs::s3://bucket/a.zip"], 2, "a path on this machine is meant, no address"),
        (["inspect", "s3://bucket/runs"], 2, "a path on this machine is meant, no address"),
        (["plan", "configs/demo.yaml", "--run.project", "a\udcff"], 2, "word 4 of the command, 'a\\udcff', is not UTF-8"),
        (["rnu"], 2, 'Did you mean "run"?'),
        (["run", "configs/demo.yaml", "--untl", "corpus"], 2, "xlmr: --untl: not understood; did you mean --until?"),
        (["run", "configs/demo.yaml", "--quite"], 2, "did you mean --quiet?"),
        (["prune", "configs/demo.yaml", "--only", "corpus"], 2, "xlmr: --only: not understood; settings are given as --section.field VALUE"),
        (["run", "configs/demo.yaml", "--until", "finetune.helppages"], 2, "no such stage; did you mean finetune.help_pages?"),
        (["status", "runs/a", "runs/b"], 2, "xlmr: runs/b: not understood; where a pattern names several files, name one; see xlmr status --help"),
        (["settings", "corpus.raed"], 2, "corpus.raed: no such section or setting; did you mean corpus.read?"),
        (["inspect", "nowhere"], 1, "xlmr: nowhere: no such file; xlmr status lists the outputs"),
        (["status", "nowhere"], 1, "nowhere: nothing has run there; xlmr run configs/demo.yaml"),
    ],
)  # fmt: skip
def test_mistakes_get_one_line_and_an_exit_code(words, code, line, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(words) == code
    err = capsys.readouterr().err.strip()
    assert line in err
    assert "\n" not in err


@pytest.mark.parametrize(
    ("words", "command"),
    [("finetune predict text", "finetune predict "), ("corpus scor", "corpus "), ("bogus", ""), ("run", "run ")],
)
def test_bad_usage_is_sent_to_the_help_of_its_command(words, command, capsys):
    assert main(words.split()) == 2
    assert capsys.readouterr().err.rstrip().endswith(f"see xlmr {command}--help")


@pytest.mark.parametrize(("count", "text"), [(0, "0 warnings"), (1, "1 warning"), (2000, "2,000 warnings")])
def test_a_count_has_its_noun(count, text):
    assert counted(count, "warning") == text


def test_a_report_says_nothing_of_stages_that_the_run_does_not_reach(toy, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.jsonl").write_text('{"text": "words"}\n')
    (tmp_path / "my.yaml").write_text("{run: {until: corpus.fetch}, corpus: {fetch: {crawl: page.jsonl}}}")
    assert main(["run", "my.yaml"]) == 0
    capsys.readouterr()
    assert main(["report", "my.yaml"]) == 0
    assert capsys.readouterr().err == ""
    assert "corpus.fetch" in (tmp_path / "runs/demo/report.html").read_text()


def test_a_reader_that_leaves_early_gets_no_complaint():
    code = "import sys, pipeline.cli as c; sys.exit(c.exit_code_of(lambda: [print('x' * 99) for n in range(9999)] and 0, ''))"
    first = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert first.stdout is not None
    first.stdout.readline()
    first.stdout.close()
    assert first.stderr is not None
    assert first.stderr.read() == b""
    assert first.wait() == 141


def test_a_file_where_a_folder_is_meant_gets_one_line(capsys, tmp_path):
    (tmp_path / "runs").touch()
    assert main(["run", str(ROOT / "configs/demo.yaml"), "--run.directory", str(tmp_path / "runs")]) == 1
    line = f"{tmp_path / 'runs/demo'}: a file stands where a folder is meant; move it, or name another folder"
    assert capsys.readouterr().err == f"xlmr: {line}\n"


def test_an_interrupted_command_says_what_goes_on(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.status.describe_runs", interrupted)
    assert main(["status"]) == 1
    assert capsys.readouterr().err == "xlmr: stopped; the same command resumes from here\n"


def commands_of(dag: Dag) -> list[list[str]]:
    """The words of every command."""
    app = build_app(dag)
    found = [[], *([name] for name in app if name[0] != "-")]
    return found + [[p.name, name] for p in dag.packages for name in app[p.name] if name[0] != "-"]


@pytest.mark.parametrize("words", commands_of(Dag.default()), ids=" ".join)
def test_every_help_page_has_examples_of_its_command(words):
    """Examples name commands that exist, with options that they have."""
    app = build_app(Dag.default())
    command, _ = _command_of(app, words)
    _, _, below = command.help_epilogue.partition("Examples:\n")
    examples = [line.strip() for line in below.partition("\n\n")[0].splitlines()]
    assert examples
    for example in examples:
        name, *rest = shlex.split(example.partition(" > ")[0].partition(" < ")[0])
        assert name == "xlmr"
        assert rest[: len(words)] == words
        named, path = _command_of(app, rest)
        assert len(path) > 1
        known = _options(app, rest)
        for word in rest[len(path) - 1 :]:
            if word.startswith("--") and "." not in word and named.name[0] != "init":
                assert word in known, example


def test_help_shows_what_stands_in_angle_brackets(capsys):
    assert main(["report", "--help"]) == 0
    assert "runs/<project>/report.html" in capsys.readouterr().out


def test_the_version_says_the_commit_and_the_packages(capsys):
    assert main(["--version"]) == 0
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith(f"xlmr {pipeline.__version__}")
    named = dict(line.split() for line in others)
    assert named["numpy"] == importlib.metadata.version("numpy")
    assert named["python"] == platform.python_version()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(shell, capsys):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("near-duplicates", "fill-mask", "until"):
        assert word in script


def test_bash_completes_the_names_of_commands(tmp_path, capsys):
    main(["completion", "bash"])
    script = tmp_path / "xlmr.bash"
    script.write_text(capsys.readouterr().out)
    ask = f"source {script}; COMP_WORDS=(xlmr corpus mi); COMP_CWORD=2; _xlmr; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mine", "minify"]


def test_a_run_ends_with_what_was_done_and_a_command_that_is_sensible_next(toy):
    toy.run()
    assert re.fullmatch(r"done: 3 of 3 stages ran in [\d.]+ m?s", toy.said[-1])
    toy.run(force=("toy.sum",))
    assert re.fullmatch(r"done: 2 of 3 stages ran in [\d.]+ m?s, 1 was fresh", toy.said[-1])


def test_the_next_command_is_that_of_the_package_or_the_report(tmp_path):
    dag = Dag.default()
    config = dag.load_config(ROOT / "configs" / "demo.yaml", ["--run.directory", str(tmp_path)])
    plan = make_plan(dag, config)
    output = plan["corpus.regroup"].output
    assert next_command(plan, ["corpus.mine", "corpus.regroup"], Path("a b.yaml")) == f"xlmr inspect {output}"
    assert (
        next_command(plan, ["corpus.mine"], Path("a b.yaml"), ["--run.workers", "4"])
        == "xlmr report 'a b.yaml' --run.workers 4"
    )
    chosen = ["pretrain.export", "pretrain.ablation"]
    assert next_command(plan, chosen, Path("a.yaml")).startswith("xlmr pretrain fill-mask ")
    assert next_command(plan, list(plan), Path("a.yaml")) == f"open {plan['report'].output}/report.html in a browser"


def test_quiet_leaves_the_result_and_errors(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("XLMR_QUIET", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.warc.wet").write_text("")
    (tmp_path / "my.yaml").write_text("corpus: {fetch: {crawl: page.warc.wet}}")
    words = ["run", "my.yaml", "--until", "corpus.fetch"]
    try:
        assert main(["--quiet", *words]) == 0
        said = capsys.readouterr()
        assert said.err == ""
        assert said.out.startswith("runs/demo/corpus.fetch/")
        assert main([*words, "--only", "nothing", "--quiet"]) == 2
        assert capsys.readouterr().err.startswith("xlmr: ")
    finally:
        os.environ.pop("XLMR_QUIET", None)


def test_colours_are_for_terminals(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert styled("done", BOLD, Terminal()) == "\x1b[1mdone\x1b[0m"
    assert styled("done", BOLD, io.StringIO()) == "done"
    monkeypatch.setenv("NO_COLOR", "1")
    assert styled("done", BOLD, Terminal()) == "done"
