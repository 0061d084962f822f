"""configs/ablations: each is languages-100 but for what its name says; the lists of languages follow a rule."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.cli import main
from pipeline.config import fingerprint, flatten
from pipeline.dag import Dag
from pretrain.cost.workload import of_config
from pretrain.model import MaskedLanguageModel, ModelConfig, count_parameters
from pretrain.presets import SHAPES, at_capacity_of, parameters_of

ROOT = Path(__file__).parents[2]
FILES = {path.stem: path for path in sorted((ROOT / "configs" / "ablations").glob("*.yaml"))}
BASE = "languages-100"

SEVEN = {"en", "fr", "de", "ru", "zh-Hans", "sw", "ur"}
XNLI = SEVEN | {"es", "el", "bg", "tr", "ar", "vi", "th", "hi"}

LANGUAGES = {"tokenizer.sample.languages", "tokenizer.encode.languages"}
SHAPE = {f"pretrain.model.{name}" for name in ("hidden_size", "num_attention_heads", "intermediate_size")}
VOCABULARY = {"tokenizer.train.vocab_size"}
CHANGES = {
    "languages": LANGUAGES,
    "alpha": {"tokenizer.sample.alpha", "pretrain.data.alpha"},
    "capacity": SHAPE | VOCABULARY,
    "vocabulary": VOCABULARY,
    "bpe": {"tokenizer.train.model_type"},
}
"""What each kind of ablation may change."""


@pytest.fixture(scope="module")
def settings() -> dict[str, dict[str, Any]]:
    """All settings that change a result, flat, by name of the file."""
    dag = Dag.default()
    return {name: dict(flatten(fingerprint(dag.load_config(path)))) for name, path in FILES.items()}


def sizes_of_languages() -> dict[str, float]:
    """GiB of text by language, as table 6 prints it; it has Burmese twice, the smaller is taken for Zawgyi's."""
    table = ROOT / "corpus" / "report" / "papers.tsv"
    lines = [line for line in table.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    rows = [(row["code"], float(row["gib"])) for row in csv.DictReader(lines, delimiter="\t")]
    return {**dict(rows), "my_zaw": min(size for code, size in rows if code == "my")}


def test_every_ablation_of_the_paper_is_there() -> None:
    assert set(FILES) == {
        *(f"languages-{count}" for count in (7, 15, 30, 60, 100)), "languages-30-width-960", "languages-100-width-1152",
        "alpha-0.01", "alpha-0.7", "alpha-1.0", *(f"capacity-{size}k" for size in (32, 64, 128, 256)),
        *(f"vocabulary-{size}k" for size in (128, 256, 512)), "bpe",
    }  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_it_differs_in_what_its_name_says_and_in_nothing_else(name: str, settings: dict[str, dict[str, Any]]) -> None:
    own, base = settings[name], settings[BASE]
    kind, _, value = name.partition("-")
    differing = {key for key in own | base if own.get(key) != base.get(key)}
    count, _, hidden_size = value.partition("-width-")
    if kind == "languages":
        assert len(own["tokenizer.sample.languages"]) == int(count)
        assert differing == (LANGUAGES if count != "100" else set()) | (SHAPE if hidden_size else set())
        assert own["pretrain.model.hidden_size"] == int(hidden_size or 768)
    else:
        assert differing == CHANGES[kind]
    assert own["tokenizer.encode.languages"] == own["tokenizer.sample.languages"]
    if kind == "alpha":
        assert own["tokenizer.sample.alpha"] == own["pretrain.data.alpha"] == float(value)
    if kind in {"capacity", "vocabulary"}:
        assert own["tokenizer.train.vocab_size"] == int(value.removesuffix("k")) * 1000


@pytest.mark.parametrize("name", FILES)
def test_its_model(name: str) -> None:
    work = of_config(FILES[name])
    shape, base = work.shape, SHAPES["ablation-768"]
    with torch.device("meta"):
        model = MaskedLanguageModel(
            ModelConfig(
                shape.vocab_size,
                shape.num_hidden_layers,
                shape.hidden_size,
                shape.num_attention_heads,
                shape.intermediate_size,
            )
        )
    assert count_parameters(model) == work.parameters
    kind, _, value = name.partition("-")
    if kind == "languages":
        assert shape == SHAPES[f"ablation-{value.partition('-width-')[2] or 768}"]
    elif kind == "vocabulary":
        assert shape == SHAPES[f"ablation-{value}"]
    elif kind == "capacity":
        assert shape == at_capacity_of(base, shape.vocabulary_size)
        assert work.parameters == pytest.approx(parameters_of(base), rel=0.035)
    else:
        assert shape == base


def test_the_languages_follow_the_rule(settings: dict[str, dict[str, Any]]) -> None:
    sizes = sizes_of_languages()
    lists = {count: set(settings[f"languages-{count}"]["tokenizer.sample.languages"]) for count in (7, 15, 30, 60, 100)}
    assert lists[7] == SEVEN
    assert lists[15] == XNLI
    assert lists[100] == set(sizes)
    for count in (30, 60):
        taken, left = lists[count] - XNLI, sizes.keys() - lists[count]
        assert min(sizes[code] for code in taken) > max(sizes[code] for code in left)
    for name, own in settings.items():
        assert set(own["tokenizer.sample.languages"]) in lists.values(), name


def test_plan_accepts_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a crawl that is there, and a model that ships with us."""
    crawl = ["--corpus.fetch.crawl", str(ROOT / "samples" / "crawl" / "*.gz")]
    text = ["--corpus.language_models.text", str(ROOT / "samples" / "clean" / "*.txt.xz")]
    assert main(["plan", str(FILES["bpe"]), *crawl, *text, "--run.directory", str(tmp_path)]) == 0
    assert "tokenizer.encode" in capsys.readouterr().out
