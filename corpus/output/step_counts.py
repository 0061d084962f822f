"""Documents, lines and characters that each step left, from the counts of the stages.

A step counts documents, lines and characters. Before language identification nobody knows languages; from then on they
are counted apart, and the buckets from regrouping on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from corpus.output.records import BUCKETS
from pipeline.counts import Counts

UNITS = ("documents", "lines", "characters")

DEDUPLICATION = "deduplication"
IDENTIFICATION = "language identification"
FILTERS = "filters"
LANGUAGES = "the choice of languages"
DUMPS = "the choice of dumps"

STEP_OF = {
    "duplicate lines": DEDUPLICATION,
    "lines repeated in a document": DEDUPLICATION,
    "nothing but duplicate lines": DEDUPLICATION,
    "language unsure": IDENTIFICATION,
    "not one of the languages asked for": LANGUAGES,
    "another dump's language": DUMPS,
}
"""The step that drops for a reason; all other reasons are those of the filters."""

STEPS = (DEDUPLICATION, IDENTIFICATION, LANGUAGES, DUMPS, FILTERS)
"""In their order."""

AFTER_DEDUPLICATION = f"after {DEDUPLICATION}"

NEAR_DUPLICATES = "near_duplicates_left_out"
"""What corpus.regroup calls them in its counts."""


@dataclass(frozen=True)
class Amount:
    """A row: what is counted, and how much. None where that is not known."""

    what: str
    documents: int | None = None
    lines: int | None = None
    characters: int | None = None
    left: bool = False
    """Whether this is what was left after a step, not what the step dropped."""


def steps(hashed: Counts, mined: Counts, regrouped: Counts) -> list[Amount]:
    """From the records of the crawl to the corpus: what each step dropped, by reason, and what it left.

    The counts of corpus.hash, corpus.mine and corpus.regroup; the last may be empty.
    """
    rows = [
        Amount("records in the crawl", hashed.get("records"), left=True),
        *(Amount(reason, count) for reason, count in not_read(hashed)),
        Amount("read", **mined["read"], left=True),
    ]
    remaining: Counts = dict(mined["read"])
    by_step = reasons_by_step(mined["dropped"])
    for step, reasons in by_step.items():
        rows += [Amount(reason, **amounts) for reason, amounts in reasons]
        for _, amounts in reasons:
            remaining = {unit: remaining[unit] - amounts[unit] for unit in UNITS}
        if step != list(by_step)[-1]:
            # By paragraph a document of two languages becomes two: then what is left is no difference.
            documents = remaining["documents"] if is_by_document(mined) else None
            rows.append(Amount(f"after {step}", documents, remaining["lines"], remaining["characters"], left=True))
    rows.append(Amount("kept", **mined["kept"], left=True))
    if regrouped.get(NEAR_DUPLICATES):
        rows.append(Amount("near-duplicates", regrouped[NEAR_DUPLICATES]))
        amounts = {unit: regrouped.get(unit) for unit in UNITS}
        rows.append(Amount("in the corpus", **amounts, left=True))
    return rows


def not_read(hashed: Counts) -> list[tuple[str, int]]:
    """Records that never became documents, by reason, most first."""
    left_out = hashed.get("left_out", {})
    known = {"too short": hashed.get("too_short", 0), "cannot be read": hashed.get("bad_records", 0), **left_out}
    return sorted(((reason, count) for reason, count in known.items() if count), key=lambda pair: (-pair[1], pair[0]))


def reasons_by_step(dropped: Mapping[str, Counts]) -> dict[str, list[tuple[str, Counts]]]:
    """The reasons of each step that dropped something, most characters first."""
    ordered = sorted(dropped.items(), key=lambda item: (-item[1]["characters"], -item[1]["documents"], item[0]))
    found = {step: [one for one in ordered if STEP_OF.get(one[0], FILTERS) == step] for step in STEPS}
    return {step: reasons for step, reasons in found.items() if reasons}


def is_by_document(mined: Counts) -> bool:
    """Whether every document was kept or dropped as a whole, so that documents add up."""
    dropped = sum(amounts["documents"] for amounts in mined["dropped"].values())
    return bool(mined["read"]["documents"] - dropped == mined["kept"]["documents"])


def by_language(mined: Counts, table: Counts, unit: str) -> dict[str, dict[str, int]]:
    """Of each language, in ``unit``: what deduplication left, what each later step dropped, kept, and the buckets.

    ``table`` is counts.json of the corpus. What was dropped is there if mining counted it by language
    (``dropped_by_language``: language -> reason -> amounts); of what is unsure, the language is the likeliest one.
    """
    drops: Mapping[str, Mapping[str, Counts]] = mined.get("dropped_by_language", {})
    found = {}
    for language in sorted({*mined["languages"], *drops, *table.get("documents", {})}):
        kept = mined["languages"].get(language, {}).get(unit, 0)
        row = {}
        if drops:
            dropped = {step: _dropped(drops.get(language, {}), step, unit) for step in STEPS[1:]}
            row = {AFTER_DEDUPLICATION: kept + sum(dropped.values()), **dropped}
        row["kept"] = kept
        if unit in table:
            row |= {bucket: table[unit].get(language, {}).get(bucket, 0) for bucket in BUCKETS}
        found[language] = row
    return found


def _dropped(reasons: Mapping[str, Counts], step: str, unit: str) -> int:
    return sum(amounts[unit] for reason, amounts in reasons.items() if STEP_OF.get(reason, FILTERS) == step)


def totals(table: Counts, unit: str) -> dict[str, int]:
    """Of each language the sum over its buckets, in a unit of counts.json; empty where that does not have it."""
    return {language: sum(buckets.values()) for language, buckets in table.get(unit, {}).items()}


def in_order(sizes: Mapping[str, int]) -> list[str]:
    """Languages, the largest first."""
    return sorted(sizes, key=lambda language: (-sizes[language], language))
