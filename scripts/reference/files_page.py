"""Formats of the files that a run writes: columns of tables, fields of records."""

from __future__ import annotations

import inspect
import tokenize
from importlib import import_module
from io import StringIO
from typing import Any

import pyarrow as pa

from pipeline.stage import load_object
from scripts.reference.markdown import first_sentence, table

SCHEMAS = (
    ("The corpus: `<language>/<bucket>-<number>.arrow`", "corpus.output.records:CORPUS", "corpus.output.records:MINED"),
    ("What mining dropped: `dropped/`", "corpus.output.records:DROPPED", "corpus.output.records:DROPPED"),
    ("A corpus without its text", "corpus.minify.minified:MINIFIED", "corpus.minify.minified:MINIFIED"),
    (
        "Records of a URL index that were chosen: `chosen/<shard>.parquet`",
        "corpus.crawl.chosen:SCHEMA",
        "corpus.crawl.chosen:SCHEMA",
    ),
    ("Near-duplicates", "corpus.duplicates.near:TABLE", "corpus.duplicates.near:TABLE"),
)
"""Title, the schema, and the schema beside whose columns the comments stand."""

RECORDS = (
    ("`manifest.json`, in each output", "pipeline.manifest:Manifest"),
    ("A file in `manifest.json`", "pipeline.manifest:FileRecord"),
    ("An input in `manifest.json`", "pipeline.manifest:InputRecord"),
)

OPENING = """# Files

`xlmr inspect PATH` shows any of them. Arrow files are read with pyarrow, duckdb, polars and `datasets`.
"""


def files_page() -> str:
    """Tables first, then records in JSON."""
    written = [OPENING]
    for title, schema, commented in SCHEMAS:
        written.append(f"\n## {title}\n\n{_columns(load_object(schema), comments(commented))}")
    for title, record in RECORDS:
        kind = load_object(record)
        written.append(f"\n## {title}\n\n{first_sentence(kind.__doc__)}\n\n{_fields(kind)}")
    return "".join(written)


def _columns(schema: pa.Schema, said: dict[str, str]) -> str:
    rows = [(f"`{field.name}`", str(field.type), said.get(field.name, "")) for field in schema]
    return table(("column", "type", ""), rows)


def _fields(kind: Any) -> str:
    rows = [
        (f"`{name}`", f"`{annotation}`")
        for name, annotation in inspect.get_annotations(kind).items()
        if not name.startswith("_")
    ]
    return table(("field", "type"), rows)


def comments(import_string: str) -> dict[str, str]:
    """Column -> the comment at the end of its line, in the schema that ``import_string`` names."""
    module, _, name = import_string.partition(":")
    source = inspect.getsource(import_module(module))
    lines = source[source.index(f"{name} = ") :].partition("\n)")[0]
    return {
        one.line.split('"')[1]: one.string.strip("# ")
        for one in tokenize.generate_tokens(StringIO(lines + "\n)").readline)
        if one.type == tokenize.COMMENT and '"' in one.line
    }
