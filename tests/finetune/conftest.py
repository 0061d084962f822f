"""A tiny pretrained folder, made in a second: real tokens of real help pages, weights never trained."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sentencepiece
import torch

from finetune.data.settings import HelpPages
from finetune.stages import HelpPagesConfig, Protocol, Recipe
from pipeline.context import Context
from pipeline.log import EventLog
from pretrain.folder import save_model
from pretrain.model import MaskedLanguageModel, ModelConfig

sys.path.insert(0, str(Path(__file__).parent))

from toy_task import example_rows, write_jsonl

SAMPLES = Path(__file__).parents[2] / "samples" / "task"


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    with gzip.open(SAMPLES / "dev.en.jsonl.gz", "rt", encoding="utf-8") as handle:
        texts = [json.loads(line)["text"] for line in handle]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts[:60]),
        model_prefix=str(folder / "tokens"),
        vocab_size=300,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    torch.manual_seed(7)
    size = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokens.model")).vocab_size() + 2
    config = ModelConfig(
        size,
        num_hidden_layers=2,
        hidden_size=32,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=66,
    )
    save_model(MaskedLanguageModel(config), folder, folder / "tokens.model")
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
