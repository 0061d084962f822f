"""The stage, its folder and its tool, on a task that can be learnt in a second."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune import help_pages
from finetune.baselines import starting_encoder
from finetune.folder import load_classifier
from finetune.loop import scores_of
from finetune.predict import labels_of, predict
from finetune.report import sections
from finetune.stages import ROOM, HelpPagesConfig, Protocol, Recipe
from pipeline.context import Context
from pipeline.errors import UsageError, XlmrError
from pretrain.folder import load_encoder

ContextOf = Callable[..., Context]


def run_stage(config: HelpPagesConfig, export: Path, output: Path, context: Context) -> dict[str, Any]:
    counts = help_pages.run(config, {"pretrain.export": export}, output, context)
    assert counts["runs"] == 4
    results: dict[str, Any] = json.loads((output / "results.json").read_text())
    return results


def digests(output: Path) -> dict[str, str]:
    files = (path for path in output.rglob("*") if path.is_file() and ".shards" not in path.parts)
    return {str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_separable_task_is_learnt_and_written(
    stage_config: HelpPagesConfig, export: Path, tmp_path: Path, context_of: ContextOf
) -> None:
    output = tmp_path / "out"
    context = context_of(output)
    results = run_stage(stage_config, export, output, context)
    assert [run["test"]["de"]["accuracy"] for run in results["runs"]] == [1.0] * 4
    assert results["majority"]["test"]["en"]["accuracy"] == pytest.approx(1 / 3)
    assert results["labels"] == ["drawing", "letter", "table"]
    assert any("stand in a training file" in line for line in context.warnings)

    with gzip.open(output / "predictions.jsonl.gz", "rt", encoding="utf-8") as handle:
        lines = [json.loads(line) for line in handle]
    assert len(lines) == 4 * (9 + 10)
    gold = [line for line in lines if line["language"] == "de" and line["run"] == results["model"]]
    assert [line["id"] for line in gold] == [f"t{n}" for n in range(12, 2, -1)]
    assert all(line["gold"] == line["predicted"] for line in gold)

    assert {path.name for path in (output / "model").iterdir()} >= {"config.json", "model.safetensors"}
    assert list(output.rglob("model.safetensors")) == [output / "model" / "model.safetensors"]
    (section,) = sections({"finetune.help_pages": output})
    assert "mean of 1 not trained on" in section.body
    assert "2 languages, 1 of them not trained on" in section.lead


def test_same_bytes_in_processes_and_after_an_interruption(
    stage_config: HelpPagesConfig, export: Path, tmp_path: Path, context_of: ContextOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    run_stage(stage_config, export, whole, context_of(whole, workers=2))

    real, done = help_pages.fine_tune_shard, []

    def stops_at_the_third(shard: help_pages.RunShard, workspace: Path) -> Any:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(shard.run.name)
        return real(shard, workspace)

    cut = tmp_path / "cut"
    monkeypatch.setattr(help_pages, "fine_tune_shard", stops_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run_stage(stage_config, export, cut, context_of(cut))
    assert not (cut / "results.json").exists()

    again: list[str] = []

    def counts_calls(shard: help_pages.RunShard, workspace: Path) -> Any:
        again.append(shard.run.name)
        return real(shard, workspace)

    monkeypatch.setattr(help_pages, "fine_tune_shard", counts_calls)
    run_stage(stage_config, export, cut, context_of(cut))
    assert len(again) == 2
    assert not set(again) & set(done)
    assert digests(cut) == digests(whole)


def test_seeds_differ_and_initialisations_start_where_they_say(export: Path) -> None:
    stored = load_encoder(export).state_dict()
    pretrained = starting_encoder(export, "pretrained", 1).state_dict()
    assert all(torch.equal(stored[name], pretrained[name]) for name in stored)
    name = "embeddings.pieces.weight"
    first, again, second = (starting_encoder(export, "random", seed).state_dict()[name] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, stored[name])
    assert first.shape == stored[name].shape


def test_predict_tool_and_hugging_face_agree_with_the_folder(
    stage_config: HelpPagesConfig,
    export: Path,
    tmp_path: Path,
    context_of: ContextOf,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from transformers import XLMRobertaForSequenceClassification

    output = tmp_path / "out"
    config = stage_config.model_copy(update={"protocol": Protocol(seeds=(1,), initialisations=("pretrained",))})
    help_pages.run(config, {"pretrain.export": export}, output, context_of(output))
    predict("row cell column cell", "page paragraph", model=output / "model")
    said = capsys.readouterr().out.split()
    assert said[1::2] == ["table", "letter"]
    assert all(float(p) > 0.5 for p in said[::2])

    classifier = load_classifier(output / "model")
    theirs = XLMRobertaForSequenceClassification.from_pretrained(output / "model").eval()
    ids = torch.tensor([[0, 9, 20, 33, 2], [0, 12, 2, 1, 1]])
    keep = ids.ne(1)
    with torch.no_grad():
        ours = classifier.model(ids, keep)
        assert torch.allclose(ours, theirs(ids, attention_mask=keep.long()).logits, atol=1e-5)
    assert theirs.config.id2label == {0: "drawing", 1: "letter", 2: "table"}
    with pytest.raises(UsageError, match="no text"):
        labels_of([" "], output / "model")
    with pytest.raises(XlmrError, match="not a classifier"):
        labels_of(["a"], export)


def test_padding_changes_nothing(stage_config: HelpPagesConfig, export: Path) -> None:
    from finetune.classification import SequenceClassifier
    from finetune.encoding import encode_task
    from finetune.tasks import read_task
    from tokenizer.pieces import Tokenizer

    torch.manual_seed(3)
    model = SequenceClassifier(load_encoder(export), 3, 0.1)
    encoded, _ = encode_task(read_task(stage_config.help_pages), Tokenizer.load(export), 30, 1)
    texts = encoded["test.de"]
    together = scores_of(model, texts, stage_config.recipe)
    with torch.no_grad():
        alone = torch.cat([model(*texts.batch(np.array([row]), torch.device("cpu"))) for row in range(len(texts))])
    assert len(set(texts.lengths.tolist())) > 1
    assert torch.allclose(together, alone, atol=1e-6)


def test_settings_that_do_not_fit_are_one_line(
    stage_config: HelpPagesConfig, export: Path, tmp_path: Path, context_of: ContextOf
) -> None:
    recipe = stage_config.recipe
    too_long = stage_config.model_copy(update={"recipe": recipe.model_copy(update={"longest": 65})})
    with pytest.raises(XlmrError, match="65 pieces are asked for, the model reads 64; set finetune"):
        run_stage(too_long, export, tmp_path, context_of(tmp_path))
    wild = stage_config.model_copy(update={"recipe": recipe.model_copy(update={"learning_rates": (1e30,)})})
    with pytest.raises(XlmrError, match=r"the loss is .* in epoch \d; try a lower|the loss is .* in epoch"):
        run_stage(wild, export, tmp_path, context_of(tmp_path))


def test_best_epoch_is_kept_and_patience_ends_the_run(stage_config: HelpPagesConfig, export: Path) -> None:
    from finetune.classification import SequenceClassifier
    from finetune.encoding import encode_task
    from finetune.loop import _evaluate, fine_tune
    from finetune.tasks import read_task
    from tokenizer.pieces import Tokenizer

    encoded, _ = encode_task(read_task(stage_config.help_pages), Tokenizer.load(export), 16, 1)
    dev = {"en": replace(encoded["dev.en"], classes=(encoded["dev.en"].classes + 1) % 3)}  # learning makes it worse
    recipe = Recipe(longest=16, batch=8, epochs=9, patience=2, dtype="fp32")
    torch.manual_seed(1)
    model = SequenceClassifier(load_encoder(export), 3, 0.1)
    outcome = fine_tune(model, encoded["train.en"], dev, recipe, 5e-3, 1)
    assert outcome.best == max(outcome.history, key=lambda epoch: epoch.rank)
    assert len(outcome.history) == outcome.best.epoch + 2 < 9
    assert _evaluate(model, dev, recipe) == (outcome.best.dev_loss, outcome.best.dev_accuracy)


def test_room_is_light_and_complete() -> None:
    (stage,) = ROOM.stages
    config = stage.config_from(ROOM.config())
    assert set(stage.outside(config).values()) == {"help_pages.train", "help_pages.dev", "help_pages.test"}
    assert stage.load() is help_pages.run
