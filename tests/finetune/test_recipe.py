"""What the recipe does to a model: the vector that the head reads, what is held back, and what a run begins with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from finetune.data.examples import Classification, TaskData
from finetune.folder import load_fine_tuned, why_new_head
from finetune.heads.classification import mean_vector
from finetune.heads.kinds import ClassificationKind
from finetune.stages import Encoders, Protocol, Recipe
from finetune.training.baselines import starting_encoder
from finetune.training.comparison import Comparison
from finetune.training.engines import parameter_groups, rate_of
from pipeline.context import Context
from pretrain.ablation import MODEL as ABLATED
from pretrain.comparable.start import DEVIATION, VECTORS
from pretrain.folder import load_encoder, save_model
from pretrain.model import MaskedLanguageModel
from tests.finetune.toy_task import WORDS, example_rows

Made = Callable[..., Context]
TABLE = "encoder.embeddings.tokens.weight"


def toy_task(labels: list[str] | None = None) -> TaskData:
    """What a text is about; ``labels`` replace those of the test texts."""
    rows = [(str(row["id"]), str(row["text"]), str(row["label"])) for row in example_rows(60)]
    texts = [Classification(name, text, None, label) for name, text, label in rows]
    test = [Classification(t.id, t.text, None, labels[n] if labels else t.label) for n, t in enumerate(texts[-9:])]
    return TaskData("toy", "classification", tuple(sorted(WORDS)), {"en": texts[:-9]}, {"en": texts[-9:]}, {"en": test})


def recipe(**settings: Any) -> Recipe:
    usual: dict[str, Any] = {"longest": 16, "batch": 4, "epochs": 3, "learning_rates": (4e-3,), "dtype": "fp32"}
    return Recipe(**{**usual, **settings})


def results_of(
    output: Path, encoders: Encoders, how: Recipe, context_of: Made, protocol: Protocol, data: TaskData | None = None
) -> dict[str, Any]:
    Comparison(data or toy_task(), how, protocol, encoders).run(output, context_of(output))
    found: dict[str, Any] = json.loads((output / "results.json").read_text())
    return found


ONE = Protocol(seeds=(1,), initialisations=("pretrained",), baselines=False)


def test_mean_is_of_the_text_alone() -> None:
    hidden = torch.tensor([[[9.0], [1.0], [3.0], [9.0], [9.0]], [[5.0], [9.0], [9.0], [9.0], [9.0]]])
    ids = torch.tensor([[0, 7, 8, 2, 1], [0, 2, 1, 1, 1]])
    assert mean_vector(hidden, ids).tolist() == [[2.0], [5.0]]  # a text without tokens is <s>


def test_a_model_that_reads_the_mean_comes_back_and_fits_no_other_class(
    export: Path, tmp_path: Path, context_of: Made
) -> None:
    transformers = pytest.importorskip("transformers")
    results_of(tmp_path / "out", Encoders(export), recipe(pooling="mean"), context_of, ONE)
    folder = tmp_path / "out" / "model"
    tuned = load_fine_tuned(folder)
    assert tuned.kind.recipe.pooling == "mean"
    ids = torch.tensor([[0, 7, 8, 9, 2]])
    scores = tuned.model(ids)
    hidden = tuned.model.encoder(ids)  # type: ignore[operator]
    torch.testing.assert_close(scores, tuned.model.head(hidden[:, 1:4].mean(1)))  # type: ignore[operator]
    _, said = transformers.AutoModelForSequenceClassification.from_pretrained(str(folder), output_loading_info=True)
    assert "classifier.out_proj.weight" in said["missing_keys"]
    assert "pooling" in why_new_head(folder, ClassificationKind(tuple(sorted(WORDS)), recipe()))
    assert not why_new_head(folder, ClassificationKind(tuple(sorted(WORDS)), recipe(pooling="mean")))


def test_a_frozen_table_is_the_encoders(export: Path, tmp_path: Path, context_of: Made) -> None:
    moved = []
    for rate in (1.0, 0.1, 0.0):
        output = tmp_path / f"{rate}"
        results_of(output, Encoders(export), recipe(embedding_rate=rate, epochs=1), context_of, ONE)
        own = load_fine_tuned(output / "model").model.encoder.embeddings.tokens.weight  # type: ignore[union-attr]
        moved.append((own - load_encoder(export).embeddings.tokens.weight).norm().item())  # type: ignore[operator]
    assert moved[0] > 2 * moved[1] > 0
    assert moved[2] == 0


def test_layers_have_rates_of_their_own(export: Path) -> None:
    how = recipe(layerwise_lr_decay=0.5, embedding_rate=0.25)
    names = {TABLE: 0.25, "encoder.embeddings.positions.weight": 0.125, "encoder.layers.0.attention.out.bias": 0.25}
    names |= {"encoder.layers.1.feed_forward.up.weight": 0.5, "head.dense.weight": 1.0, "encoder.norm.weight": 1.0}
    assert {name: rate_of(name, 2, how) for name in names} == names
    model = ClassificationKind(("a", "b"), how).model(load_encoder(export), 0.1)
    groups = parameter_groups(model, how)
    held = [parameter for group in groups for parameter in group["params"]]
    assert len({id(parameter) for parameter in held}) == len(held) == len(list(model.parameters()))
    assert {group["rate"] for group in groups} == {0.125, 0.25, 0.5, 1.0}
    usual = parameter_groups(model, recipe())
    assert [sorted(group) for group in usual] == [["params", "weight_decay"]] * 2


def test_runs_begin_with_what_their_stage_made(export: Path, tmp_path: Path) -> None:
    other = MaskedLanguageModel(load_encoder(export).config)
    save_model(other, tmp_path / "ablation" / ABLATED)
    (tmp_path / "pages").mkdir()
    vectors = torch.randn(3, 32)
    save_file({"tokens": torch.tensor([5, 7, 9]), "vectors": vectors}, tmp_path / "pages" / VECTORS)
    encoders = Encoders(export, {"ablation": tmp_path / "ablation", "comparable_pages": tmp_path / "pages"})
    ablation = starting_encoder(encoders, "ablation", 1).state_dict()
    assert all(torch.equal(ablation[name], value) for name, value in other.encoder.state_dict().items())
    random, pages = (starting_encoder(encoders, name, 3).state_dict() for name in ("random", "comparable_pages"))
    table = TABLE.removeprefix("encoder.")
    torch.testing.assert_close(pages[table][[5, 7, 9]], DEVIATION * vectors)
    differ = [name for name in random if not torch.equal(random[name], pages[name])]
    assert differ == [table]
    assert (random[table] != pages[table]).any(1).sum() == 3


@pytest.mark.slow
def test_no_choice_reads_the_test_texts(export: Path, tmp_path: Path, context_of: Made) -> None:
    """Other labels of the test texts change their scores, and nothing else: no epoch, rate, model or weight."""
    protocol = Protocol(seeds=(1, 2), baselines=False)
    how = recipe(learning_rates=(4e-3, 1e-4), epochs=2)
    usual = results_of(tmp_path / "usual", Encoders(export), how, context_of, protocol)
    wrong = toy_task(["table"] * 9)
    other = results_of(tmp_path / "other", Encoders(export), how, context_of, protocol, wrong)
    assert [run.pop("test") for run in usual["runs"]] != [run.pop("test") for run in other["runs"]]
    for name in ("runs", "learning_rates", "model"):
        assert usual[name] == other[name]
    one, two = (load_file(tmp_path / which / "model" / "model.safetensors") for which in ("usual", "other"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_run_that_learnt_nothing_is_warned_of(export: Path, tmp_path: Path, context_of: Made) -> None:
    for rate, said in ((1e-9, ["pretrained-1e-09-seed1 is no better on dev"]), (4e-3, [])):
        context = context_of(tmp_path / f"{rate}")
        how = recipe(learning_rates=(rate,), epochs=3)
        Comparison(toy_task(), how, ONE, Encoders(export)).run(tmp_path / f"{rate}", context)
        assert [line.partition(" (")[0] for line in context.warnings if "dev (" in line] == said
