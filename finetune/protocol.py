"""The papers' protocol as data: which runs there are, what is chosen on dev, and what is reported of test files.

Train on the training languages, keep each run's best epoch and each initialisation's best learning rate by dev, test
once in every language (XLM-R, section 4.1: cross-lingual transfer when train and dev are English).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from finetune.metrics import deviation, mean
from finetune.stages import Initialisation, Protocol, Recipe


@dataclass(frozen=True)
class Run:
    """One fine-tuning."""

    initialisation: Initialisation
    learning_rate: float
    seed: int

    @property
    def name(self) -> str:
        """Also the name of its shard and folder."""
        return f"{self.initialisation}-{self.learning_rate:g}-seed{self.seed}"


def runs_of(protocol: Protocol, recipe: Recipe) -> list[Run]:
    """Every (initialisation, learning rate, seed): the same learning rates and seeds for each initialisation."""
    return [
        Run(initialisation, rate, seed)
        for seed in protocol.seeds
        for initialisation in protocol.initialisations
        for rate in recipe.learning_rates
    ]


Results = Iterable[Mapping[str, Any]]
"""What each run came to: ``initialisation``, ``learning_rate``, ``seed``, ``dev_score``, ``test`` by language."""


def choose_learning_rates(results: Results) -> dict[str, float]:
    """Initialisation -> the learning rate with the highest mean dev accuracy over seeds; the lower rate if equal."""
    by_rate: dict[str, dict[float, list[float]]] = {}
    for run in results:
        rates = by_rate.setdefault(run["initialisation"], {})
        rates.setdefault(run["learning_rate"], []).append(run["dev_score"])
    return {name: max(rates, key=lambda rate: (mean(rates[rate]), -rate)) for name, rates in by_rate.items()}


def chosen_runs(results: Results) -> dict[str, list[Mapping[str, Any]]]:
    """Initialisation -> its runs at the learning rate that it keeps, by seed; or each language's own."""
    results = sorted(results, key=lambda run: (run["initialisation"], run["seed"]))
    rates = choose_learning_rates(results)
    if results and "dev_by_language" in results[0]:
        return {name: _by_language([r for r in results if r["initialisation"] == name]) for name in rates}
    return {
        name: [r for r in results if (r["initialisation"], r["learning_rate"]) == (name, rates[name])] for name in rates
    }


def _by_language(runs: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A run a seed, in which each language has the scores of the learning rate with its own best mean dev score."""
    rates: dict[float, list[Mapping[str, Any]]] = {}
    for run in runs:
        rates.setdefault(run["learning_rate"], []).append(run)
    test: list[dict[str, Any]] = [{} for _ in next(iter(rates.values()))]
    for language in runs[0]["test"]:
        rate = max(rates, key=lambda rate: (mean([run["dev_by_language"][language] for run in rates[rate]]), -rate))
        for place, run in enumerate(rates[rate]):
            test[place][language] = run["test"][language]
    seeds = [run["seed"] for run in next(iter(rates.values()))]
    own = {"initialisation": runs[0]["initialisation"]}
    return [own | {"seed": seed, "test": found} for seed, found in zip(seeds, test, strict=True)]


def best_run(results: Results, initialisation: str) -> Mapping[str, Any]:
    """The run with the best mean dev epoch, of those at the kept learning rate: score, then loss."""
    results = list(results)
    rate = choose_learning_rates(results)[initialisation]
    runs = [run for run in results if (run["initialisation"], run["learning_rate"]) == (initialisation, rate)]
    return max(runs, key=lambda run: (run["dev_score"], -run["dev_loss"]))


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n − 1) over seeds."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Of one value a seed."""
        return cls(mean(values), deviation(values))

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} ± {100 * self.deviation:.1f}"


def over_seeds(runs: list[Mapping[str, Any]], languages: list[str], metric: str = "accuracy") -> Spread:
    """The mean over ``languages`` of each seed, and how that varies with the seed."""
    return Spread.of([mean([run["test"][language][metric] for language in languages]) for run in runs])


def difference(
    first: list[Mapping[str, Any]], second: list[Mapping[str, Any]], languages: list[str], metric: str = "accuracy"
) -> Spread:
    """First − second: of each seed the mean over ``languages``, paired by seed."""
    pairs = zip(first, second, strict=True)
    return Spread.of([mean([a["test"][lg][metric] - b["test"][lg][metric] for lg in languages]) for a, b in pairs])
