"""What lies behind the scores: how much is lost in other languages, what is taken for what, how sure it is of itself.

results.json and predictions.jsonl.gz of a fine-tuning stage -> plain numbers; ``analysis_report`` draws them.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from finetune.data.tags import OUTSIDE, are_spans
from finetune.metrics import mean
from finetune.protocol import chosen_runs, over_seeds
from finetune.scoring.spans import spans_of

BINS = 10
"""Of confidence, from 0 to 1."""

FEWEST = 5
"""Languages, that a correlation needs."""

NO_SPACES = 12
"""Characters between white space from which on a language is taken to be written without it."""

MISSED, BORDERS = "not found", "other borders"
"""What a name is taken for that is not, or not wholly, found."""

Line = dict[str, Any]
"""Of predictions.jsonl.gz."""


def lines_of_kept_runs(output: Path, results: Mapping[str, Any]) -> list[Line]:
    """The predictions of the first initialisation at the learning rate that it keeps: every seed and language."""
    first = results["runs"][0]["initialisation"]
    rate = results["learning_rates"][first]
    names = {r["name"] for r in results["runs"] if (r["initialisation"], r["learning_rate"]) == (first, rate)}
    with gzip.open(output / "predictions.jsonl.gz", "rt", encoding="utf-8") as handle:
        return [line for line in map(json.loads, handle) if line["run"] in names]


@dataclass(frozen=True)
class Transfer:
    """A tested language. ``gap``: what is lost to the mean of those trained on; ``seen``: tokens of pretraining."""

    language: str
    score: float
    gap: float
    seen: int | None
    tokens_per_word: float | None


def transfers(results: Mapping[str, Any], seen: Mapping[str, Any]) -> list[Transfer]:
    """The languages that were not trained on, the smallest gap first; none where no trained one is tested.

    ``seen`` is ``languages`` of tokenizer.encode's sequences.json, or empty.
    """
    runs = next(iter(chosen_runs(results["runs"]).values()))
    tested, metric = runs[0]["test"], results["metric"]
    home = [language for language in tested if language in results["trained_on"]]
    if not home:
        return []
    score = {language: over_seeds(runs, [language], metric).mean for language in tested}
    start = mean([score[language] for language in home])
    found = [
        Transfer(lg, score[lg], start - score[lg], pretraining_tokens(seen, lg), _tokens_per_word(results, lg))
        for lg in tested
        if lg not in home
    ]
    return sorted(found, key=lambda one: (one.gap, one.language))


def pretraining_tokens(seen: Mapping[str, Any], language: str) -> int | None:
    """Tokens of pretraining text in the language; zh stands for zh-Hans and zh-Hant together; None: not known."""
    codes = [code for code in seen if code == language or code.startswith(f"{language}-")]
    return sum(seen[code]["train"]["tokens"] for code in codes) if seen else None


def _tokens_per_word(results: Mapping[str, Any], language: str) -> float | None:
    text = results.get("text", {}).get(language)
    if not text or text["characters"] > NO_SPACES * text["words"]:
        return None
    return float(text["tokens"] / text["words"])


def correlation(pairs: Iterable[tuple[float | None, float]]) -> tuple[float, int] | None:
    """Spearman's, from −1 to 1, and of how many; None of too few, or where nothing varies."""
    from scipy import stats

    known = [(first, second) for first, second in pairs if first is not None]
    if len(known) < FEWEST or any(len(set(column)) < 2 for column in zip(*known, strict=True)):
        return None
    return float(stats.spearmanr(*zip(*known, strict=True)).statistic), len(known)


@dataclass(frozen=True)
class Confusion:
    """``counts`` [right, predicted]: how often; ``predicted`` has more than ``right`` where something may be missed."""

    right: list[str]
    predicted: list[str]
    counts: Any


def confusion(lines: Sequence[Line]) -> Confusion | None:
    """Classes, or kinds of names, that are right against those that are predicted; None for other kinds of tasks."""
    pairs: Counter[tuple[str, str]] = Counter()
    for line in lines:
        if "words" in line:
            pairs.update(_names(line))
        elif isinstance(line["gold"], str):
            pairs[line["gold"], line["predicted"]] += 1
    if not pairs:
        return None
    right = sorted({gold for gold, _ in pairs})
    predicted = [*right, *sorted({name for _, name in pairs} - set(right))]
    return Confusion(right, predicted, np.array([[pairs[gold, name] for name in predicted] for gold in right]))


def _names(line: Line) -> Iterator[tuple[str, str]]:
    """(kind, what it is taken for) of each name that is there; of each word, where tags are plain."""
    if not are_spans({OUTSIDE, *line["gold"], *line["predicted"]}):
        yield from zip(line["gold"], line["predicted"], strict=True)
        return
    predicted = list(spans_of(line["predicted"]))
    exact = {(start, end): kind for start, end, kind in predicted}
    for start, end, kind in spans_of(line["gold"]):
        overlaps = any(first < end and start < last for first, last, _ in predicted)
        yield kind, exact.get((start, end), BORDERS if overlaps else MISSED)


@dataclass(frozen=True)
class Bin:
    """Answers of like confidence: how many, their mean confidence, the share that is right."""

    answers: int
    confidence: float
    right: float


def calibration(lines: Sequence[Line]) -> list[Bin]:
    """By confidence, empty bins left out; none where a task has no confidences."""
    known = [(line["confidence"], line["gold"] == line["predicted"]) for line in lines if "confidence" in line]
    if not known:
        return []
    confidence, right = (np.array(column, float) for column in zip(*known, strict=True))
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        Bin(int((place == n).sum()), float(confidence[place == n].mean()), float(right[place == n].mean()))
        for n in np.unique(place)
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: the mean |confidence − share right|, each bin by its answers."""
    total = sum(one.answers for one in bins)
    return sum(one.answers * abs(one.confidence - one.right) for one in bins) / total


@dataclass(frozen=True)
class Hard:
    """An example that is answered wrongly in ``wrong`` of ``asked`` runs and languages."""

    line: Line
    wrong: int
    asked: int
    languages: int
    predicted: Any


def hardest(lines: Sequence[Line], most: int) -> list[Hard]:
    """Examples most often wrong, over seeds and over languages that share ids, with the commonest wrong answer."""
    asked, wrong = Counter[str](), dict[str, list[Line]]()
    for line in lines:
        asked[line["id"]] += 1
        if is_wrong(line):
            wrong.setdefault(line["id"], []).append(line)
    ordered = sorted(wrong, key=lambda name: (-len(wrong[name]), asked[name] - len(wrong[name]), name))
    found = []
    for name in ordered[:most]:
        answers = Counter(json.dumps(line["predicted"]) for line in wrong[name])
        predicted = json.loads(answers.most_common(1)[0][0])
        languages = {line["language"] for line in wrong[name]}
        found.append(Hard(wrong[name][0], len(wrong[name]), asked[name], len(languages), predicted))
    return found


def is_wrong(line: Line) -> bool:
    """Whether the prediction is none of the right ones."""
    if "question" in line:
        return line["predicted"] not in (line["gold"] or [""])
    return bool(line["gold"] != line["predicted"])
