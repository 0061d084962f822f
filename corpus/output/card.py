"""The dataset card of a corpus: README.md in Hugging Face's form, drawn from the manifests of the stages that made it.

``xlmr corpus card``, and corpus.regroup for the corpus that it writes. The same manifests give the same bytes: nothing
of when, where or how fast it was made stands in it. The texts that no manifest holds: corpus/output/card_texts.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from corpus.output import card_texts
from corpus.output.card_configs import card as with_configs
from corpus.output.card_configs import data_files
from corpus.output.corpus_folder import COUNTS, STAGE, CorpusFile, corpus_files, find_corpus
from corpus.output.records import BUCKETS, CORPUS
from corpus.output.step_counts import in_order, steps, totals
from pipeline.config import Section
from pipeline.counts import Counts
from pipeline.errors import UsageError
from pipeline.formatting import size
from pipeline.history import History, Made, described_settings, history_above, history_of, setting_of
from pipeline.manifest import read_manifest
from pipeline.markdown import card_of, hub_languages, markdown_table, settings_table
from pipeline.stage import Inputs
from pipeline.storage import atomic_write, read_json

CARD = "README.md"

SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B",
         "10B<n<100B", "100B<n<1T", "n>1T")  # fmt: skip
"""Hugging Face's size_categories: from one to the next ten times as many, beginning under 1,000."""


def card(corpus: Path, *, out: Path | None = None) -> None:
    """Draw the dataset card of a corpus.

    Parameters
    ----------
    corpus
        The output folder of corpus.regroup, a run's folder, or its YAML file.
    out
        File to write; printed if left out.
    """
    folder = find_corpus(corpus)
    manifest = read_manifest(folder)
    if manifest is None:
        raise UsageError(
            f"{folder}: has no manifest, so nothing says how it was made", "name a corpus of corpus.regroup"
        )
    history = {**history_above(folder, manifest), STAGE: Made.of(manifest)}
    text = draw_card(folder, history)
    if out is None:
        sys.stdout.write(text)
        return
    with atomic_write(out, "w") as handle:
        handle.write(text)
    print(out)


def write_card(
    output: Path, inputs: Inputs, settings: Mapping[str, Any], counts: Counts, files: Sequence[CorpusFile]
) -> None:
    """Write the card of the corpus that corpus.regroup has just written.

    ``settings`` are those that decide its result, as a manifest holds them; ``counts`` what it counted; ``files`` all
    of them, some of which may be on other machines only.
    """
    text = draw_card(output, {**history_of(inputs), STAGE: Made(settings, counts)}, files)
    with atomic_write(output / CARD, "w") as handle:
        handle.write(text)


def draw_card(corpus: Path, history: History, files: Sequence[CorpusFile] | None = None) -> str:
    """The card. ``history`` holds corpus.regroup itself, and what it was made from as far as that is known.

    ``files`` are those of the corpus; None: those in its folder.
    """
    table = read_json(corpus / COUNTS)
    sizes, documents = totals(table, "bytes"), totals(table, "documents")
    order = in_order(sizes)
    parts = [
        f"# Web text in {len(order)} language{'s' if len(order) != 1 else ''}",
        _what_it_is(sum(documents.values()), sum(sizes.values()), len(order), history),
        "## Languages",
        *_languages(table, order),
        "## How it was made",
        *_how_it_was_made(history),
        "## Fields",
        *_fields(),
        "## How to load it",
        card_texts.LOADING.replace("LANGUAGE", order[0] if order else "en"),
        "## Limits and known biases",
        *_limits(table, history),
        "## Licence",
        card_texts.LICENCE_COMMON_CRAWL if is_common_crawl(history) else card_texts.LICENCE_OTHER,
        "## Citation",
        card_texts.CITATION,
    ]
    text = card_of(_head(order, sum(documents.values()), history), parts)
    return with_configs(text, data_files("arrow", corpus_files(corpus) if files is None else files))


def _head(languages: Sequence[str], documents: int, history: History) -> dict[str, Any]:
    tags = sorted({bcp47(language) for language in languages})
    licence = (
        {
            "license": "other",
            "license_name": "commoncrawl-terms-of-use",
            "license_link": "https://commoncrawl.org/terms-of-use",
        }
        if is_common_crawl(history)
        else {"license": "unknown"}
    )
    return {
        "pretty_name": f"Web text in {len(languages)} language{'s' if len(languages) != 1 else ''}",
        # Hugging Face takes two or three letters here and the rest of a BCP-47 tag in a field of its own.
        "language": hub_languages(tags),
        "language_bcp47": tags,
        **licence,
        "multilinguality": "multilingual" if len(languages) > 1 else "monolingual",
        "size_categories": size_category(documents),
        "task_categories": ["fill-mask", "text-generation"],
        "task_ids": ["language-modeling", "masked-language-modeling"],
        "source_datasets": "original",
        "annotations_creators": "no-annotation",
        "language_creators": "found",
    }


def bcp47(language: str) -> str:
    """The BCP-47 tag of a code of ours: CC100's, or what the identifier's model calls it."""
    return card_texts.BCP47.get(language, language.replace("_", "-"))


def size_category(documents: int) -> str:
    """Hugging Face's word for a number of rows."""
    place = 0
    while place < len(SIZES) - 1 and documents >= 1000 * 10**place:
        place += 1
    return SIZES[place]


def is_common_crawl(history: History) -> bool:
    """Whether the crawl is CommonCrawl's, by the name of a dump or the addresses of its files."""
    fetch = history.get("corpus.fetch")
    settings = fetch.config.get("fetch", {}) if fetch else {}
    addresses = [str(settings.get("crawl", "")), *(fetch.outside if fetch else ())]
    return bool(settings.get("dumps")) or any("commoncrawl" in a or "crawl-data/" in a for a in addresses)


def _what_it_is(documents: int, text: int, languages: int, history: History) -> str:
    dumps = setting_of(history, "corpus.fetch", "fetch.dumps") or []
    source = "CommonCrawl" if is_common_crawl(history) else "a web crawl"
    where = f"{source} ({', '.join(dumps)})" if dumps else source
    return (
        f"{documents:,} documents, {size(text)} of text in UTF-8, {languages} languages, out of {where}: deduplicated "
        "by line, identified by language, and cut into buckets by perplexity, as CCNet and CC100 were."
    )


def _languages(table: Counts, order: Sequence[str]) -> Iterator[str]:
    yield (
        "Largest first. Each is a configuration of its own, called by its code. Buckets: head is the text most like "
        "the clean text that a language's model was trained on, tail the least; all where a language has no model."
    )
    units = [unit for unit in ("documents", "lines", "characters") if unit in table]
    sums = {unit: totals(table, unit) for unit in (*units, "bytes")}
    buckets = [bucket for bucket in BUCKETS if any(bucket in row for row in table["documents"].values())]
    rows = [
        (
            language,
            bcp47(language),
            *(sums[unit][language] for unit in units),
            size(sums["bytes"][language]),
            *(table["documents"][language].get(bucket, 0) for bucket in buckets),
        )
        for language in order
    ]
    yield markdown_table(("code", "BCP-47", *units, "text", *(f"documents in {bucket}" for bucket in buckets)), rows)


def _how_it_was_made(history: History) -> Iterator[str]:
    from corpus.stages import PACKAGE

    mined = history.get("corpus.mine")
    if mined and (code := mined.code(card_texts.USED)):
        yield f"By {code}."
    shown: set[tuple[str, str, str]] = set()
    done = [stage for stage in PACKAGE.stages if stage.name in history and not _is_off(history[stage.name])]
    for number, stage in enumerate(done, 1):
        made = history[stage.name]
        yield f"{number}. **{stage.name}**: {stage.summary}.{_counted(made.counts)}"
        # Stages share sections, as how a record is read: they stand with the first.
        new = [one for one in _settings(stage.config, made.config) if one not in shown]
        shown.update(new)
        if new:
            yield settings_table(new)
    if mined:
        hashed, regrouped = history.get("corpus.hash"), history[STAGE]
        yield "### What was left after each step, and why the rest went"
        rows = [
            (f"**{row.what}**" if row.left else f"− {row.what}", row.documents, row.lines, row.characters)
            for row in steps(hashed.counts if hashed else {}, mined.counts, regrouped.counts)
        ]
        yield markdown_table(("step", "documents", "lines", "characters"), rows)
        if masked := {kind: count for kind, count in mined.counts.get("masked", {}).items() if count}:
            yield f"Masked in the text: {', '.join(f'{kind} {count:,}' for kind, count in sorted(masked.items()))}."
        yield (
            "A line is counted once, with the first reason that applied to it. Before language identification nobody "
            "knows languages; characters are without the newlines between lines."
        )


def _is_off(made: Made) -> bool:
    """Whether the stage ran only to say that it is not asked for."""
    return any(isinstance(section, Mapping) and section.get("enabled") is False for section in made.config.values())


def _counted(counts: Counts) -> str:
    """The plain counts of a stage, in a sentence."""
    plain = [f"{name.replace('_', ' ')} {value:,}" for name, value in sorted(counts.items()) if isinstance(value, int)]
    return f" Counted: {', '.join(plain)}." if plain else ""


def _settings(model: type[Section], values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Each setting that decides the result: dotted name, value, description. Rules that are off are left out."""
    rules = values.get("filters", {}).get("rules", ())
    for name, value, description in described_settings(model, values):
        path = name.split(".")
        if not (path[0] == "filters" and len(path) > 2 and path[1] not in (*rules, "languages")):
            yield name, value, description


def _fields() -> Iterator[str]:
    yield "One row a document, or the part of a document in one language where paragraphs were decided on."
    yield markdown_table(
        ("field", "type", "meaning"),
        [(f"`{column.name}`", str(column.type), card_texts.FIELDS[column.name]) for column in CORPUS],
    )


def _limits(table: Counts, history: History) -> Iterator[str]:
    unit = setting_of(history, "corpus.mine", "mine.unit")
    threshold = setting_of(history, "corpus.mine", "language_id.threshold")
    thresholds = setting_of(history, "corpus.mine", "language_id.thresholds") or {}
    own = "".join(f", {language} {value}" for language, value in sorted(thresholds.items()))
    masked = setting_of(history, "corpus.mine", "filters.mask")
    rules = setting_of(history, "corpus.mine", "filters.rules")
    without = sorted(language for language, buckets in table["documents"].items() if "all" in buckets)
    near = setting_of(history, "corpus.near_duplicates", "near_duplicates.enabled")
    prior = setting_of(history, "corpus.mine", "language_id.document_prior") or {}
    by_prior = [card_texts.BY_PRIOR.format(rate=prior["rare_rate"])] if prior.get("enabled") else []
    first = "keep_first" in str(setting_of(history, "corpus.duplicates", "duplicates.keep"))
    yield "\n".join(
        f"- {line}"
        for line in (
            *card_texts.LIMITS,
            card_texts.KEEPS_FIRST if first else card_texts.DROPS_ALL,
            card_texts.WITHOUT_NEAR_DUPLICATES if near else card_texts.WITH_NEAR_DUPLICATES,
            *([card_texts.BY_PARAGRAPH, *by_prior] if unit == "paragraph" else [card_texts.BY_DOCUMENT]),
            *([card_texts.THRESHOLD.format(threshold=f"{threshold}{own}")] if threshold is not None else []),
            *([card_texts.WITHOUT_MODEL.format(languages=", ".join(without))] if without else []),
            card_texts.MASKED.format(kinds=", ".join(masked)) if masked else card_texts.NOT_MASKED,
            card_texts.FILTERED.format(rules=", ".join(rules)) if rules else card_texts.NOT_FILTERED,
        )
    )
