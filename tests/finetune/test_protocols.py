"""The papers' protocols as data: what they train, choose and keep; their configurations say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from finetune.data import squad, xnli
from finetune.data.conll import CODES
from finetune.data.settings import GLUE, TaskSettings
from finetune.papers import (
    MLQA_LANGUAGES,
    NER_LANGUAGES,
    PROTOCOLS,
    TRANSFER,
    TRANSLATE_TEST,
    TRANSLATE_TRAIN,
    TRANSLATE_TRAIN_ALL,
    XNLI_LANGUAGES,
    XQUAD_LANGUAGES,
    ZERO_SHOT,
    Choice,
    Fit,
    PaperPlan,
    fits_of,
    models_of,
    sections_of,
)
from finetune.protocol import difference
from finetune.stages import FinetuneConfig, Recipe

CONFIGS = Path(__file__).parents[2] / "configs" / "finetune"
LANGUAGES = ("en", "fr", "sw")


def test_transfer_trains_on_english_and_keeps_one_model() -> None:
    assert fits_of(TRANSFER, LANGUAGES) == [Fit(("en",), (Choice(LANGUAGES, LANGUAGES),))]
    assert fits_of(ZERO_SHOT, LANGUAGES) == [Fit(("en",), (Choice(("en",), LANGUAGES),))]
    assert fits_of(ZERO_SHOT, ("fr", "sw")) == [Fit(("en",), (Choice(("en",), ("fr", "sw")),))]


def test_choice_by_language_keeps_a_model_each_of_one_training() -> None:
    (fit,) = fits_of(PaperPlan("source", "language"), LANGUAGES)
    assert fit.train == ("en",)
    assert fit.choices == (Choice(("en",), ("en",)), Choice(("fr",), ("fr",)), Choice(("sw",), ("sw",)))


def test_translate_train_is_a_training_each_and_translate_train_all_one() -> None:
    assert fits_of(TRANSLATE_TRAIN, LANGUAGES) == [Fit((lg,), (Choice((lg,), (lg,)),)) for lg in LANGUAGES]
    assert fits_of(TRANSLATE_TRAIN_ALL, LANGUAGES) == [Fit(LANGUAGES, (Choice(LANGUAGES, LANGUAGES),))]
    assert fits_of(PaperPlan("each", "joint"), ("fr",)) == [Fit(("fr",), (Choice(("fr",), ("fr",)),))]


@pytest.mark.parametrize(
    ("name", "models"),
    [
        ("xnli-transfer", 1),
        ("xnli-transfer-by-language", 15),
        ("xnli-translate-test", 1),
        ("xnli-translate-train", 15),
        ("xnli-translate-train-all", 1),
        ("ner-en", 1),
        ("ner-each", 4),
        ("ner-all", 1),
    ],
)
def test_number_of_models_is_the_papers(name: str, models: int) -> None:
    """Column #M of Tables 1 and 2 of XLM-R, N being the languages."""
    protocol = PROTOCOLS[name]
    assert models_of(protocol.plan, protocol.languages) == models


@given(
    st.sampled_from(["source", "each", "all"]),
    st.sampled_from(["source", "joint", "language"]),
    st.lists(st.sampled_from(["en", "fr", "sw", "th"]), min_size=1, unique=True),
)
def test_every_language_is_tested_once(train_on: Any, choose_on: Any, languages: list[str]) -> None:
    fits = fits_of(PaperPlan(train_on, choose_on), languages)
    tested = [language for fit in fits for choice in fit.choices for language in choice.test]
    assert sorted(tested) == sorted(languages)
    assert all(fit.train and choice.dev for fit in fits for choice in fit.choices)
    assert all({*choice.dev} <= {*languages, *fit.train} for fit in fits for choice in fit.choices)


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_every_protocol_is_a_configuration(name: str) -> None:
    protocol = PROTOCOLS[name]
    sections = sections_of(protocol, "data")
    kept = [len(s["task"]["test_languages"]) if s["protocol"].get("choose") == "language" else 1 for s in sections]
    assert protocol.task in GLUE or sum(kept) == models_of(protocol.plan, protocol.languages)
    for one in sections:
        config = FinetuneConfig.model_validate(one)
        assert config.task.name == protocol.task
        assert set(protocol.recipe.values) <= set(Recipe.model_fields)
        assert set(protocol.recipe.unpublished) - {"seeds"} <= set(Recipe.model_fields)
        assert not set(protocol.recipe.unpublished) & set(protocol.recipe.values) - {"warmup_ratio"}
        assert config.task.translated_test == (protocol.plan is TRANSLATE_TEST)


def test_known_values_of_the_papers() -> None:
    recipe = PROTOCOLS["xnli-transfer"].recipe
    assert (recipe.values["batch"], recipe.values["steps_per_epoch"], recipe.values["patience"]) == (128, 5000, 5)
    assert sorted(recipe.values["learning_rates"]) == [2e-6, 5e-6, 7.5e-6, 1e-5]
    assert recipe.seeds == 5
    xl = PROTOCOLS["xl-xnli-transfer"]
    assert (xl.recipe.values["batch"], xl.recipe.values["epochs"], xl.plan.choose_on) == (32, 10, "joint")
    questions = PROTOCOLS["mlqa"].recipe.values
    assert (questions["longest"], questions["stride"], questions["longest_answer"]) == (384, 128, 30)
    glue = {name: PROTOCOLS[f"glue-{name}"].recipe.values for name in ("mnli", "mrpc", "stsb")}
    assert [one["learning_rates"] for one in glue.values()] == [(1e-5,), (1e-5,), (2e-5,)]
    assert [one["batch"] for one in glue.values()] == [32, 16, 16]
    assert all((one["epochs"], one["warmup_ratio"], one["weight_decay"]) == (10, 0.06, 0.1) for one in glue.values())


def test_languages_are_those_that_the_files_have() -> None:
    assert XNLI_LANGUAGES == xnli.LANGUAGES
    assert set(NER_LANGUAGES) == set(CODES)
    assert MLQA_LANGUAGES == squad.MLQA_LANGUAGES
    assert {*XQUAD_LANGUAGES, "ro"} == {*squad.XQUAD_LANGUAGES}


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda file: file.stem)
def test_configurations_say_what_the_protocols_say(file: Path) -> None:
    loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
    config = FinetuneConfig.model_validate(loaded["finetune"])
    assert loaded["run"]["project"] == file.stem
    if file.stem in PROTOCOLS:
        expected = sections_of(PROTOCOLS[file.stem], config.task.folder)[0]
        assert config == FinetuneConfig.model_validate({**expected, "encoder": config.encoder})
        assert PROTOCOLS[file.stem].row in file.read_text(encoding="utf-8")
    else:
        assert config.task != TaskSettings()


def test_every_row_has_its_configuration() -> None:
    there = {file.stem for file in CONFIGS.glob("*.yaml")}
    assert set(PROTOCOLS) <= there


def test_difference_in_another_metric() -> None:
    def run(f1: float) -> dict[str, Any]:
        return {"test": {"es": {"f1": f1, "accuracy": 0.0}}}

    found = difference([run(0.6), run(0.8)], [run(0.5), run(0.5)], ["es"], "f1")
    assert found.mean == pytest.approx(0.2)
    assert found.deviation == pytest.approx(0.2 / 2**0.5)
