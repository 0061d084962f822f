"""The package's part of the report: accuracy by language, pretrained, from random weights, by majority and by fastText.

Every sentence is computed from results.json; losses are reported as plainly as gains.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from finetune.analysis import pretraining_tokens
from finetune.analysis_report import analysis
from finetune.protocol import Spread, chosen_runs, difference, over_seeds
from finetune.task_report import head_line, pretraining_text, rows_line, task_sections
from pipeline.report.charts import NARROW, chart
from pipeline.report.page import ReportSection, table
from pipeline.storage import read_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Results = dict[str, Any]
Runs = dict[str, list[Mapping[str, Any]]]
"""Initialisation -> its chosen runs, by seed."""

COLOURS = {"pretrained": "#2b6cb0", "comparable_pages": "#3d9a84", "ablation": "#dd8a4a", "random": "#b0b7bf"}

ALIGNED = (
    "Comparable pages give the tokens of all languages vectors in one space, so a head trained on the texts of one"
    " language can read those of another."
)
NOT_ALIGNED = (
    "With so little text, masked language modelling learns each language by itself: nothing says yet which tokens of"
    " two languages mean the same (docs/demo.md)."
)


def names_of(runs: Collection[str]) -> dict[str, str]:
    """Initialisation -> what it is called beside the others."""
    with_pages = "comparable_pages" in runs or "ablation" in runs
    return {
        "pretrained": "comparable pages + MLM" if with_pages else "pretrained",
        "comparable_pages": "comparable pages",
        "ablation": "MLM alone",
        "random": "random weights",
    }


def sections(outputs: Mapping[str, Path]) -> list[ReportSection]:
    """The sections about the help pages and about the task that the settings name; none for what has not run."""
    return _help_pages(outputs) + task_sections(outputs)


def _help_pages(outputs: Mapping[str, Path]) -> list[ReportSection]:
    if "finetune.help_pages" not in outputs:
        return []
    results = read_json(outputs["finetune.help_pages"] / "results.json")
    seen = pretraining_text(outputs)
    runs = chosen_runs(results["runs"])
    body = chart(
        lambda axes: draw_scores(axes, results, runs),
        title="Accuracy by language",
        height=1.2 + 0.26 * len(_languages(results)),
    )
    for line in verdicts(results, runs):
        body += _paragraph(line)
    body += transfer_table(results, runs, seen)
    body += analysis(outputs["finetune.help_pages"], results, seen)
    body += _runs_table(results)
    title = "Fine-tuning: what is a help page about?"
    return [ReportSection(title, lead(results, runs), body, figures(results, runs), stage="finetune.help_pages")]


def figures(results: Results, runs: Runs) -> list[tuple[str, str]]:
    """The mean over the languages that were not trained on, of each initialisation; none where there are no such."""
    away, names = unseen(results), names_of(runs)
    away_from = f"accuracy in {len(away)} languages not trained on, "
    return [
        (away_from + names[name], f"{over_seeds(found, away).mean * 100:.1f} %") for name, found in runs.items() if away
    ]


def lead(results: Results, runs: Runs) -> str:
    """What was trained, chosen and tested on what."""
    texts = {split: _texts(results, split) for split in ("train", "dev", "test")}
    seeds = len(next(iter(runs.values())))
    return (
        f"One of {len(results['labels'])} modules for each page. Trained on {texts['train']:,} texts in"
        f" {', '.join(results['trained_on'])}; epoch and learning rate chosen on {texts['dev']:,} texts in"
        f" {', '.join(results['chosen_on'])}; tested once on {texts['test']:,} texts in"
        f" {len(_languages(results))} languages, {len(unseen(results))} of them not trained on."
        f" Every initialisation has the same recipe and {_seeds(seeds)}.{head_line(results)}{rows_line(results)}"
    )


def verdicts(results: Results, runs: Runs) -> list[str]:
    """The comparison in two lines: in the language of the labels, and in those that were not trained on."""
    trained = [language for language in _languages(results) if language in results["trained_on"]]
    found = [_in_trained(results, runs, trained)] if trained else []
    return [*found, verdict(results, runs)]


def _in_trained(results: Results, runs: Runs, trained: list[str]) -> str:
    text = f"In {', '.join(trained)}, the language of the labels: {_scores(results, runs, trained)}."
    if runs.keys() >= {"pretrained", "random"}:
        gain = difference(runs["pretrained"], runs["random"], trained)
        text += f" Pretraining changes accuracy by {100 * gain.mean:+.1f} ± {100 * gain.deviation:.1f} points"
        text += ": where there are labels, text of the same language helps to use them." if gain.mean > 0 else "."
    return text


def _scores(results: Results, runs: Runs, languages: list[str]) -> str:
    names = names_of(runs)
    scores = ", ".join(f"{names[name]} {over_seeds(found, languages)} %" for name, found in runs.items())
    if "majority" in results:
        scores += f", and always saying “{results['majority']['label']}” {_majority(results, languages)} %"
    return scores


def verdict(results: Results, runs: Runs) -> str:
    """The comparison over the languages that were not trained on, in words."""
    away = unseen(results)
    if not away:
        return "Every tested language was trained on, so this says nothing about transfer."
    text = f"Mean accuracy over the {len(away)} languages not trained on: {_scores(results, runs, away)}."
    text += _against_fast_text(results, runs, away)
    if runs.keys() >= {"pretrained", "random"}:
        text += " " + _compared(runs["pretrained"], runs["random"], away)
        text += _reason(runs, away)
    return text


def _reason(runs: Runs, away: list[str]) -> str:
    """Why transfer works, or does not; nothing where the scores do not show it."""
    if "comparable_pages" in runs and difference(runs["comparable_pages"], runs["random"], away).mean > 0:
        return f" {ALIGNED}"
    if "comparable_pages" not in runs and difference(runs["pretrained"], runs["random"], away).mean <= 0:
        return f" {NOT_ALIGNED}"
    return ""


def _against_fast_text(results: Results, runs: Runs, away: list[str]) -> str:
    """What fastText, trained on the same texts, comes to; nothing for results that do not have it."""
    found = results.get("baselines", {}).get("fasttext")
    if not found:
        return ""
    theirs = 100 * Spread.of([found[language]["accuracy"] for language in away]).mean
    best = max(runs, key=lambda name: over_seeds(runs[name], away).mean)
    ours = 100 * over_seeds(runs[best], away).mean
    verdict = "less than" if theirs < ours else "more than" if theirs > ours else "as much as"
    return (
        f" FastText on character n-grams, trained on {_of_the_same(results)} texts, comes to {theirs:.1f} %:"
        f" {verdict} the best of these ({names_of(runs)[best]})."
    )


def _of_the_same(results: Results) -> str:
    some, every = results.get("baseline_rows", {}).get("fasttext", (0, 0))
    return f"{some:,} of the same {every:,}" if some else "the same"


def _majority(results: Results, languages: list[str]) -> str:
    """The mean accuracy of always saying the commonest label, in percent."""
    return f"{100 * Spread.of([results['majority']['test'][one]['accuracy'] for one in languages]).mean:.1f}"


def _compared(pretrained: list[Mapping[str, Any]], random: list[Mapping[str, Any]], away: list[str]) -> str:
    # Rounded, for sums of equal accuracies may differ in the last bit, and that is no win.
    gains = [round(difference(pretrained, random, [language]).mean, 9) for language in away]
    ahead, behind = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    level = len(gains) - ahead - behind
    gain = difference(pretrained, random, away)
    text = (
        f"Pretraining wins on {ahead} of {len(away)} languages, loses on {behind}"
        + (f" and is level on {level}" if level else "")
        + f"; the difference is {100 * gain.mean:+.1f} ± {100 * gain.deviation:.1f} points over"
        f" {_seeds(len(pretrained))}, and from {100 * min(gains):+.1f} to {100 * max(gains):+.1f} by language."
    )
    if len(pretrained) > 1 and abs(gain.mean) <= 2 * gain.deviation / len(pretrained) ** 0.5:
        text += " That is within two standard errors of the seeds: no difference is shown."
    elif gain.mean <= 0:
        text += " Pretraining did not help here."
    return text


def transfer_table(results: Results, runs: Runs, seen: Mapping[str, Any]) -> Markup:
    """A row a language, those trained on first, then the mean over the others."""
    both = runs.keys() >= {"pretrained", "random"}
    headers = ["language", "texts", *(f"{names_of(runs)[name]}, %" for name in runs)]
    headers += ["majority, %"] * ("majority" in results)
    headers += ["fastText, %"] * ("fasttext" in results.get("baselines", {}))
    headers += ["difference, points"] * both + ["tokens a text", "unknown tokens, %"]
    headers += ["pretraining tokens"] * bool(seen)
    rows = []
    for language in _languages(results):
        file = results["files"][f"test.{language}"]
        trained = " (trained on)" if language in results["trained_on"] else ""
        row: list[Any] = [f"{language}{trained}", file["texts"], *_accuracies(results, runs, [language])]
        row += [file["tokens"] / file["texts"], 100 * file["unknown"] / max(1, file["tokens"])]
        rows.append(row + [pretraining_tokens(seen, language)] * bool(seen))
    away = unseen(results)
    if away:
        total = sum(results["files"][f"test.{language}"]["texts"] for language in away)
        rows.append([f"mean of {len(away)} not trained on", total, *_accuracies(results, runs, away), None, None])
        rows[-1] += [None] * bool(seen)
    caption = "Accuracy; mean ± standard deviation over seeds. Tokens are counted after cutting long texts."
    return table(headers, rows, caption=caption, folded=False)


def _accuracies(results: Results, runs: Runs, languages: list[str]) -> list[Any]:
    cells: list[Any] = [str(over_seeds(found, languages)) for found in runs.values()]
    if "majority" in results:
        cells.append(_majority(results, languages))
    fast_text = results.get("baselines", {}).get("fasttext")
    if fast_text:
        cells.append(f"{100 * Spread.of([fast_text[language]['accuracy'] for language in languages]).mean:.1f}")
    if runs.keys() >= {"pretrained", "random"}:
        gain = difference(runs["pretrained"], runs["random"], languages)
        cells.append(f"{100 * gain.mean:+.1f} ± {100 * gain.deviation:.1f}")
    return cells


def _runs_table(results: Results) -> Markup:
    headers = [
        "run",
        "learning rate",
        "kept",
        "best epoch",
        "epochs",
        "dev accuracy, %",
        "dev loss",
        "macro F1, %",
    ]
    languages = unseen(results) or _languages(results)
    names = names_of({run["initialisation"] for run in results["runs"]})
    rows = []
    for run in results["runs"]:
        kept = results["learning_rates"][run["initialisation"]] == run["learning_rate"]
        row = [
            f"{names[run['initialisation']]}, seed {run['seed']}",
            f"{run['learning_rate']:g}",
            kept,
            run["epoch"],
        ]
        row += [len(run["history"]), 100 * run["dev_score"], run["dev_loss"]]
        rows.append([*row, 100 * over_seeds([run], languages, "macro_f1").mean])
    caption = "Every run. Macro F1 is a mean over the languages not trained on. The model/ folder is of the best " + (
        f"run on dev, {results['model']}."
    )
    return table(headers, rows, caption=caption)


def draw_scores(axes: Axes, results: Results, runs: Runs) -> None:
    """Bars of the accuracies by language, one for each initialisation, and a mark for the most frequent label."""
    languages = _languages(results)[::-1]
    height = 0.8 / len(runs)
    for number, (name, found) in enumerate(runs.items()):
        spreads = [over_seeds(found, [language]) for language in languages]
        places = [place + 0.4 - height * (number + 0.5) for place in range(len(languages))]
        axes.barh(
            places,
            [100 * spread.mean for spread in spreads],
            height,
            xerr=[100 * spread.deviation for spread in spreads],
            color=COLOURS[name],
            error_kw={"lw": 0.8},
            label=names_of(runs)[name],
        )
    if "majority" in results:
        majority = [100 * results["majority"]["test"][language]["accuracy"] for language in languages]
        axes.scatter(majority, range(len(languages)), marker="|", s=110, color="#c53030", zorder=3, label="majority")
    axes.set_yticks(range(len(languages)), languages)
    axes.set_xlabel("accuracy, %")
    axes.set_ylim(-0.6, len(languages) - 0.4)
    figure = axes.get_figure(root=True)
    if figure is None or figure.get_figwidth() > NARROW:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    else:
        axes.legend(loc="lower left", bbox_to_anchor=(-0.1, 1.0), ncols=2, frameon=False, columnspacing=1)


def unseen(results: Results) -> list[str]:
    """The tested languages that were not trained on, sorted."""
    return [language for language in _languages(results) if language not in results["trained_on"]]


def _languages(results: Results) -> list[str]:
    """Those trained on first, the others by name."""
    return sorted(results["runs"][0]["test"], key=lambda language: (language not in results["trained_on"], language))


def _texts(results: Results, split: str) -> int:
    return sum(file["texts"] for name, file in results["files"].items() if name.startswith(f"{split}."))


def _seeds(number: int) -> str:
    return f"{number} seed{'s' * (number != 1)}"


def _paragraph(text: str) -> Markup:
    return Markup("<p>") + escape(text) + Markup("</p>")
