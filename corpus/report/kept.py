"""What was kept, and why the rest went: over the whole crawl, and language by language from where they are known."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from corpus.output.records import BUCKETS
from corpus.output.step_counts import (
    AFTER_DEDUPLICATION,
    DUMPS,
    FILTERS,
    IDENTIFICATION,
    LANGUAGES,
    UNITS,
    by_language,
    in_order,
    is_by_document,
    not_read,
    reasons_by_step,
    steps,
)
from pipeline.counts import Counts
from pipeline.report.charts import bars, stack
from pipeline.report.page import ReportSection, table

QUIET = ("quiet", "second", "tail", "contrast", "middle")
"""Colours of the reasons; those after the fifth are one part."""

HEADINGS = {
    IDENTIFICATION: "language unsure",
    LANGUAGES: "not asked for",
    DUMPS: "other dumps",
    FILTERS: "filtered",
}


def kept_section(hashed: Counts, mined: Counts, regrouped: Counts) -> ReportSection:
    """The counts of corpus.hash, corpus.mine and, if it has run, corpus.regroup."""
    read, kept = mined["read"], mined["kept"]
    reasons = [one for of_step in reasons_by_step(mined["dropped"]).values() for one in of_step]
    text = _parts(
        ("kept", kept["characters"]), [(reason, amounts["characters"]) for reason, amounts in reasons], percent=True
    )
    lost = [*((reason, amounts["documents"]) for reason, amounts in reasons), *not_read(hashed)]
    records = _parts(("kept", kept["documents"]), lost, percent=False)
    share = kept["characters"] / max(read["characters"], 1)
    whole = is_by_document(mined)
    counted = "documents" if whole else "documents of one language each"
    lead = (
        f"Of {hashed.get('records', 0):,} records in the crawl, {kept['documents']:,} {counted} were kept, and of the "
        f"text in the {read['documents']:,} that were long enough {share:.0%}. A line is counted once, with the first "
        "reason that applied to it; one of a document that goes as a whole is counted with the document."
    )
    rows = [
        (f"= {row.what}" if row.left else f"− {row.what}", row.documents, row.lines, row.characters)
        for row in steps(hashed, mined, regrouped)
    ]
    body: Markup = stack(text, "Characters of the documents that were read")
    if whole:
        body += stack(records, "Records of the crawl")
    body += table(("step by step", "documents", "lines", "characters"), rows, folded=False)
    if masked := {kind: count for kind, count in mined.get("masked", {}).items() if count}:
        body += table(("personal data", "masked"), sorted(masked.items()), "What was masked in the text that was kept")
    figures = [("of the characters read were kept", f"{share:.0%}"), ("documents", f"{kept['documents']:,}")]
    stage = "corpus.regroup" if regrouped else "corpus.mine"
    return ReportSection("What was kept, and why the rest went", lead, body, figures, stage)


def _parts(
    kept: tuple[str, int], lost: Sequence[tuple[str, int]], *, percent: bool
) -> list[tuple[str, float, str, str]]:
    """The parts of a bar: what was kept, the largest losses, and the others as one."""
    ordered = sorted([one for one in lost if one[1]], key=lambda pair: -pair[1])
    shown, rest = ordered[: len(QUIET)], ordered[len(QUIET) :]
    parts = [(*kept, "accent"), *((*one, colour) for one, colour in zip(shown, QUIET, strict=False))]
    if rest:
        parts.append((f"{len(rest)} other reasons", sum(count for _, count in rest), "head"))
    total = max(sum(count for _, count, _ in parts), 1)
    return [(what, count, f"{count / total:.1%}" if percent else f"{count:,}", colour) for what, count, colour in parts]


def language_section(mined: Counts, corpus: Counts) -> ReportSection | None:
    """Language by language, a table for each unit. ``corpus`` is counts.json, or empty; None if nothing was kept."""
    characters = by_language(mined, corpus, "characters")
    if not characters:
        return None
    order = in_order({language: row["kept"] for language, row in characters.items()})
    lead = (
        "What each step left of each language, as far as it can know the language: before identification there is "
        "none. Characters kept are without the newlines between lines, those of the buckets with them."
    )
    body = _kept_bars({language: characters[language] for language in order})
    for unit in UNITS:
        body += _table_of(unit, order, by_language(mined, corpus, unit))
    return ReportSection("Step by step, by language", lead, body, stage="corpus.mine")


def _kept_bars(characters: dict[str, dict[str, int]]) -> Markup:
    """Percent kept of what deduplication left; nothing where mining did not count what it dropped by language.

    A language of which nothing was kept has no bar: most are what the identifier guessed and was not sure of.
    """
    known = [(language, row) for language, row in characters.items() if row.get(AFTER_DEDUPLICATION) and row["kept"]]
    shares = [(language, 100 * row["kept"] / row[AFTER_DEDUPLICATION]) for language, row in known]
    if not shares:
        return Markup()
    title = "Characters kept of what deduplication left"
    return bars([(language, share, f"{share:.0f} %") for language, share in shares], title=title)


def _table_of(unit: str, order: Sequence[str], found: dict[str, dict[str, int]]) -> Markup:
    columns = [AFTER_DEDUPLICATION, *HEADINGS, "kept", *BUCKETS]
    columns = [c for c in columns if any(c in row for row in found.values())]
    # A step that dropped nothing at all is not worth a column.
    columns = [c for c in columns if c not in HEADINGS or any(row[c] for row in found.values())]
    rows = [(language, *(found[language].get(c) for c in columns)) for language in order]
    return table(("language", *(HEADINGS.get(c, c) for c in columns)), rows, unit.capitalize(), folded=True)
