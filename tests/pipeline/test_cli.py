# ruff: noqa: E501 - one case a line
"""The command line as a person meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.dag import Dag

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
)


def test_help_imports_nothing_heavy():
    code = f"import sys, pipeline.cli as c; c.main(['--help']); print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for command in (
        "run",
        "plan",
        "status",
        "inspect",
        "report",
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
        (["plan", "configs/demo.yaml", "--run.directory", "s3://bucket/runs"], 2, "run.directory: a path on this machine is meant, no address"),
        (["status", "s3://bucket/runs"], 2, "a path on this machine is meant, no address"),
        (["plan", "configs/demo.yaml", "--run.project", "a\udcff"], 2, "word 4 of the command, 'a\\udcff', is not UTF-8"),
        (["rnu"], 2, "xlmr:"),
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


def test_a_run_ends_where_its_settings_say(toy, capsys, tmp_path):
    words = ["configs/demo.yaml", "--run.directory", str(tmp_path), "--run.until", "corpus.hash"]
    assert main(["plan", *words]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["corpus.fetch", "corpus.hash"]
    toy.run("--run.until", "toy.write", until=None)
    assert toy.ran() == ["toy.write"]
    toy.run("--run.until", "toy.write", until="toy.sum")
    assert toy.ran() == ["toy.sum"], "the command has the last word"


def test_inspect_shows_counts_and_records(toy, capsys):
    toy.run()
    assert main(["inspect", str(toy.output("toy.power"))]) == 0
    out = capsys.readouterr().out
    assert "toy.power (version 1)" in out
    assert "power  36" in out
    assert main(["inspect", str(toy.output("toy.sum") / "sum.txt")]) == 0
    assert "  6" in capsys.readouterr().out


def test_status_lists_what_ran(toy, capsys):
    toy.run()
    assert main(["status", str(toy.folder / "runs")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-3].split("/")[-2] if "toy" in line else "" for line in lines]
    assert len(lines) == 3
    assert "sum 6" in "\n".join(lines)


def test_a_reader_that_leaves_early_gets_no_complaint():
    code = "import sys, pipeline.cli as c; sys.exit(c.exit_code_of(lambda: [print('x' * 99) for n in range(9999)] and 0, ''))"
    first = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert first.stdout is not None
    first.stdout.readline()
    first.stdout.close()
    assert first.stderr is not None
    assert first.stderr.read() == b""
    assert first.wait() == 141


def test_a_plan_and_a_report_leave_out_what_lacks_its_files(capsys, tmp_path, monkeypatch):
    """As where the embedded samples are not below the folder that one stands in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.warc.wet").write_text("")
    (tmp_path / "my.yaml").write_text("corpus: {fetch: {crawl: page.warc.wet}}")
    gone = "samples/clean/*.txt.xz: no such file"
    assert main(["plan", "my.yaml"]) == 1
    said = capsys.readouterr()
    lines = dict(line.split(None, 1) for line in said.out.splitlines())
    assert lines["corpus.hash"] == "missing"
    assert lines["corpus.language_models"] == lines["corpus.mine"] == lines["report"] == f"cannot run: {gone}"
    assert list(lines) == list(Dag.default().stages)
    assert said.err.startswith(f"xlmr: {gone}; it is named by corpus.language_models.text")
    assert said.err.count("\n") == 1
    assert main(["report", "my.yaml"]) == 1, "nothing has run"
    assert capsys.readouterr().err == said.err
    assert main(["run", "my.yaml", "--until", "corpus.fetch"]) == 0
    capsys.readouterr()
    assert main(["report", "my.yaml"]) == 0
    said = capsys.readouterr()
    assert (tmp_path / said.out.strip()).read_text().count("corpus.fetch")
    first, second = said.err.splitlines()
    assert first.endswith(f" pretrain.export, finetune.task: {gone}")
    assert second == "left out: finetune.help_pages: samples/task/train.{language}.jsonl.gz: no such file"


def test_inspect_prints_no_binary_files(capsys, tmp_path):
    (tmp_path / "weights.bin").write_bytes(b"\x1b[2J\0line\n")
    assert main(["inspect", str(tmp_path / "weights.bin")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'weights.bin'}: 10 bytes, binary\n"


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
