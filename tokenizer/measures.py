"""What runs are compared by in this package: the vocabulary, and tokens, fertility and unknown tokens by language."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.report.measures import Measure
from pipeline.storage import read_json
from tokenizer.encode import SEQUENCES
from tokenizer.sample import LANGUAGES
from tokenizer.train import SCRIPTS

SAMPLE, TRAIN, ENCODE = "tokenizer.sample", "tokenizer.train", "tokenizer.encode"


def measures(outputs: Mapping[str, Path]) -> list[Measure]:
    """Those of the stages that are among ``outputs``."""
    found: list[Measure] = []
    if SAMPLE in outputs:
        shares = {code: row["drawn_share"] for code, row in read_json(outputs[SAMPLE] / LANGUAGES).items()}
        found.append(Measure(SAMPLE, "drawn_share", "share of the vocabulary's training text", None, shares))
    if TRAIN in outputs:
        scripts = read_json(outputs[TRAIN] / SCRIPTS)
        latin = scripts.get("Latin", 0) / max(sum(scripts.values()), 1)
        found.append(Measure(TRAIN, "latin_share", "share of the vocabulary in Latin script", latin))
    if ENCODE in outputs:
        found += _encoded(read_json(outputs[ENCODE] / SEQUENCES))
    return found


def _encoded(listing: Mapping[str, Any]) -> list[Measure]:
    languages = {code: _both_splits(entry) for code, entry in listing["languages"].items()}
    whole = {name: sum(of[name] for of in languages.values()) for name in ("tokens", "characters", "unknown")}
    per_character = {code: of["tokens"] / of["characters"] for code, of in languages.items() if of["characters"]}
    unknown = {code: of["unknown"] / of["tokens"] for code, of in languages.items() if of["tokens"]}
    return [
        Measure(ENCODE, "vocab_size", "tokens in the vocabulary", listing["vocab_size"]),
        Measure(
            ENCODE, "tokens", "tokens of text", whole["tokens"], {code: of["tokens"] for code, of in languages.items()}
        ),
        Measure(
            ENCODE,
            "tokens_per_character",
            "tokens per character",
            whole["tokens"] / max(whole["characters"], 1),
            per_character,
        ),
        Measure(
            ENCODE, "unknown_share", "share of unknown tokens", whole["unknown"] / max(whole["tokens"], 1), unknown
        ),
    ]


def _both_splits(entry: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Tokens without those that end a text, characters and unknown tokens of one language."""
    found = {name: sum(split[name] for split in entry.values()) for name in ("tokens", "characters", "unknown")}
    found["tokens"] -= sum(split["sentences"] for split in entry.values())
    return found
