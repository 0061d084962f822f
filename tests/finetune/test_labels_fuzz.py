"""Damaged labelled files of every format: examples, or one line that names the file; never another error.

Whole files are changed by bytes, JSON also by values, and what is packed is damaged inside or outside of its archive.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune.data.examples import Classification, Question, Regression, Tagging, TaskData
from finetune.data.reading import read_task
from finetune.data.settings import OwnTask, TaskSettings
from finetune.predict_files import read_blocks
from pipeline.errors import XlmrError

TABLE = "text\tpair\tlabel\nSeñor 👍\tb\tx\nc d\te\ty\nf\tg\tx\n"
CSV = 'text,pair,label\n"Señor, ""👍""\nb",c,x\nd,e,y\n'
CONLL = "# id 1\nNew York\tB-LOC\nis\tO\n\n-DOCSTART-\tO\nÄ\tI-PER\nß\tI-PER\n"
CONLLU = "# text = a b\n1-2\tab" + 8 * "\t_" + "\n1\ta\ta\tDET" + 6 * "\t_" + "\n2\tb\tb\tNOUN" + 6 * "\t_" + "\n\n"
SQUAD: dict[str, Any] = {
    "version": "2.0",
    "data": [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": "Cafe\u0301 👍 in Ä is old",
                    "qas": [
                        {"id": "1", "question": "?", "answers": [{"text": "Ä", "answer_start": 11}]},
                        {"id": 2, "question": "?", "answers": [{"text": "Café", "answer_start": 1}]},
                        {"id": "3", "question": "?", "answers": [], "is_impossible": True},
                    ],
                }
            ],
        }
    ],
}
JSON_ROWS = [{"text": "Señor 👍", "pair": "b", "label": "x"}, {"text": "c", "pair": "d", "label": 2}]


def json_lines(rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows) if isinstance(rows, list) else json.dumps(rows)


FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    "tsv": (TABLE, {"pair_column": "pair"}),
    "regression": ("text\tlabel\na\t1.5\nb\t2\n", {"kind": "regression"}),
    "csv": (CSV, {"format": "csv", "pair_column": "pair"}),
    "jsonl": (json_lines(JSON_ROWS), {"format": "jsonl", "pair_column": "pair", "id_column": ""}),
    "conll": (CONLL, {"kind": "tagging", "format": "conll"}),
    "bioes": ("A S-PER\nB B-LOC\nC E-LOC\n", {"kind": "tagging", "format": "conll", "scheme": "bioes"}),
    "conllu": (CONLLU, {"kind": "tagging", "format": "conll"}),
    "squad": (json.dumps(SQUAD, ensure_ascii=False), {"kind": "span", "format": "squad"}),
}

Read = TypeVar("Read")
Damage = Callable[[bytes], bytes]
FRAGMENTS = [
    b"\t",
    b"\n",
    b"\r",
    b'"',
    b",",
    b"#",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"-DOCSTART-",
    b"I-",
    b"{",
    b"[]",
    b" ",
]


@st.composite
def damages(draw: st.DrawFn) -> Damage:
    """A byte changed, a part cut out or said twice, something put in, or the end cut off."""
    kind = draw(st.sampled_from(["change", "cut", "twice", "put", "end", "none"]))
    place, length = draw(st.floats(0, 1)), draw(st.integers(1, 40))
    value = draw(st.sampled_from(FRAGMENTS) | st.binary(min_size=1, max_size=3))

    def damage(content: bytes) -> bytes:
        at = int(place * len(content))
        head, tail = content[:at], content[at:]
        return {
            "change": head + value[:1] + tail[1:],
            "cut": head + tail[length:],
            "twice": head + tail[:length] + tail,
            "put": head + value + tail,
            "end": head,
            "none": content,
        }[kind]

    return damage


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x", content)
    return buffer.getvalue()


ARCHIVES: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zip": zipped,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}


def read(name: str, path: Path) -> TaskData:
    file = str(path)
    own = OwnTask(train=file, dev=file, test=file, **FORMATS[name][1])
    return read_task(TaskSettings(name="own", own=own))


def or_line(path: Path, reads: Callable[[], Read]) -> Read | None:
    """What is read; None where there is one line that names the file instead."""
    said = ""
    try:
        return reads()
    except XlmrError as error:
        said = str(error)
    assert str(path) in said
    assert "\n" not in said
    return None


def read_or_line(name: str, path: Path) -> None:
    data = or_line(path, lambda: read(name, path))
    if data is None:
        return
    for _, _, examples in data.splits():
        for one in examples:
            check_example(one, data)


def check_example(one: Any, data: TaskData) -> None:
    """What training relies on: text that UTF-8 can write, labels that are known, answers that stand at their place."""
    if isinstance(one, Tagging):
        "".join(one.words).encode()
        assert len(one.words) == len(one.tags)
        assert {*one.tags} <= {*data.labels}
    elif isinstance(one, Question):
        (one.question + one.context + one.id + one.title).encode()
        assert all(one.context[start : start + len(text)] == text for text, start in one.answers)
    else:
        (one.text + (one.pair or "")).encode()
        assert one.label in data.labels if isinstance(one, Classification) else isinstance(one, Regression)


BOUNDED = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("name", FORMATS)
def test_whole_files_are_read(name: str, tmp_path: Path) -> None:
    for suffix, pack in ARCHIVES.items():
        path = tmp_path / f"x.{name}{suffix}"
        path.write_bytes(pack(FORMATS[name][0].encode()))
        assert read(name, path).train["en"]


@pytest.mark.parametrize("name", FORMATS)
@BOUNDED
@given(inside=st.lists(damages(), max_size=3), outside=damages(), suffix=st.sampled_from(sorted(ARCHIVES)))
def test_damaged_files_are_examples_or_a_line(
    name: str, inside: list[Damage], outside: Damage, suffix: str, tmp_path: Path
) -> None:
    content = FORMATS[name][0].encode()
    for damage in inside:
        content = damage(content)
    path = tmp_path / f"x{suffix}"
    path.write_bytes(outside(ARCHIVES[suffix](content)))
    read_or_line(name, path)


VALUES = st.sampled_from(
    [None, True, 0, -1, 2**70, 1.5, float("nan"), "", " ", "x", "\ud83d", "a\nb", [], {}, [[]], [{}]]
)


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """JSON with one value replaced, left out, or put in twice."""
    if isinstance(value, dict | list) and value and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
        copy = value.copy()
        copy[key] = draw(changed(value[key]))
        return copy
    how = draw(st.sampled_from(["replace", "empty", "twice"]))
    if isinstance(value, dict | list) and value and how != "replace":
        return type(value)() if how == "empty" or isinstance(value, dict) else [*value, *value]
    return draw(VALUES)


@pytest.mark.parametrize("name", ["squad", "jsonl"])
@BOUNDED
@given(data=st.data())
def test_json_of_other_shapes_is_examples_or_a_line(name: str, data: st.DataObject, tmp_path: Path) -> None:
    value = data.draw(changed(data.draw(changed(SQUAD if name == "squad" else JSON_ROWS))))
    path = tmp_path / "x.json"
    path.write_text(json.dumps(value) if name == "squad" else json_lines(value))
    read_or_line(name, path)


@pytest.mark.parametrize("name", ["tsv", "csv", "jsonl"])
@BOUNDED
@given(inside=st.lists(damages(), max_size=3), outside=damages(), suffix=st.sampled_from(["", ".gz", ".zip"]))
def test_rows_to_answer_are_as_many_as_lines(
    name: str, inside: list[Damage], outside: Damage, suffix: str, tmp_path: Path
) -> None:
    content = FORMATS[name][0].encode()
    for damage in inside:
        content = damage(content)
    path = tmp_path / f"x.{name}{suffix}"
    packed = ARCHIVES[suffix](content)
    path.write_bytes(outside(packed))
    rows = or_line(path, lambda: [row for block in read_blocks(str(path), size=2) for row in block])
    if rows is None:
        return
    if outside(packed) == packed and name != "csv":
        lines = content.removesuffix(b"\n").count(b"\n") + 1
        assert len(rows) == lines - (name == "tsv")
    for row in rows:
        assert row.fault or all(isinstance(key, str) for key in row.values)
