"""``xlmr corpus export``: the corpus as Parquet, as cc_net's JSON lines, or as the text of the CC100 release.

Each file of the corpus becomes a file of its own (text: a block of its language's file), worked on by processes and
published whole; the same command resumes where it was stopped, and with other languages it adds them.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from corpus.output.corpus_folder import CorpusFile, corpus_files, corpus_identity, find_corpus
from corpus.output.tool_folder import tool_folder
from pipeline.context import Context
from pipeline.counts import Counts, sum_counts
from pipeline.errors import UsageError
from pipeline.formatting import counted, size
from pipeline.storage import atomic_write, read_json, write_json

Form = Literal["parquet", "jsonl", "text"]
LEVELS = {"parquet": (3, 1, 22), "jsonl": (6, 1, 9), "text": (6, 0, 9)}
"""Usual, least and most effort of zstd, gzip and xz."""

LANGUAGES = ".languages.json"


def export(
    corpus: Path,
    out: Path,
    *,
    to: Form,
    language: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    bucket: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    level: int | None = None,
    workers: int | None = None,
) -> None:
    """Write the corpus in another form.

    Parameters
    ----------
    corpus
        The output folder of corpus.regroup, a run's folder, or its YAML file.
    out
        The folder to write into. The same command again resumes; other languages are added.
    to
        parquet: <language>/<bucket>-<number>.parquet, jsonl: cc_net's files, text: CC100's <language>.txt.xz.
    language
        Languages to write; all if left out.
    bucket
        Buckets to write: head, middle, tail, all; every one if left out.
    level
        Effort of compression: 1 to 22 for parquet (usually 3), 1 to 9 for jsonl and 0 to 9 for text (usually 6).
    workers
        Processes; usually one a core.
    """
    folder = find_corpus(corpus)
    chosen_level = check_level(to, level)
    asked = {"corpus": corpus_identity(folder), "form": to, "buckets": sorted(set(bucket)), "level": chosen_level}
    corpus_files(folder, language, bucket)
    with tool_folder("corpus.export", out, asked, workers) as context:
        languages = _with_earlier(out, language)
        files = corpus_files(folder, languages, bucket)
        counts = write_form(to, files, chosen_level, context)
        write_card(folder, out, to, files)
    print(
        f"{counted(counts.get('documents', 0), 'document')}, {size(counts.get('text_bytes', 0))} of text, "
        f"{size(counts.get('file_bytes', 0))} in {counted(counts.get('files', 0), 'file')}",
        file=sys.stderr,
    )
    print(out)


def check_level(to: Form, level: int | None) -> int:
    """The effort of compression. Errors: UsageError where the form does not know it."""
    usual, least, most = LEVELS[to]
    if level is not None and not least <= level <= most:
        raise UsageError(f"--level {level}: {to} takes {least} to {most}", f"leave it out for {usual}")
    return usual if level is None else level


def _with_earlier(out: Path, languages: tuple[str, ...]) -> list[str]:
    """These languages and those that the folder was asked to hold before; empty for all."""
    path = out / LANGUAGES
    if path.exists():
        earlier = read_json(path)
        languages = tuple({*earlier, *languages}) if earlier and languages else ()
    write_json(path, sorted(set(languages)))
    return sorted(set(languages))


def write_form(to: Form, files: list[CorpusFile], level: int, context: Context) -> Counts:
    """Write ``files`` in one form into the context's folder; give what was counted."""
    if to == "text":
        from corpus.output.cc100_text import write_text

        return write_text(files, level, context)
    from corpus.output.file_formats import write_jsonl, write_parquet

    function = write_parquet if to == "parquet" else write_jsonl
    return sum_counts(context.map_shards(partial(function, level), {file.name: file for file in files}))


def write_card(corpus: Path, out: Path, to: Form, files: list[CorpusFile]) -> None:
    """README.md with the ``configs`` that ``datasets.load_dataset(folder, language)`` reads."""
    from corpus.output.card_configs import card, data_files

    source = corpus / "README.md"
    text = source.read_text(encoding="utf-8") if source.exists() else ""
    with atomic_write(out / "README.md", "w") as handle:
        handle.write(card(text, data_files(to, files)))
