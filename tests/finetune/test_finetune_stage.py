"""The stage, its folder and its tool, on a task that can be learnt in a second."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from finetune import help_pages, task_stage
from finetune.data.examples import TaskData
from finetune.data.reading import read_task
from finetune.folder import load_fine_tuned
from finetune.heads.encoding import Encoded
from finetune.heads.kinds import ClassificationKind
from finetune.predict_tool import predict, predictions_of
from finetune.report import sections
from finetune.stages import PACKAGE, Encoders, HelpPagesConfig, Protocol, Recipe
from finetune.training import comparison
from finetune.training.baselines import starting_encoder
from finetune.training.engines import OneProcess
from finetune.training.epochs import Outcome
from finetune.training.evaluation import Objective, evaluate, scores_of
from finetune.training.loop import Loop, Setting
from finetune.training.run import set_dropout
from pipeline.context import Context
from pipeline.errors import UsageError, XlmrError
from pretrain.folder import load_encoder
from tokenizer.folder import load_tokenizer

ContextOf = Callable[..., Context]


def run_stage(config: HelpPagesConfig, export: Path, output: Path, context: Context) -> dict[str, Any]:
    counts = help_pages.run(config, {"pretrain.export": export}, output, context)
    assert counts["runs"] == len(config.protocol.seeds) * len(config.protocol.initialisations)
    results: dict[str, Any] = json.loads((output / "results.json").read_text())
    return results


def digests(output: Path) -> dict[str, str]:
    files = (path for path in output.rglob("*") if path.is_file() and ".shards" not in path.parts)
    return {str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_separable_task_is_learnt_and_written(
    stage_config: HelpPagesConfig, export: Path, tmp_path: Path, context_of: ContextOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: Counter[int] = Counter()
    real = ClassificationKind.encode

    def counts_examples(self: ClassificationKind, examples: Any, *given: Any) -> Encoded:
        encoded[len(examples)] += 1
        return real(self, examples, *given)

    monkeypatch.setattr(ClassificationKind, "encode", counts_examples)
    output = tmp_path / "out"
    context = context_of(output)
    results = run_stage(stage_config, export, output, context)
    assert encoded == {120: 1, 12: 1, 9: 1, 10: 1}, "each file is encoded once for all four runs"
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


def test_baselines_can_be_left_out(
    stage_config: HelpPagesConfig, export: Path, tmp_path: Path, context_of: ContextOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "score_baselines", None)
    output = tmp_path / "out"
    step = {
        "protocol": Protocol(seeds=(1,), baselines=False),
        "recipe": stage_config.recipe.model_copy(update={"epochs": 1}),
    }
    results = run_stage(stage_config.model_copy(update=step), export, output, context_of(output))
    assert (results["baselines"], "majority" in results) == ({}, False)
    (section,) = sections({"finetune.help_pages": output})
    assert "mean of 1 not trained on" in section.body
    assert "majority" not in section.body
    (section,) = sections({"finetune.task": output})
    assert "accuracy" in section.body


@pytest.mark.slow
def test_same_bytes_in_processes_and_after_an_interruption(
    stage_config: HelpPagesConfig, export: Path, tmp_path: Path, context_of: ContextOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = stage_config.recipe.model_copy(update={"epochs": 2})
    config = stage_config.model_copy(update={"recipe": recipe, "protocol": Protocol(seeds=(1,))})
    whole = tmp_path / "whole"
    run_stage(config, export, whole, context_of(whole, workers=2))

    real, done = comparison.fine_tune_shard, []

    def stops_at_the_second(shard: comparison.RunShard, workspace: Path) -> Any:
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(shard.run.name)
        return real(shard, workspace)

    cut = tmp_path / "cut"
    monkeypatch.setattr(comparison, "fine_tune_shard", stops_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        run_stage(config, export, cut, context_of(cut))
    assert not (cut / "results.json").exists()

    again: list[str] = []

    def counts_calls(shard: comparison.RunShard, workspace: Path) -> Any:
        again.append(shard.run.name)
        return real(shard, workspace)

    monkeypatch.setattr(comparison, "fine_tune_shard", counts_calls)
    run_stage(config, export, cut, context_of(cut))
    assert len(again) == 1
    assert not set(again) & set(done)
    assert digests(cut) == digests(whole)


def test_seeds_differ_and_initialisations_start_where_they_say(export: Path) -> None:
    stored = load_encoder(export).state_dict()
    pretrained = starting_encoder(Encoders(export), "pretrained", 1).state_dict()
    assert all(torch.equal(stored[name], pretrained[name]) for name in stored)
    name = "embeddings.tokens.weight"
    first, again, second = (starting_encoder(Encoders(export), "random", seed).state_dict()[name] for seed in (1, 1, 2))
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
    card = (output / "model" / "README.md").read_text()
    head = yaml.safe_load(card.split("---\n")[1])
    results = json.loads((output / "results.json").read_text())
    assert (head["pipeline_tag"], head["language"]) == ("text-classification", sorted(results["runs"][0]["test"]))
    for language, scores in results["runs"][0]["test"].items():
        seen = "yes" if language in results["trained_on"] else "no"
        assert f"| {language} | {seen} | {100 * scores['accuracy']:.1f} |" in card
    assert "| `epochs` |" in card

    classifier = load_fine_tuned(output / "model")
    theirs = XLMRobertaForSequenceClassification.from_pretrained(output / "model").eval()
    ids = torch.tensor([[0, 9, 20, 33, 2], [0, 12, 2, 1, 1]])
    attention_mask = ids.ne(1)
    with torch.no_grad():
        ours = classifier.model(ids, attention_mask)
        assert torch.allclose(ours, theirs(ids, attention_mask=attention_mask.long()).logits, atol=1e-5)
    assert theirs.config.id2label == {0: "drawing", 1: "letter", 2: "table"}
    with pytest.raises(UsageError, match="no text"):
        predictions_of([" "], output / "model")
    with pytest.raises(XlmrError, match="not a fine-tuned model"):
        predictions_of(["a"], export)


def test_dropout_of_the_encoder_can_be_set(export: Path) -> None:
    ids = torch.tensor([[0, 9, 20, 33, 2]])
    encoder = load_encoder(export)
    set_dropout(encoder, 0.0)
    assert torch.equal(encoder.train()(ids), encoder.eval()(ids))
    set_dropout(encoder, 0.5)
    assert not torch.allclose(encoder.train()(ids), encoder.eval()(ids))


def help_page_rows(config: HelpPagesConfig, export: Path) -> tuple[ClassificationKind, dict[str, Encoded], TaskData]:
    data = read_task(config.task)
    kind = ClassificationKind(data.labels, config.recipe)
    tokenizer = load_tokenizer(export)
    return kind, {f"{split}.{lang}": kind.encode(some, tokenizer) for split, lang, some in data.splits()}, data


def test_padding_changes_nothing(stage_config: HelpPagesConfig, export: Path) -> None:
    torch.manual_seed(3)
    kind, encoded, _ = help_page_rows(stage_config, export)
    model = kind.model(load_encoder(export), 0.1)
    texts = encoded["test.de"]
    batched, _ = scores_of(model, texts, stage_config.recipe)
    with torch.no_grad():
        alone = torch.cat([model(*texts.batch(np.array([row]), torch.device("cpu"))) for row in range(len(texts))])
    assert len(set(texts.lengths.tolist())) > 1
    assert np.allclose(batched, alone.numpy(), atol=1e-6)


def test_settings_that_do_not_fit_are_one_line(
    stage_config: HelpPagesConfig, export: Path, tmp_path: Path, context_of: ContextOf
) -> None:
    recipe = stage_config.recipe
    too_long = stage_config.model_copy(update={"recipe": recipe.model_copy(update={"longest": 65})})
    with pytest.raises(XlmrError, match="longest is 65, the encoder reads 64 tokens; set finetune"):
        run_stage(too_long, export, tmp_path, context_of(tmp_path))
    wild = stage_config.model_copy(update={"recipe": recipe.model_copy(update={"learning_rates": (1e30,)})})
    with pytest.raises(XlmrError, match=r"the loss is .* in epoch \d; try a lower|the loss is .* in epoch"):
        run_stage(wild, export, tmp_path, context_of(tmp_path))


def test_best_epoch_is_kept_and_patience_ends_the_run(stage_config: HelpPagesConfig, export: Path) -> None:
    kind, encoded, _ = help_page_rows(stage_config, export)
    wrong = (encoded["dev.en"].labels + 1) % 3  # learning makes it worse
    dev = {"en": replace(encoded["dev.en"], labels=wrong)}
    recipe = Recipe(longest=16, batch=8, epochs=9, patience=2, dtype="fp32")
    objective = Objective(kind.loss, lambda language, scores: float((scores.argmax(1) == wrong).mean()))
    torch.manual_seed(1)
    model = kind.model(load_encoder(export), 0.1)
    outcome = Loop(OneProcess(model, recipe), recipe, objective, Setting(5e-3, 1)).run(encoded["train.en"], dev)
    assert outcome.best == max(outcome.history, key=lambda epoch: epoch.rank)
    assert len(outcome.history) == outcome.best.epoch + 2 < 9
    best = outcome.best
    assert evaluate(model, dev, recipe, objective) == (best.dev_loss, best.dev_score, {"en": best.dev_score})


@pytest.mark.parametrize("steps", [0, 7])
def test_interrupted_run_ends_with_the_same_weights(
    export: Path, stage_config: HelpPagesConfig, tmp_path: Path, steps: int
) -> None:
    kind, encoded, _ = help_page_rows(stage_config, export)
    dev = {"en": encoded["dev.en"]}
    recipe = stage_config.recipe.model_copy(update={"epochs": 4, "batch": 16, "steps_per_epoch": steps})
    stop_after = 100

    def judge(language: str, scores: Any) -> float:
        nonlocal stop_after
        if stop_after == 0:
            raise KeyboardInterrupt
        stop_after -= 1
        return float((scores.argmax(1) == encoded["dev.en"].labels).mean())

    def run(checkpoint: Path | None) -> tuple[Outcome, dict[str, torch.Tensor]]:
        torch.manual_seed(1)
        model = kind.model(load_encoder(export), 0.1)
        setting = Setting(1e-3, 5, checkpoint=checkpoint)
        loop = Loop(OneProcess(model, recipe), recipe, Objective(kind.loss, judge), setting)
        return loop.run(encoded["train.en"], dev), model.state_dict()

    outcome, weights = run(None)
    stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "state.safetensors")
    stop_after = 2  # two epochs are left: the other two are not done again
    resumed, again = run(tmp_path / "state.safetensors")
    assert resumed == outcome
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    (tmp_path / "state.safetensors").write_bytes(b"cut short")
    stop_after = 100
    assert run(tmp_path / "state.safetensors")[0] == outcome


def test_package_is_light_and_complete() -> None:
    pages, task = PACKAGE.stages
    config = pages.config_from(PACKAGE.config())
    assert set(pages.outside(config).values()) == {"help_pages.train", "help_pages.dev", "help_pages.test"}
    assert pages.load() is help_pages.run
    assert task.load() is task_stage.run
    assert task.outside(task.config_from(PACKAGE.config())) == {}, "no task is named by default, and no file read"
