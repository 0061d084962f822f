"""An encoder from a folder that the settings name: nothing is pretrained for it, and its content counts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from finetune.stages import PACKAGE, FinetuneConfig
from pipeline.dag import Dag
from pipeline.errors import XlmrError
from pipeline.plan import make_plan
from pipeline.runner import Selection
from tests.finetune.toy_task import example_rows, write_jsonl

CONFIGS = Path(__file__).parents[2] / "configs" / "finetune"


def settings(folder: Path, encoder: str) -> list[str]:
    for split in ("train", "dev", "test"):
        write_jsonl(folder / f"{split}.en.jsonl.gz", example_rows(9))
    return [
        "--run.directory", str(folder / "runs"),
        "--finetune.encoder.folder", encoder,
        "--finetune.task.folder", str(folder),
        "--finetune.task.name", "own",
        *(word for split in ("train", "dev", "test") for word in _own(split, folder)),
        "--finetune.task.own.format", "jsonl",
        "--finetune.task.own.kind", "classification",
        "--finetune.task.train_languages", "[]", "--finetune.task.dev_languages", "[]",
        "--finetune.task.test_languages", "[]",
    ]  # fmt: skip


def _own(split: str, folder: Path) -> tuple[str, str]:
    return f"--finetune.task.own.{split}", str(folder / f"{split}.{{language}}.jsonl.gz")


def test_named_folder_takes_the_place_of_pretraining(export: Path, tmp_path: Path) -> None:
    dag = Dag.default()
    named = dag.load_config(CONFIGS / "conll2002.yaml", settings(tmp_path, str(export)))
    plan = make_plan(dag, named, only=["finetune.task"])
    assert list(plan) == ["finetune.task"], "no stage before it is asked for"
    assert {Path(address).name for address in plan["finetune.task"].outside} >= {
        "config.json", "model.safetensors", "sentencepiece.bpe.model",
    }  # fmt: skip
    assert Selection(until="finetune.task").stages(dag.for_config(named)) == ["finetune.task"]

    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(export, elsewhere)
    again = dag.load_config(CONFIGS / "conll2002.yaml", settings(tmp_path, str(elsewhere)))
    assert make_plan(dag, again, only=["finetune.task"])["finetune.task"].key == plan["finetune.task"].key
    (elsewhere / "config.json").write_text((elsewhere / "config.json").read_text() + "\n")
    assert make_plan(dag, again, only=["finetune.task"])["finetune.task"].key != plan["finetune.task"].key

    without = dag.load_config(CONFIGS / "conll2002.yaml", settings(tmp_path, '""'))
    assert "pretrain.export" in make_plan(dag, without, only=["finetune.task"])


def test_missing_folder_is_one_line(tmp_path: Path) -> None:
    dag = Dag.default()
    config = dag.load_config(CONFIGS / "conll2002.yaml", settings(tmp_path, str(tmp_path / "nowhere")))
    with pytest.raises(
        XlmrError, match=r"nowhere/config\.json: no such file; it is named by finetune\.encoder\.folder"
    ):
        make_plan(dag, config, only=["finetune.task"])


def test_default_is_what_was_pretrained() -> None:
    for stage in PACKAGE.stages:
        assert stage.needs is not None
        assert stage.needs(stage.config_from(FinetuneConfig())) == ("pretrain.export",)
