"""CC100 as the papers give it (XLM-R Table 6, corpus/report/papers.tsv) beside the corpus of the run.

Sizes differ by orders of magnitude, so shares are compared; whether the languages come in the same order says the rank
correlation.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from markupsafe import Markup

from corpus.output.step_counts import in_order, totals
from pipeline.counts import Counts
from pipeline.formatting import size
from pipeline.report.charts import bars
from pipeline.report.page import ReportSection, table

TABLE = Path(__file__).with_name("papers.tsv")
GIB = 2**30

LEAST = 0.001
"""Percent of the corpus from which a language gets a bar: a handful of misread lines would stretch the scale. The
smallest language of the table has 0.004."""

SPLIT = {"zh": ("zh-Hans", "zh-Hant")}
"""Languages that the table splits; an identifier that does not gives them as one."""

JOINED = {"my_zaw": "my"}
"""Languages that the table has two rows of with one name."""


@dataclass(frozen=True)
class PaperLanguage:
    """A language of the table. ``tokens`` in millions; None where the table cannot be read."""

    language: str
    name: str
    tokens: int | None
    gib: float
    note: str = ""


@cache
def papers_table() -> tuple[PaperLanguage, ...]:
    """The rows as printed, in their order; ``my`` stands twice."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader((line for line in file if not line.startswith("#")), delimiter="\t")
        return tuple(
            PaperLanguage(
                line["code"],
                line["language"],
                int(line["tokens_millions"]) if line["tokens_millions"] else None,
                float(line["gib"]),
                line["note"] or "",
            )
            for line in lines
        )


def papers_sizes(ours: Sequence[str]) -> dict[str, PaperLanguage]:
    """The table by language, split no finer than the corpus (``ours``) is."""
    joined = {part: whole for whole, parts in SPLIT.items() if whole in ours for part in parts}
    found: dict[str, PaperLanguage] = {}
    for row in papers_table():
        language = joined.get(row.language, row.language)
        name = row.name.partition(" (")[0] if language != row.language else row.name
        if language in found:
            before = found[language]
            tokens = None if before.tokens is None or row.tokens is None else before.tokens + row.tokens
            note = "; ".join(dict.fromkeys(note for note in (before.note, row.note) if note))
            found[language] = PaperLanguage(language, name, tokens, round(before.gib + row.gib, 1), note)
        else:
            found[language] = PaperLanguage(language, name, row.tokens, row.gib, row.note)
    return found


def papers_section(counts: Counts, tokens: Mapping[str, int]) -> ReportSection:
    """``counts`` is counts.json of the corpus; ``tokens`` by language, empty if it was not encoded."""
    ours = _joined(totals(counts, "bytes"))
    tokens = _joined(tokens)
    theirs = papers_sizes(list(ours))
    order = in_order(ours)
    both = [language for language in order if language in theirs]
    whole_ours, whole_theirs = sum(ours.values()) or 1, sum(row.gib for row in theirs.values())
    share = {language: 100 * ours[language] / whole_ours for language in order}
    their_share = {language: 100 * row.gib / whole_theirs for language, row in theirs.items()}
    correlation = rank_correlation([ours[language] for language in both], [theirs[language].gib for language in both])
    lead = _lead(len(both), correlation, whole_ours, whole_theirs)
    drawn = [language for language in order if share[language] >= LEAST]
    body = bars(
        [(language, share[language], _percent(share[language])) for language in drawn],
        log=True,
        marks=[their_share.get(language) for language in drawn],
        legend=("share of this corpus", "share of CC100 in XLM-R's Table 6"),
        amount=_percent,
    )
    body += _on_one_side(order, theirs)
    body += _side_by_side(ours, theirs, tokens)
    body += _notes(theirs)
    return ReportSection("Beside CC100", lead, body, stage="corpus.regroup")


def _side_by_side(ours: Mapping[str, int], theirs: Mapping[str, PaperLanguage], tokens: Mapping[str, int]) -> Markup:
    whole_ours, whole_theirs = sum(ours.values()) or 1, sum(row.gib for row in theirs.values())
    rows = [
        (
            language,
            theirs[language].name if language in theirs else "not in the table",
            size(ours[language]) if language in ours else None,
            f"{theirs[language].gib:,.1f} GiB" if language in theirs else None,
            100 * ours[language] / whole_ours if language in ours else None,
            100 * theirs[language].gib / whole_theirs if language in theirs else None,
            *([tokens.get(language)] if tokens else []),
            theirs[language].tokens if language in theirs else None,
        )
        for language in [*in_order(ours), *sorted(theirs.keys() - ours.keys())]
    ]
    headers = (
        "language", "name", "ours", "theirs", "ours, %", "theirs, %", *(["our tokens"] if tokens else []),
        "their tokens, M",
    )  # fmt: skip
    return table(headers, rows, "XLM-R's Table 6 and this corpus", folded=True)


def _lead(both: int, correlation: float | None, whole_ours: int, whole_theirs: float) -> str:
    lead = (
        f"Shares of {size(whole_ours)} here and of {whole_theirs:,.0f} GiB in the paper, on a log scale; {both} "
        "languages are in both."
    )
    if correlation is not None:
        lead += f" Their sizes have a rank correlation (Spearman) of {correlation:.2f}."
    return lead


def _on_one_side(ours: Collection[str], theirs: Collection[str]) -> Markup:
    sides = (("Only here", set(ours) - set(theirs)), ("Only in the paper", set(theirs) - set(ours)))
    lines = [f"{where} ({len(languages)}): {' '.join(sorted(languages))}." for where, languages in sides if languages]
    return Markup('<p class="note">{}</p>\n').format(" ".join(lines)) if lines else Markup()


def _notes(theirs: Mapping[str, PaperLanguage]) -> Markup:
    noted = [(row.language, row.note) for row in theirs.values() if row.note]
    return table(("language", "what is to be known of its row"), noted, "Notes on the paper's table", folded=True)


def _joined(amounts: Mapping[str, int]) -> dict[str, int]:
    """Amounts of languages that the table does not tell apart, added up."""
    found: dict[str, int] = {}
    for language, amount in amounts.items():
        name = JOINED.get(language, language)
        found[name] = found.get(name, 0) + amount
    return found


def _percent(value: float) -> str:
    return f"{value:.2g} %" if value < 1 else f"{value:.1f} %" if value < 10 else f"{value:.0f} %"


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's: the correlation of the ranks, ties sharing theirs. None for less than three or equal ones."""
    if len(first) < 3 or len(set(first)) == 1 or len(set(second)) == 1:
        return None
    return float(np.corrcoef(ranks(first), ranks(second))[0, 1])


def ranks(values: Sequence[float]) -> list[float]:
    """From 1; equal values have the mean of their ranks."""
    _, number, counts = np.unique(np.asarray(values, float), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found: list[float] = ((2 * last - counts + 1) / 2)[number].tolist()
    return found
