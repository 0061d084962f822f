# ruff: noqa: E501 - one case a line
"""``xlmr plan``: what a run would do, and why it cannot."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main
from pipeline.dag import Dag

ROOT = Path(__file__).parents[2]


def test_a_run_ends_where_its_settings_say(toy, capsys, tmp_path):
    words = ["configs/demo.yaml", "--run.directory", str(tmp_path), "--run.until", "corpus.hash"]
    assert main(["plan", *words]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["corpus.fetch", "corpus.hash"]
    toy.run("--run.until", "toy.write", until=None)
    assert toy.ran() == ["toy.write"]
    toy.run("--run.until", "toy.write", until="toy.sum")
    assert toy.ran() == ["toy.sum"], "the command has the last word"


PLAIN_START = ["--pretrain.train.init_bias_from_unigram", "false", "--pretrain.train.initialisation", "normal"]


@pytest.mark.parametrize(
    ("words", "stage", "line"),
    [
        (["--tokenizer.encode.sequence_length", "129"], "pretrain.train", "tokenizer.encode.sequence_length is 129, the model has positions for 128"),
        (["--finetune.recipe.longest", "129"], "finetune.help_pages", "finetune.recipe.longest is 129, the encoder reads 128 tokens"),
        ([*PLAIN_START, "--pretrain.train.init_from", "{encoder}"], "pretrain.train", "{encoder}/config.json: the model to start from has max_position_embeddings 16; the settings say 130"),
        (["--finetune.recipe.longest", "15", "--finetune.encoder.folder", "{encoder}"], "finetune.help_pages", "finetune.recipe.longest is 15, the encoder reads 14 tokens"),
    ],
)  # fmt: skip
def test_a_plan_and_a_run_see_settings_that_do_not_go_with_others(words, stage, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 16}')
    for name in ("model.safetensors", "sentencepiece.bpe.model"):
        (tmp_path / name).touch()
    words = [
        "configs/demo.yaml",
        "--run.directory",
        str(tmp_path / "runs"),
        *(word.format(encoder=tmp_path) for word in words),
    ]
    line = line.format(encoder=tmp_path)
    assert main(["plan", *words]) == 1
    said = capsys.readouterr()
    assert re.search(f"^{stage} +cannot run: {re.escape(line)}$", said.out, re.MULTILINE)
    assert said.err.startswith(f"xlmr: {line}; set ")
    record = next(one for one in _plan_as_json(capsys, words) if one["stage"] == stage)
    assert (record["state"], record["reasons"]) == ("cannot run", [line])
    assert main(["run", *words]) == 1
    assert capsys.readouterr().err == said.err
    assert main(["plan", *words, "--until", "corpus"]) == 0, "these stages do not read it"


def _plan_as_json(capsys: pytest.CaptureFixture[str], words: list[str]) -> list[dict[str, Any]]:
    assert main(["plan", *words, "--json"]) == 1
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_plan_is_of_the_stages_that_a_run_would_take(toy, capsys, monkeypatch):
    monkeypatch.setattr("pipeline.cli.Dag.default", lambda: toy.dag)

    def planned(*words: str) -> list[str]:
        assert main(["plan", str(toy.yaml), *words]) == 0
        return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

    assert planned("--until", "toy.sum") == ["toy.write missing", "toy.sum missing"]
    assert main(["plan", str(toy.yaml), "--only", "toy.sum"]) == 1
    said = capsys.readouterr()
    assert said.out.split() == ["toy.sum", "missing"]
    assert said.err.startswith(
        "xlmr: toy.sum is made from toy.write, which is missing; run it first: --only toy.write, with Prefect the flow toy;"
    )
    toy.run()
    assert planned("--only", "toy.sum") == ["toy.sum fresh"]
    assert planned("--from", "toy.power", "--force", "toy") == [
        "toy.power stale because it is forced",
        "report missing",
    ]


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


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ([], True),
        (["--corpus.fetch.crawl", "nowhere/*.wet"], False),
        (["--run.until", "pretrain.export"], False),
    ],
)
def test_who_has_named_no_crawl_hears_what_makes_it_needless(settings, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "task.yaml").write_text("{run: {until: finetune.task}, finetune: {task: {name: xnli}}}")
    line = ", or give finetune.encoder.folder: finetune.task needs no corpus.fetch then\n"
    for command in ("plan", "run", "report"):
        assert main([command, "task.yaml", *settings]) == 1
        assert capsys.readouterr().err.endswith(line) == said
