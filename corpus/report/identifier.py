"""How often the identifier is right, by language, and which pairs it confuses: from the card of our own model.

The card is what ``xlmr corpus train-lid`` wrote beside the model that mining used; other models have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from corpus.language.model_file import own_model_path
from corpus.language.settings import FASTTEXT
from pipeline.errors import XlmrError
from pipeline.manifest import Manifest, read_manifest
from pipeline.report.charts import bars
from pipeline.report.page import ReportSection, table
from pipeline.storage import read_json

WHO = {"base": "fastText's", "own": "our own", "combined": "both combined"}
"""The identifiers of a card, in the order of columns."""

PAIRS = 20


def identifier_section(mined: Path) -> ReportSection | None:
    """None where mining used no model of our own, or its card is not there any more."""
    manifest = read_manifest(mined)
    card = read_card(manifest)
    measured = {name: each for name, each in _held_out(card).items() if each}
    if not measured:
        return None
    title, held_out = next(iter(measured.items()))
    best = held_out.get("combined") or next(iter(held_out.values()))
    order = sorted(best["languages"], key=lambda language: (_right(best, language), language))
    here = manifest.counts.get("languages", {}) if manifest else {}
    shown = [language for language in order if language in here] or order
    lead = (
        f"Share of texts whose language is named rightly, on text that the model was not trained on: "
        f"{best['texts']:,} texts ({title} by {title}) in {len(order)} languages. Over all texts "
        f"{_share(best.get('right'))}, as mean of languages {_share(best.get('right_mean_of_languages'))}. "
        f"Bars: the {len(shown)} of them that were mined, worst first."
    )
    base = held_out.get("base")
    body = bars(
        [(language, 100 * _right(best, language), f"{_right(best, language):.1%}") for language in shown],
        marks=[100 * _right(base, language) if base else None for language in shown],
        legend=(WHO["combined"] if "combined" in held_out else WHO["own"], WHO["base"]),
    )
    for name, each in measured.items():
        body += _table_of(name, each)
    body += _confused(title, best)
    figures = [] if best.get("right") is None else [("languages named rightly", f"{best['right']:.1%}")]
    return ReportSection("Language identification", lead, body, figures, stage="corpus.mine")


def read_card(manifest: Manifest | None) -> Mapping[str, Any]:
    """The card of the model that mining used, by its manifest; empty where there is none that can be read."""
    used = manifest.config.get("language_id", {}) if manifest else {}
    name = used.get("own_model") if used.get("identifier", FASTTEXT) == FASTTEXT else None
    path = own_model_path(name).with_suffix(".json") if name else None
    if path is None or not path.is_file():
        return {}
    try:
        card = read_json(path)
    except XlmrError:
        return {}
    return card if isinstance(card, dict) else {}


def _held_out(card: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What was measured on paragraphs and on documents, by identifier; only what has the form of a measurement."""
    held_out = card.get("held_out")
    found = {}
    for name, each in held_out.items() if isinstance(held_out, dict) else ():
        whole = isinstance(each, dict) and {who: each[who] for who in WHO if _is_measured(each.get(who))}
        found[name] = whole or {}
    return found


def _is_measured(value: object) -> bool:
    return isinstance(value, dict) and bool(value.get("languages")) and "texts" in value and "confused" in value


def _table_of(name: str, held_out: Mapping[str, Any]) -> Markup:
    languages = sorted({language for each in held_out.values() for language in each["languages"]})
    rows = [
        (
            language,
            max(each["languages"].get(language, {}).get("texts", 0) for each in held_out.values()),
            *(_percent(each["languages"].get(language, {}).get("right")) for each in held_out.values()),
            *(_percent(each["languages"].get(language, {}).get("precise")) for each in held_out.values()),
        )
        for language in languages
    ]
    headers = (
        "language",
        "texts",
        *(f"right, {WHO[who]}, %" for who in held_out),
        *(f"precise, {WHO[who]}, %" for who in held_out),
    )
    return table(headers, rows, f"Accuracy on {name}s, by language", folded=True)


def _confused(name: str, measured: Mapping[str, Any]) -> Markup:
    rows = [
        (language, predicted, texts, _percent(texts / measured["languages"].get(language, {}).get("texts", 0)))
        for language, predicted, texts in measured["confused"][:PAIRS]
        if measured["languages"].get(language, {}).get("texts")
    ]
    headers = ("language", "predicted label", "texts", "% of the language's")
    return table(headers, rows, f"Pairs most often confused, {name} by {name}", folded=False) if rows else Markup()


def _right(measured: Mapping[str, Any] | None, language: str) -> float:
    row = measured["languages"].get(language, {}) if measured else {}
    return float(row.get("right") or 0.0)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _share(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}"
