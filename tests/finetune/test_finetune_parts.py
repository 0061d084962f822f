"""Metrics, batches, encoding, learning rate, choice and verdict, against values worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes

from finetune.data.examples import Classification
from finetune.heads.encoding import Encoded, counts_of, read_encoded, write_encoded
from finetune.heads.kinds import ClassificationKind
from finetune.metrics import deviation
from finetune.protocol import best_run, choose_learning_rates, chosen_runs, difference, over_seeds, runs_of
from finetune.report import ALIGNED, NOT_ALIGNED, draw_scores, unseen, verdict, verdicts
from finetune.stages import Protocol, Recipe
from finetune.task_report import better_line, cut_line, rows_line
from finetune.training import baselines
from finetune.training.baselines import drawn, fast_text, majority, score_baselines
from finetune.training.batches import POOL, evaluation_batches, training_batches
from finetune.training.trainer import rate_factor
from pipeline.report.charts import NARROW
from pipeline.report.figures import svg_of
from tests.finetune.toy_task import example_rows
from tokenizer.folder import load_tokenizer

CPU = torch.device("cpu")


def test_deviation_by_hand() -> None:
    assert deviation([1.0, 3.0]) == pytest.approx(2**0.5)
    assert deviation([4.0]) == 0.0


def test_majority_by_hand() -> None:
    examples = [Classification(str(n), "t", None, label) for n, label in enumerate("cacb")]
    assert majority(examples, examples[:2]) == [{"predicted": "c"}] * 2
    assert majority(examples[1:], examples[:1]) == [{"predicted": "a"}], "the first by name of those equally common"


@given(
    lengths=st.lists(st.integers(1, 500), min_size=1, max_size=700),
    size=st.integers(1, 40),
    seed=st.integers(0, 2**32),
    epoch=st.integers(1, 9),
)
def test_every_text_comes_once(lengths: list[int], size: int, seed: int, epoch: int) -> None:
    array = np.array(lengths)
    for batches in (training_batches(array, size, seed, epoch), evaluation_batches(array, size)):
        assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
        assert sum(len(batch) < size for batch in batches) <= 1
        assert max(map(len, batches)) <= size


def test_batches_pad_little_and_change_with_seed_and_epoch() -> None:
    lengths = np.random.default_rng(0).integers(3, 513, 4000)
    batches = training_batches(lengths, 16, 1, 1)

    def padded(some: list[Any]) -> float:
        return 1 - lengths.sum() / sum(lengths[rows].max() * len(rows) for rows in some)

    plain = [np.arange(start, start + 16) for start in range(0, 4000, 16)]
    assert padded(batches) < 0.06
    assert padded(plain) > 0.4
    again = training_batches(lengths, 16, 1, 1)
    assert all((a == b).all() for a, b in zip(batches, again, strict=True))
    for other in (training_batches(lengths, 16, 2, 1), training_batches(lengths, 16, 1, 2)):
        assert any((a != b).any() for a, b in zip(batches, other, strict=True))
    assert POOL * 16 < 4000


def test_encoding_against_a_plain_twin(export: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(export)
    examples = [
        *(Classification(str(r["id"]), str(r["text"]), None, str(r["label"])) for r in example_rows(7)),
        Classification("u", "☃", None, "table"),
    ]
    labels = ("drawing", "letter", "table")
    encoded = ClassificationKind(labels, Recipe(longest=12)).encode(examples, tokenizer)
    counts = counts_of(encoded, 12)
    write_encoded({"test.en": encoded}, tmp_path / "encoded.npz")
    encoded = read_encoded(tmp_path / "encoded.npz")["test.en"]
    whole = [tokenizer.encode_batch([example.text])[0].tolist() for example in examples]
    expected = [[0, *tokens[:10], 2] for tokens in whole]
    ids, attention_mask = encoded.batch(np.arange(8), CPU)
    longest = max(map(len, expected))
    assert ids.tolist() == [row + [1] * (longest - len(row)) for row in expected]
    assert attention_mask is not None
    assert attention_mask.tolist() == [[place < len(row) for place in range(longest)] for row in expected]
    assert [labels[n] for n in encoded.labels] == [example.label for example in examples]
    assert counts == {
        "texts": 8,
        "rows": 8,
        "tokens": sum(map(len, expected)) - 16,
        "unknown": sum(row.count(3) for row in expected),
        "full": sum(len(row) == 12 for row in expected),
    }
    assert counts["unknown"] >= 1
    same, nothing = encoded.batch(np.array([3, 3]), CPU)
    assert nothing is None
    assert same.tolist() == [expected[3]] * 2
    joined = Encoded.joined([encoded, encoded])
    assert joined.batch(np.array([9]), CPU)[0].tolist() == [expected[1]]
    assert joined.examples.tolist() == list(range(16))


def test_learning_rate_rises_and_falls() -> None:
    factors = [rate_factor(n, 10, 0.2) for n in range(11)]
    assert factors == pytest.approx([0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0.0])
    assert rate_factor(0, 10, 0.0) == 1.0


def result(name: str, rate: float, seed: int, dev: float, de: float, ja: float) -> dict[str, Any]:
    test = {"en": 1.0, "de": de, "ja": ja}
    return {
        "name": f"{name}{seed}{rate}",
        "initialisation": name,
        "learning_rate": rate,
        "seed": seed,
        "dev_score": dev,
        "dev_loss": 1 - dev,
        "test": {language: {"accuracy": value, "macro_f1": value} for language, value in test.items()},
    }


RUNS = [
    result("pretrained", 1e-3, 1, 0.9, 0.8, 0.4),
    result("pretrained", 1e-3, 2, 0.7, 0.6, 0.4),
    result("pretrained", 1e-2, 1, 0.95, 0.1, 0.1),
    result("pretrained", 1e-2, 2, 0.5, 0.1, 0.1),
    result("random", 1e-2, 1, 0.6, 0.5, 0.5),
    result("random", 1e-2, 2, 0.6, 0.5, 0.3),
]


def test_choice_is_by_mean_dev_score_for_each_initialisation() -> None:
    assert choose_learning_rates(RUNS) == {"pretrained": 1e-3, "random": 1e-2}
    chosen = chosen_runs(RUNS)
    assert [run["seed"] for run in chosen["pretrained"]] == [1, 2]
    assert best_run(RUNS, "pretrained")["name"] == "pretrained10.001"
    spread = over_seeds(chosen["pretrained"], ["de", "ja"])
    assert (spread.mean, spread.deviation) == pytest.approx((0.55, 0.1 / 2**0.5))
    gap = difference(chosen["pretrained"], chosen["random"], ["de", "ja"])
    assert (gap.mean, gap.deviation) == pytest.approx((0.1, 0.0))


def test_every_initialisation_gets_the_same_runs() -> None:
    runs = runs_of(Protocol(seeds=(1, 2)), Recipe(learning_rates=(1e-5, 2e-5)))
    pairs = {
        name: {(r.learning_rate, r.seed) for r in runs if r.initialisation == name} for name in ("pretrained", "random")
    }
    assert pairs["pretrained"] == pairs["random"]
    assert len(runs) == len({run.name for run in runs}) == 8


def test_a_report_says_what_is_cut_and_which_baseline_is_better() -> None:
    baselines = {"fasttext": {"de": {"accuracy": 0.6}, "ja": {"accuracy": 0.4}}, "majority": {"de": {"accuracy": 0.25}}}
    runs = [result(name, 1e-3, 1, 0.9, 0.5, 0.5) for name in ("pretrained", "ablation")]
    results = {"runs": runs, "metric": "accuracy", "baselines": baselines}
    assert better_line(results) == " The baseline fasttext is better than pretrained in de."
    assert better_line(results | {"baselines": {"words": {"de": {"f1": 0.9}}}}) == ""
    files = {"train.en": {"texts": 5, "full": 3}, "test.en": {"texts": 5, "full": 0}}
    said = " 3 of 10 texts fill finetune.recipe.longest: what they have beyond it is not read."
    assert cut_line({"kind": "classification", "files": files}) == said
    assert cut_line({"kind": "span", "files": files}) == "", "its rows are windows"
    assert cut_line({"kind": "regression", "files": {"train.en": {"texts": 5, "full": 0}}}) == ""


def all_results(runs: list[dict[str, Any]]) -> dict[str, Any]:
    languages = runs[0]["test"]
    return {
        "trained_on": ["en"],
        "majority": {"label": "calc", "test": {language: {"accuracy": 0.25} for language in languages}},
        "runs": runs,
    }


@pytest.mark.parametrize("inches", [NARROW, 7.0])
def test_the_legend_of_the_scores_fits_the_figure(inches: float) -> None:
    names = ("pretrained", "comparable_pages", "ablation", "random")
    runs = [result(name, 1e-3, seed, 0.9, 0.8, 0.4) for name in names for seed in (1, 2)]
    seen: list[Axes] = []

    def draw(axes: Axes) -> None:
        draw_scores(axes, all_results(runs), chosen_runs(runs))
        seen.append(axes)

    svg_of([[("", draw)]], inches, 3.0)
    figure, legend = seen[0].get_figure(root=True), seen[0].get_legend()
    assert figure is not None
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} > {"comparable pages + MLM", "majority"}
    shown = legend.get_window_extent()
    assert figure.bbox.x0 <= shown.x0 < shown.x1 <= figure.bbox.x1


def test_verdict_counts_wins_over_unseen_languages() -> None:
    results = all_results(RUNS)
    assert unseen(results) == ["de", "ja"]
    said = verdict(results, chosen_runs(RUNS))
    assert "pretrained 55.0 ± 7.1 %, random weights 45.0 ± 7.1 %" in said
    assert "“calc” 25.0 %" in said
    assert "wins on 1 of 2 languages, loses on 0 and is level on 1; the difference is +10.0 ± 0.0 points" in said


def test_verdict_tells_a_loss_and_a_draw() -> None:
    loss = [result("pretrained", 1, s, 0.5, 0.3, 0.3 + s / 100) for s in (1, 2)]
    loss += [result("random", 1, s, 0.5, 0.6, 0.6 + s / 100) for s in (1, 2)]
    assert "Pretraining did not help here." in verdict(all_results(loss), chosen_runs(loss))
    draw = [result("pretrained", 1, s, 0.5, 0.5 + s / 10, 0.5) for s in (-1, 1)]
    draw += [result("random", 1, s, 0.5, 0.49, 0.5) for s in (-1, 1)]
    assert "no difference is shown" in verdict(all_results(draw), chosen_runs(draw))


@pytest.mark.parametrize(("pages", "reason"), [(0.6, ALIGNED), (0.4, "")])
def test_verdicts_of_four_encoders_give_a_reason_that_the_scores_show(pages: float, reason: str) -> None:
    scores = {"pretrained": 0.7, "comparable_pages": pages, "ablation": 0.5, "random": 0.5}
    runs = [result(name, 1, s, 0.5, score, score) for name, score in scores.items() for s in (1, 2)]
    trained, away = verdicts(all_results(runs), chosen_runs(runs))
    assert trained.startswith("In en, the language of the labels: MLM alone ")
    assert f"MLM alone 50.0 ± 0.0 %, comparable pages {100 * pages:.1f} ± 0.0 %, comparable pages + MLM 70.0" in away
    assert away.endswith(reason or "by language.")
    assert NOT_ALIGNED not in away


def test_fast_text_reads_parts_of_words() -> None:
    def texts(*words: str) -> list[Classification]:
        return [Classification(word, f"{word} {word}", None, word[0]) for word in words]

    train = texts(*["tabelle", "zeichnung", "buchstabe"] * 20)
    said = fast_text(train, texts("tabellen", "zeichnungen", "buchstaben"))
    assert [one["predicted"] for one in said] == ["t", "z", "b"]
    assert fast_text(train, texts("tabellen")) == said[:1], "the same each time"


def test_fast_text_learns_from_no_more_than_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: dict[str, int] = {}

    def counts(name: str) -> Any:
        def answer(train: Any, test: Any) -> Any:
            learnt[name] = len(train)
            return majority(train, test)

        return answer

    made = {name: counts(name) for name in ("majority", "fasttext")}
    monkeypatch.setattr(baselines, "baselines_of", lambda kind: made)
    train = [Classification(str(n), "t", None, "ab"[n % 2]) for n in range(1000)]
    kind = ClassificationKind(("a", "b"), Recipe())
    scores, reported = score_baselines(train, {"en": train[:4]}, kind, 100)
    assert learnt == {"majority": 1000, "fasttext": 100}
    assert reported == {"fasttext": [100, 1000]}
    assert scores.keys() == made.keys()
    assert rows_line({"baseline_rows": reported}) == " The baseline fasttext is trained on 100 of 1,000 texts."
    for most in (0, 1000, 2000):
        assert score_baselines(train, {"en": train[:4]}, kind, most)[1] == {}
        assert learnt["fasttext"] == 1000

    some = drawn(train, 100)
    assert some == drawn(train, 100), "the same each time"
    places = [int(example.id) for example in some]
    assert places == sorted(set(places))
    assert all(15 <= sum(start <= place < start + 250 for place in places) <= 35 for start in range(0, 1000, 250))


@pytest.mark.parametrize(("theirs", "said"), [(0.9, "90.0 %: more than the best"), (0.2, "20.0 %: less than the best")])
def test_verdict_says_when_fast_text_wins(theirs: float, said: str) -> None:
    found = all_results(RUNS)
    found["baselines"] = {"fasttext": {lang: {"accuracy": theirs} for lang in ("en", "de", "ja")}}
    assert said in verdict(found, chosen_runs(RUNS))
    assert "trained on the same texts, comes" in verdict(found, chosen_runs(RUNS))
    found["baseline_rows"] = {"fasttext": [100_000, 392_702]}
    assert "trained on 100,000 of the same 392,702 texts, comes" in verdict(found, chosen_runs(RUNS))
