"""The package's part of the report: how the loss fell, how far in each language, and what the run was."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from pipeline.formatting import short_number
from pipeline.manifest import read_manifest
from pipeline.report.body import ReportFigure
from pipeline.report.charts import bars, chart, figure_of
from pipeline.report.figures import MUTED
from pipeline.report.page import ReportSection, table
from pipeline.storage import read_json
from pretrain.tracking.metrics import METRICS, read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Records = list[dict[str, Any]]
STAGE, LOSS = "pretrain.train", "Loss by step"


class LossRecords(NamedTuple):
    """What metrics.jsonl and baselines.json say of the loss."""

    training: Records
    validations: Records
    baselines: Mapping[str, Any]


def sections(outputs: Mapping[str, Path]) -> list[ReportSection]:
    """The sections about pretraining; none when it has not run."""
    folder = outputs.get(STAGE)
    if folder is None:
        return []
    training, validations, baselines = read = _read(folder)
    body: Markup = chart(partial(_draw_loss, losses=read), title=LOSS)
    if validations and baselines:
        body += _languages(validations[-1]["by_language"], baselines)
    if validations and validations[-1].get("by_pair"):
        body += _pairs(validations[-1]["by_pair"])
    body += table(("what", "value"), _facts(folder, training, baselines), caption="The run in numbers")
    return [ReportSection("Pretraining", _lead(validations, baselines), body, _figures(folder, validations), STAGE)]


def live_loss(output: Path) -> ReportFigure | None:
    """The loss so far of a training whose folder this is, while it runs; None before its first numbers."""
    read = _read(output)
    return figure_of(partial(_draw_loss, losses=read), title=LOSS) if read.training else None


def _read(folder: Path) -> LossRecords:
    records = read_metrics(folder / METRICS)
    baselines = folder / "baselines.json"
    return LossRecords(
        [r for r in records if r.get("loss") is not None],
        [r for r in records if r.get("validation_loss") is not None],
        read_json(baselines) if baselines.exists() else {},
    )


def _figures(folder: Path, validations: Records) -> list[tuple[str, str]]:
    manifest = read_manifest(folder)
    figures = [] if manifest is None else [("parameters", short_number(manifest.counts["parameters"]))]
    if validations:
        figures.append(("validation loss, nats per masked token", f"{validations[-1]['validation_loss']:.2f}"))
    return figures


def _lead(validations: Records, baselines: Mapping[str, Any]) -> str:
    if not validations or not baselines:
        return "Masked language modelling on the sequences of all languages."
    first = validations[0]
    paid = f" The model that it starts from paid {first['validation_loss']:.2f}." if first["step"] == 0 else ""
    return (
        f"After the last step the model pays {validations[-1]['validation_loss']:.2f} nats for a masked token that"
        f" it has not seen. Guessing evenly would cost {baselines['uniform']:.2f}, knowing how often each token occurs"
        f" {baselines['unigram']['overall']:.2f}, knowing that for the right language"
        f" {baselines['language_unigram']['overall']:.2f}.{paid}"
    )


def _draw_loss(axes: Axes, losses: LossRecords) -> None:
    training, validations, baselines = losses
    axes.plot([r["step"] for r in training], [r["loss"] for r in training], lw=0.8, label="training")
    if validations:
        steps = [r["step"] for r in validations]
        axes.plot(steps, [r["validation_loss"] for r in validations], "o-", ms=3, label="validation")
    if baselines:
        lines = (
            ("even guess, ln V", baselines["uniform"], ":"),
            ("token frequencies", baselines["unigram"]["overall"], "--"),
            ("… by language", baselines["language_unigram"]["overall"], "-."),
        )
        for label, value, style in lines:
            axes.axhline(value, ls=style, lw=0.8, color=MUTED, label=label)
    axes.set_xlabel("step")
    axes.set_ylabel("nats per masked token")
    axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, handlelength=1.8)


def _languages(losses: Mapping[str, float], baselines: Mapping[str, Any]) -> Markup:
    """The last validation loss of each language, lowest first, beside what the token frequencies would pay there."""
    order = sorted(losses, key=lambda language: (losses[language], language))
    own = baselines["language_unigram"]["by_language"]
    return bars(
        [(language, losses[language], f"{losses[language]:.2f}") for language in order],
        marks=[own[language] for language in order],
        legend=("model, nats per masked token", "knowing how often each token occurs in the language"),
        title="Validation loss by language",
    )


def _pairs(losses: Mapping[str, float]) -> Markup:
    """The last validation loss of each pair of languages, where the model also reads translations."""
    order = sorted(losses, key=lambda pair: (losses[pair], pair))
    return bars(
        [(pair, losses[pair], f"{losses[pair]:.2f}") for pair in order],
        title="Validation loss by pair of languages, translation beside it",
    )


def _facts(folder: Path, training: Records, baselines: Mapping[str, Any]) -> list[tuple[str, Any]]:
    manifest = read_manifest(folder)
    facts: list[tuple[str, Any]] = []
    if manifest is not None:
        model, train = manifest.config["model"], manifest.config["train"]
        facts += [
            ("architecture", f"{model['num_hidden_layers']} layers × {model['hidden_size']}, {model['norm']}-LN"),
            ("sequences per step", train["global_batch"]),
            *((name.replace("_", " "), value) for name, value in manifest.counts.items()),
        ]
    if training:
        facts += [("epochs begun", training[-1]["epoch"] + 1), ("hours", training[-1]["seconds"] / 3600)]
    if baselines:
        facts += [
            ("even guess, nats", baselines["uniform"]),
            ("token frequencies, nats", baselines["unigram"]["overall"]),
            ("token frequencies by language, nats", baselines["language_unigram"]["overall"]),
        ]
    return facts
