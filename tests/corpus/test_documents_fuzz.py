"""Documents out of files that are damaged anywhere: no error but one line, and what is whole comes out."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather, parquet

from corpus.documents.read import read_rows
from corpus.documents.row import BadRow, TextRow
from corpus.documents.settings import DocumentColumns
from pipeline.errors import XlmrError

RECORDS = [
    {"text": f"text {n} " * 30, "url": f"https://x/{n}", "date": "2020", "meta": {"url": "x"}} for n in range(60)
]
LINES = "".join(json.dumps(record) + "\n" for record in RECORDS).encode()


def rows(name: str, content: bytes) -> list[TextRow | BadRow]:
    return list(read_rows(name, io.BytesIO(content), DocumentColumns(), 2**16, 2**24))


def as_parquet(compression: str) -> bytes:
    target = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(RECORDS), target, row_group_size=20, compression=compression)
    return target.getvalue()


def as_arrow() -> bytes:
    target = io.BytesIO()
    feather.write_feather(pa.Table.from_pylist(RECORDS), target, chunksize=20)
    return target.getvalue()


def as_stream() -> bytes:
    target = io.BytesIO()
    table = pa.Table.from_pylist(RECORDS)
    with pa.ipc.new_stream(target, table.schema) as writer:
        writer.write_table(table, max_chunksize=20)
    return target.getvalue()


FORMS = {
    "a.parquet": as_parquet("none"), "b.parquet": as_parquet("zstd"), "a.arrow": as_arrow(), "b.arrow": as_stream(),
    "a.jsonl": LINES, "b.jsonl": gzip.compress(LINES), "c.jsonl": lzma.compress(LINES), "d.jsonl": bz2.compress(LINES),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_damage_anywhere(name):
    rng = random.Random(name)
    for _ in range(60):
        content = bytearray(FORMS[name])
        for _ in range(rng.choice([1, 1, 3, 20])):
            place = rng.randrange(len(content))
            match rng.randrange(4):
                case 0:
                    content[place] ^= 1 << rng.randrange(8)
                case 1:
                    del content[place : place + rng.choice([1, 100, 3000])]
                case 2:
                    content[place:place] = rng.randbytes(rng.choice([1, 50]))
                case _:
                    content[place : place + 200] = bytes(len(content[place : place + 200]))
            content = content or bytearray(b"x")
        try:
            found = rows(name, bytes(content))
        except XlmrError as error:
            assert name in error.problem  # noqa: PT017 - a column name may be what was hit
        else:
            assert all(len(row.text.encode()) == row.size for row in found if isinstance(row, TextRow))


@given(st.lists(st.one_of(st.integers(0, 59), st.binary(max_size=40).map(lambda junk: junk.replace(b"\n", b"")))))
def test_every_whole_line_comes_out(parts):
    """Whatever stands in the lines between."""
    lines = [json.dumps(RECORDS[part]).encode() if isinstance(part, int) else part for part in parts]
    if (lines and lines[0].startswith((b"[", b"\xff\xfe", b"\xfe\xff"))) or lines[:1] == [b""]:
        lines.insert(0, b"{}")
    try:
        found = rows("x.jsonl", b"\n".join(lines))
    except XlmrError:  # no line has a text
        assert not any(isinstance(part, int) for part in parts)
        return
    texts = [row.text for row in found if isinstance(row, TextRow)]
    assert texts == [RECORDS[part]["text"] for part in parts if isinstance(part, int)]
