"""configs/studies: they follow the papers, change what they say and nothing else, and read no test page here."""

from __future__ import annotations

import csv
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.cli import main
from pipeline.config import fingerprint, flatten
from pipeline.dag import Dag
from pipeline.study.study_file import StudyFile, read_study
from pipeline.study.variants import StudyVariant, identities, variants_of
from pretrain.cost.workload import Workload, of_settings
from pretrain.model import MaskedLanguageModel, ModelConfig, count_parameters
from pretrain.presets import SHAPES, at_capacity_of, parameters_of

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "configs" / "studies"
NAMES = (
    "alpha", "amounts", "capacity", "monolingual", "number-of-languages", "sentencepiece-and-bpe", "vocabulary",
    "wikipedia-and-crawl",
)  # fmt: skip
FILES = [f"{size}/{name}" for size in ("paper", "demo") for name in NAMES]

SEVEN = {"en", "fr", "de", "ru", "zh-Hans", "sw", "ur"}
XNLI = SEVEN | {"es", "el", "bg", "tr", "ar", "vi", "th", "hi"}
PUBLISHED = json.loads((Path(__file__).parent / "published_numbers.json").read_text(encoding="utf-8"))

LANGUAGES = {"tokenizer.sample.languages", "tokenizer.encode.languages"}
SHAPE = {f"pretrain.model.{name}" for name in ("hidden_size", "num_attention_heads", "intermediate_size")}
SOURCE = {"corpus.fetch.crawl", "corpus.fetch.shards", "corpus.duplicates.window"}
BUCKETS = {"tokenizer.sample.buckets", "tokenizer.encode.buckets"}
TASK = {f"finetune.task.{name}_languages" for name in ("train", "dev", "test")}
MAY_DIFFER = {
    "alpha": {"tokenizer.sample.alpha", "pretrain.data.alpha"},
    "amounts": SOURCE,
    "capacity": SHAPE | LANGUAGES,
    "monolingual": LANGUAGES | {"tokenizer.train.vocab_size"} | SOURCE | BUCKETS | TASK,
    "number-of-languages": LANGUAGES,
    "sentencepiece-and-bpe": {
        "tokenizer.train.model_type", "tokenizer.train.normalization_rule_name", "pretrain.train.global_batch",
    },
    "vocabulary": SHAPE | {"tokenizer.train.vocab_size"},
    "wikipedia-and-crawl": SOURCE | BUCKETS,
}  # fmt: skip
"""What the variants of each study may differ in."""


@cache
def loaded(name: str) -> tuple[StudyFile, list[StudyVariant]]:
    path = STUDIES / f"{name}.yaml"
    study = read_study(path)
    return study, variants_of(Dag.default(), study, path)


def workloads(name: str) -> dict[str, Workload]:
    return {variant.name: of_settings(variant.config, variant.name) for variant in loaded(name)[1]}


def languages_of(variant: StudyVariant) -> set[str]:
    config: Any = variant.config
    return set(config.tokenizer.encode.languages)


def test_every_study_has_both_sizes_and_nothing_else_lies_there() -> None:
    found = {path.relative_to(STUDIES).with_suffix("").as_posix() for path in STUDIES.rglob("*.yaml")}
    assert found == {*FILES, "paper/base", "demo/base"}
    assert all(loaded(name)[0].size == name.partition("/")[0] for name in FILES)
    for name in NAMES:
        assert loaded(f"demo/{name}")[0].of == loaded(f"paper/{name}")[0].of


@pytest.mark.parametrize("name", FILES)
def test_variants_differ_in_what_is_studied_and_in_nothing_else(name: str) -> None:
    settings = [dict(flatten(fingerprint(variant.config))) for variant in loaded(name)[1]]
    names = {key for one in settings for key in one}
    differing = {key for key in names if any(one.get(key) != settings[0].get(key) for one in settings)}
    assert differing
    assert differing <= MAY_DIFFER[name.partition("/")[2]]
    for one in settings:
        assert one["tokenizer.sample.languages"] == one["tokenizer.encode.languages"]
        assert one["tokenizer.sample.buckets"] == one["tokenizer.encode.buckets"]
        assert one["tokenizer.sample.alpha"] == one["pretrain.data.alpha"]


@pytest.mark.parametrize("name", FILES)
def test_what_is_measured_is_a_measure_of_a_language_that_is_there(name: str) -> None:
    study, variants = loaded(name)
    for measured in study.measured:
        assert measured.stage in Dag.default().stages
        if measured.stage.startswith("pretrain."):
            groups = {language for languages in measured.groups.values() for language in languages}
            of_any = set().union(*map(languages_of, variants))
            assert groups <= of_any


@pytest.mark.parametrize("name", NAMES)
def test_no_study_of_the_demo_reads_a_test_page(name: str) -> None:
    """What is chosen by a study is chosen on dev pages and validation text."""
    study, variants = loaded(f"demo/{name}")
    assert not any(".test_" in measured.measure or "finetune.task" in measured.measure for measured in study.measured)
    for variant in variants:
        config: Any = variant.config
        stage = Dag.default().stages["finetune.help_pages"]
        files = stage.outside(Dag.default().stage_config(stage, config))
        assert not [file for file in files if "test" in Path(file).name]


def test_paper_studies_lie_in_one_project_and_share_corpus_and_models_across_files() -> None:
    dag = Dag.default()
    for size in ("paper", "demo"):
        projects = {variant.config.run.project for name in NAMES for variant in loaded(f"{size}/{name}")[1]}  # type: ignore[attr-defined]
        assert len(projects) == 1
    seen: dict[str, set[str]] = {}
    for name in NAMES:
        study, variants = loaded(f"paper/{name}")
        for variant in variants:
            own = identities(dag, variant.config, study.measured_stages)
            seen.setdefault("corpus.regroup", set()).add(own["corpus.regroup"])
            if "pretrain.train" in own:
                seen.setdefault("pretrain.train", set()).add(own["pretrain.train"])
    assert len(seen["corpus.regroup"]) == 2, "Wikipedia and CommonCrawl"
    trainings = sum(len(loaded(f"paper/{name}")[1]) for name in NAMES)
    assert len(seen["pretrain.train"]) < trainings - 10


def test_the_languages_follow_the_rule() -> None:
    table = ROOT / "corpus" / "report" / "papers.tsv"
    lines = [line for line in table.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    rows = [(row["code"], float(row["gib"])) for row in csv.DictReader(lines, delimiter="\t")]
    sizes = {**dict(rows), "my_zaw": min(size for code, size in rows if code == "my")}
    lists = {len(languages_of(variant)): languages_of(variant) for variant in loaded("paper/number-of-languages")[1]}
    assert set(lists) == {7, 15, 30, 60, 100}
    assert lists[7] == SEVEN
    assert lists[15] == XNLI
    assert lists[100] == set(sizes)
    for count in (30, 60):
        taken, left = lists[count] - XNLI, sizes.keys() - lists[count]
        assert min(sizes[code] for code in taken) > max(sizes[code] for code in left)
    for name in ("capacity", "wikipedia-and-crawl", "alpha", "vocabulary", "sentencepiece-and-bpe"):
        assert all(languages_of(variant) in lists.values() for variant in loaded(f"paper/{name}")[1])
    smaller: set[str] = set()
    for variant in loaded("demo/number-of-languages")[1]:
        assert smaller < languages_of(variant), "each has those of the one before"
        smaller = languages_of(variant)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "amounts"])
def test_models_of_the_papers_size(name: str) -> None:
    for variant, work in workloads(f"paper/{name}").items():
        shape = work.shape
        with torch.device("meta"):
            sizes = (shape.num_hidden_layers, shape.hidden_size, shape.num_attention_heads, shape.intermediate_size)
            model = MaskedLanguageModel(ModelConfig(shape.vocab_size, *sizes))
        assert count_parameters(model) == work.parameters, variant


def test_shapes_are_those_of_the_paper() -> None:
    base = SHAPES["ablation-768"]
    for variant in loaded("paper/vocabulary")[1]:
        shape = of_settings(variant.config, variant.name).shape
        if variant.label == "fixed capacity":
            assert shape == at_capacity_of(base, shape.vocabulary_size)
            assert parameters_of(shape) == pytest.approx(parameters_of(base), rel=0.035)
        else:
            assert shape == SHAPES[f"ablation-{shape.vocabulary_size // 1000}k"]
    for name, work in workloads("paper/capacity").items():
        assert work.shape == SHAPES[f"ablation-{name.rpartition(' ')[2]}"]
    sizes = {name: work.shape.vocabulary_size for name, work in workloads("paper/monolingual").items()}
    assert set(sizes.values()) == {40_000, 150_000}
    assert len(sizes) == 14 + 4


def test_the_demos_models_of_fixed_capacity_have_equally_many_parameters() -> None:
    sizes = [work.parameters for name, work in workloads("demo/vocabulary").items() if "hidden size" in name]
    assert len(sizes) == 4
    assert max(sizes) < 1.06 * min(sizes)


@pytest.mark.parametrize("name", FILES)
def test_published_numbers_are_those_of_the_paper(name: str) -> None:
    """XLM-R paper, Table 5, Table 6 and section 5.1; its figures have no other numbers."""
    for published in loaded(name)[0].published:
        for series, by_x in published.series.items():
            assert {str(x): value for x, value in by_x.items()} == expected(name.partition("/")[2], series, by_x)


def expected(name: str, series: str, by_x: dict[Any, Any]) -> dict[str, float]:
    table = PUBLISHED["table_5"]
    if name in ("monolingual", "wikipedia-and-crawl"):
        row = {"Wikipedia": "XLM-7, Wiki, transfer", "CommonCrawl": "XLM-7, CC, transfer"}.get(series, series)
        return dict(zip(table["columns"], table[row], strict=True))
    if name == "amounts":
        rows = [line.split("\t") for line in (ROOT / "corpus/report/papers.tsv").read_text().splitlines()]
        sizes = {row[0]: float(row[3]) for row in reversed(rows) if len(row) > 3 and row[0] != "code"}
        sizes["zh"] = sizes["zh-Hans"]
        return {str(code): sizes[code] for code in by_x}
    text = {
        "number-of-languages": PUBLISHED["text_of_figure_2"],
        "vocabulary": PUBLISHED["text_of_figure_6"].get(series),
        "sentencepiece-and-bpe": PUBLISHED["text_of_figure_7"],
    }
    if name == "capacity":
        return {"768": PUBLISHED["text_of_figure_2"][series.partition(" ")[0]]}
    found: dict[str, float] = text[name]
    return found


@pytest.mark.parametrize("name", ["paper/number-of-languages", "demo/alpha"])
def test_plan_of_one_study(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--gpus", "64"] if name.startswith("paper") else []
    words += ["--run.directory", str(tmp_path)]
    assert main(["study", str(STUDIES / f"{name}.yaml"), "--plan", *words]) == 0
    said = capsys.readouterr().out
    assert "different: each of these runs once" in said
    assert ("GPU-days" in said) == name.startswith("paper")


FIGURES = sorted((ROOT / "docs" / "studies").glob("*.md"))


@pytest.mark.parametrize("page", FIGURES, ids=[page.stem for page in FIGURES])
def test_a_published_figure_is_of_the_study_as_it_stands(page: Path) -> None:
    """What is drawn beside ours, and what is said of it, are those of the file; the axis has its variants."""
    study, variants = loaded(f"demo/{page.stem}")
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {study.title}\n")
    assert " ".join(study.does_not_say.split()) in text
    assert "Variants that failed" not in text
    for published in study.published:
        assert f"**{published.source}: {published.title}**" in text
    if "." in study.figure.x:
        values = {variant.value_of(study.figure.x) for variant in variants}
        assert all(f"\n| {value:,.0f} |" in text or f"\n| {value:g} |" in text for value in values)
    assert page.with_suffix(".svg").read_text(encoding="utf-8").count("<svg") == 1
