"""A tiny encoder, a small task, and a context for stages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from finetune.data.settings import HelpPages
from finetune.stages import HelpPagesConfig, Protocol, Recipe
from pipeline.context import Context
from pipeline.log import EventLog
from tests.finetune.tiny_encoder import write_encoder
from tests.finetune.toy_task import example_rows, write_jsonl


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    write_encoder(folder)
    return folder


@pytest.fixture
def task_files(tmp_path: Path) -> HelpPages:
    folder = tmp_path / "task"
    folder.mkdir()
    write_jsonl(folder / "train.en.jsonl.gz", example_rows(120))
    write_jsonl(folder / "dev.en.jsonl.gz", example_rows(12))
    write_jsonl(folder / "test.en.jsonl.gz", example_rows(9))
    write_jsonl(folder / "test.de.jsonl.gz", example_rows(10, 3)[::-1])
    return HelpPages(
        train=str(folder / "train.{language}.jsonl.gz"),
        dev=str(folder / "dev.{language}.jsonl.gz"),
        test=str(folder / "test.{language}.jsonl.gz"),
    )


@pytest.fixture
def stage_config(task_files: HelpPages) -> HelpPagesConfig:
    recipe = Recipe(longest=16, batch=4, epochs=6, learning_rates=(4e-3,), dtype="fp32")
    return HelpPagesConfig(help_pages=task_files, recipe=recipe, protocol=Protocol(seeds=(1, 2)))


@pytest.fixture
def context_of(tmp_path: Path) -> Callable[..., Context]:
    def make(output: Path, workers: int = 1) -> Context:
        output.mkdir(parents=True, exist_ok=True)
        return Context("finetune.help_pages", output, workers, EventLog(tmp_path / "log.jsonl"))

    return make
