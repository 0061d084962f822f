"""What runs are compared by in this package: validation losses over all languages and of each, and the model's size.

A loss by token says little across vocabularies. ``nats_per_character`` multiplies each language's loss by its tokens
per character of the validation text, so that models with different tokens are measured in one unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.manifest import read_manifest
from pipeline.report.measures import Measure
from pipeline.storage import read_json
from pretrain.data.sequences import LISTING
from pretrain.tracking.metrics import METRICS, read_metrics

TRAIN, ENCODE = "pretrain.train", "tokenizer.encode"


def measures(outputs: Mapping[str, Path]) -> list[Measure]:
    """Those of pretrain.train, where it is among ``outputs``."""
    if TRAIN not in outputs:
        return []
    manifest = read_manifest(outputs[TRAIN])
    records = read_metrics(outputs[TRAIN] / METRICS)
    found = [] if manifest is None else [Measure(TRAIN, "parameters", "parameters", manifest.counts["parameters"])]
    seen = [record["tokens"] for record in records if "tokens" in record]
    if seen:
        found.append(Measure(TRAIN, "tokens_seen", "tokens trained on", seen[-1]))
    validations = [record for record in records if record.get("validation_loss") is not None]
    if validations:
        found += _losses(validations, outputs)
    return found


def _losses(validations: list[dict[str, Any]], outputs: Mapping[str, Path]) -> list[Measure]:
    last = validations[-1]
    curve = [(record["step"], record["validation_loss"]) for record in validations]
    title = "validation loss, nats per masked token"
    found = [Measure(TRAIN, "validation_loss", title, last["validation_loss"], last["by_language"], curve=curve)]
    if ENCODE in outputs:
        by = _per_character(last["by_language"], read_json(outputs[ENCODE] / LISTING))
        mean = sum(by.values()) / len(by) if by else None
        title = "validation loss, nats per character, mean over languages"
        found.append(Measure(TRAIN, "nats_per_character", title, mean, by))
    return found


def _per_character(losses: Mapping[str, float], listing: Mapping[str, Any]) -> dict[str, float]:
    """Language -> loss by token × tokens per character of its validation text."""
    found = {}
    for language, loss in losses.items():
        text = listing["languages"].get(language, {}).get("validation", {})
        if text.get("characters"):
            found[language] = loss * (text["tokens"] - text["sentences"]) / text["characters"]
    return found
