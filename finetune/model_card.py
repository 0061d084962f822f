"""The model card of a fine-tuned model: README.md in its folder, in Hugging Face's form, drawn from the results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from finetune.folder import POOLED
from finetune.heads.kind import Kind
from finetune.heads.kinds import ClassificationKind, RegressionKind, SpanKind, TaggingKind
from finetune.protocol import chosen_runs, over_seeds
from finetune.stages import Recipe
from pipeline.history import described_settings
from pipeline.markdown import card_of, hub_languages, markdown_table, settings_table
from pipeline.storage import atomic_write

CARD = "README.md"
PIPELINES = {
    ClassificationKind.name: "text-classification",
    RegressionKind.name: "text-classification",
    TaggingKind.name: "token-classification",
    SpanKind.name: "question-answering",
}
"""Kind -> transformers' pipeline that reads the folder."""

USE = """```python
from transformers import pipeline

model = pipeline("{pipeline}", model="FOLDER")
```"""
LIMITS = (
    "It answers for texts like those it was trained on; the scores are of the test files named here, and of no others.",
    "Scores in languages that it was not trained on vary with the seed more than those in the others.",
    "It has the faults of its encoder: see the card beside the encoder's weights.",
)
LICENCE = (
    "Not stated: a run cannot know it. The terms of the encoder and of the labelled texts apply. State the licence "
    "here, and as `license` in the head, before you publish."
)


def write_card(folder: Path, kind: Kind, recipe: Recipe, results: Mapping[str, Any]) -> None:
    """Write the card of the model in ``folder``; ``results`` are those of results.json, without baselines or with."""
    with atomic_write(folder / CARD, "w") as handle:
        handle.write(draw_card(kind, recipe, results))


def draw_card(kind: Kind, recipe: Recipe, results: Mapping[str, Any]) -> str:
    """The card."""
    kept = next(run for run in results["runs"] if run["name"] == results["model"])
    languages = sorted(kept["test"])
    parts = [
        f"# {results['task']}: {kind.name} in {len(languages)} language{'s' if len(languages) != 1 else ''}",
        _what_it_is(kept, results),
        "## Use",
        _use(kind, recipe),
        "## Scores",
        *_scores(kind, kept, results),
        "## Training",
        settings_table(described_settings(Recipe, recipe.model_dump(mode="json"))),
        "## Limits",
        "\n".join(f"- {line}" for line in LIMITS),
        "## Licence",
        LICENCE,
    ]
    head = {
        "language": hub_languages(languages),
        "library_name": "transformers",
        "pipeline_tag": PIPELINES[kind.name],
        "license": "unknown",
        "metrics": [kind.metric],
    }
    return card_of(head, parts)


def _use(kind: Kind, recipe: Recipe) -> str:
    command = "`xlmr finetune predict --model FOLDER` reads texts and files."
    if kind.name in POOLED and recipe.pooling == "mean":
        return f"{command} Transformers has no class for a head on the mean over a text's tokens."
    return f"{USE.format(pipeline=PIPELINES[kind.name])}\n\n{command}"


def _what_it_is(kept: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    labels = f" Labels: {', '.join(results['labels'])}." if results["labels"] else ""
    return (
        f"Fine-tuned on {', '.join(results['trained_on'])} with learning rate {kept['learning_rate']:g} and seed "
        f"{kept['seed']}: the run that was best on {', '.join(results['chosen_on'])}, of {len(results['runs'])}. "
        f"Its weights began as: {kept['initialisation']}.{labels}"
    )


def _scores(kind: Kind, kept: Mapping[str, Any], results: Mapping[str, Any]) -> Iterator[str]:
    """This run's, and the mean of all seeds, which says what another training would give."""
    runs = chosen_runs(results["runs"])[kept["initialisation"]]
    metric = kind.metric
    yield f"{metric} on the test files, in percent:"
    yield markdown_table(
        ("language", "trained on", "this model", f"mean of {len(runs)} seed{'s' if len(runs) != 1 else ''}"),
        [
            (
                language,
                "yes" if language in results["trained_on"] else "no",
                round(100 * scores[metric], 1),
                str(over_seeds(runs, [language], metric)),
            )
            for language, scores in sorted(kept["test"].items())
        ],
    )
