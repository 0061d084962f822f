"""What the report says of the corpus: text by language, what each step kept, CC100 beside it, the identifier, the
cut-offs. Reads the counts and tables of the stages, and no text.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from corpus.output.corpus_folder import COUNTS
from corpus.report.amounts import amount_section
from corpus.report.identifier import identifier_section
from corpus.report.kept import kept_section, language_section
from corpus.report.papers import papers_section
from corpus.report.perplexity import perplexity_section
from pipeline.counts import Counts
from pipeline.manifest import read_manifest
from pipeline.report.page import ReportSection
from pipeline.storage import read_json

SEQUENCES = "sequences.json"
"""What tokenizer.encode writes: tokens by language."""


def sections(outputs: Mapping[str, Path]) -> list[ReportSection]:
    """The sections of this package, for the stages that have run."""
    made: list[ReportSection | None] = []
    table = read_json(outputs["corpus.regroup"] / COUNTS) if "corpus.regroup" in outputs else {}
    hashed, mined, regrouped = (_counts(outputs, f"corpus.{step}") for step in ("hash", "mine", "regroup"))
    tokens = _tokens(outputs)
    if table.get("bytes"):
        made.append(amount_section(table, tokens))
    if hashed and mined:
        made.append(kept_section(hashed, mined, regrouped))
    if mined:
        made.append(language_section(mined, table))
    if table.get("bytes"):
        made.append(papers_section(table, tokens))
    if "corpus.mine" in outputs:
        made.append(identifier_section(outputs["corpus.mine"]))
    if "corpus.cutoffs" in outputs:
        made.append(perplexity_section(outputs["corpus.cutoffs"]))
    return [section for section in made if section is not None]


def _counts(outputs: Mapping[str, Path], stage: str) -> Counts:
    manifest = read_manifest(outputs[stage]) if stage in outputs else None
    return manifest.counts if manifest else {}


def _tokens(outputs: Mapping[str, Path]) -> dict[str, int]:
    """Tokens of each language, if the corpus was encoded; another package's file, known by its form alone."""
    if "tokenizer.encode" not in outputs:
        return {}
    languages = read_json(outputs["tokenizer.encode"] / SEQUENCES)["languages"]
    return {language: sum(split["tokens"] for split in entry.values()) for language, entry in languages.items()}
