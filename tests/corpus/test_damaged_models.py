"""Damaged models and texts: each is one line that names the file, at once, in the memory that the file justifies."""

from __future__ import annotations

import json
import random
import struct
import tracemalloc
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from language_models import clean_text, train_models

from benchmarks.damage import damage_bytes, damage_json
from corpus.language.models.fast_text import FastText
from corpus.perplexity.cutoff_table import read_cutoffs
from corpus.perplexity.ready_made import ReadyMade, take_language
from corpus.perplexity.score import load_ngrams, try_models
from pipeline.cli import main
from pipeline.errors import XlmrError


def fast_text_model(labels=("de", "en"), buckets=8, pruned=None, loss=3, value=0.5, counts=None) -> bytes:
    """The bytes of a classifier of 4 columns with one word, as fastText writes it."""
    counts = counts or [9 - i for i in range(len(labels))]
    head = struct.pack("<14i", 793712314, 12, 4, 5, 1, 1, 5, 1, loss, 3, buckets, 2, 3, 100) + struct.pack("<d", 1e-4)
    kept = -1 if pruned is None else len(pruned)
    head += struct.pack("<iiiqq", 1 + len(labels), 1, len(labels), 100, kept)
    head += b"haus\0" + struct.pack("<qb", 5, 0)
    for label, count in zip(labels, counts, strict=True):
        head += f"__label__{label}".encode() + b"\0" + struct.pack("<qb", count, 1)
    for number, row in (pruned or {}).items():
        head += struct.pack("<ii", number, row)
    rows = 1 + (buckets if pruned is None else len(pruned))
    matrices = [np.full((rows, 4), value, "<f4"), np.ones((len(labels), 4), "<f4")]
    return head + b"".join(b"\0" + struct.pack("<qq", *m.shape) + m.tobytes() for m in matrices)


@pytest.mark.parametrize("loss", [1, 3])
@pytest.mark.parametrize("pruned", [None, {3: 0, 7: 1}])
def test_a_whole_model_is_read(tmp_path, loss, pruned):
    (tmp_path / "a.bin").write_bytes(fast_text_model(loss=loss, pruned=pruned))
    model = FastText(tmp_path / "a.bin")
    assert model.labels == ["de", "en"]
    assert np.isfinite(model.probabilities(["haus", "anderes", ""])).all()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"labels": ()}, "it has no labels"),
        ({"labels": ("de", "../../x")}, r"its label '__label__\.\./\.\./x' cannot name a language"),
        ({"labels": ("de", "..")}, "cannot name a language"),
        ({"labels": ("de", "")}, "cannot name a language"),
        ({"labels": ("de", "de")}, "a label occurs twice"),
        ({"value": float("nan")}, "not finite"),
        ({"value": float("inf")}, "not finite"),
        ({"value": 1e38}, "or too large"),
        ({"pruned": {}, "buckets": 2**31 - 1}, "2,147,483,647 buckets"),
        ({"pruned": {8: 0}}, "its n-grams point outside its matrix"),
        ({"pruned": {1: 1}}, "its n-grams point outside its matrix"),
        ({"buckets": 0}, "its header has invalid numbers"),
        ({"counts": [1, 2]}, "are not in descending order"),
        ({"counts": [10**15, 1]}, "are not in descending order"),
    ],
)
def test_a_model_that_fast_text_did_not_write_is_refused(tmp_path, changes, line):
    (tmp_path / "a.bin").write_bytes(fast_text_model(**changes))
    tracemalloc.start()
    with pytest.raises(XlmrError, match=rf"a\.bin: not a fastText classifier \(.*{line}"):
        FastText(tmp_path / "a.bin")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


@given(seed=st.integers(0, 2**32), pruned=st.sampled_from([None, {3: 0, 7: 1}]), loss=st.sampled_from([1, 3]))
@settings(max_examples=400)
def test_no_damage_of_a_fast_text_model_is_a_traceback(tmp_path_factory, seed, pruned, loss):
    path = tmp_path_factory.getbasetemp() / "damaged.bin"
    path.write_bytes(damage_bytes(fast_text_model(loss=loss, pruned=pruned), seed, head=300))
    with suppress(XlmrError):
        labels, scores = FastText(path).predict(["haus und hof", "", "x"])
        assert len(labels) == 3
        assert np.isfinite(scores).all()


@given(seed=st.integers(0, 2**32))
@settings(max_examples=200)
def test_no_damage_of_cut_offs_is_a_traceback(tmp_path_factory, seed):
    plain = {"de": [29.8, 34.54], "en": [35.75, 50]}
    full = {"percentiles": {"head": 30}, "languages": {"de": {"head": 1.5, "middle": 3, "sample": 9}}}
    path = tmp_path_factory.getbasetemp() / "cutoffs.json"
    path.write_bytes(damage_json(json.dumps(random.Random(seed).choice([plain, full])).encode(), seed))
    with suppress(XlmrError):
        read_cutoffs(path)
    table = path.with_suffix(".csv")
    table.write_bytes(damage_bytes(b",de,en\n30,310.5,402.25\n60,620.1,800\n", seed))
    with suppress(XlmrError):
        read_cutoffs(table)


def test_a_lone_carriage_return_ends_no_line(tmp_path, capsys):
    (tmp_path / "a.txt").write_bytes(b"one line\rand its rest\nanother\r\nthe third\n")
    assert main(["corpus", "identify", str(tmp_path / "a.txt"), "--json"]) == 0
    assert [json.loads(line)["line"] for line in capsys.readouterr().out.splitlines()] == [1, 2, 3]


@pytest.mark.parametrize("name", ["a.txt.zip", "a.txt.gz", "a.txt.xz", "a.txt.bz2", "a.txt.zst"])
def test_a_text_that_is_not_compressed_as_named_is_a_line(tmp_path, capsys, name):
    (tmp_path / name).write_bytes(b"\x1f\x8b\x08\0" + zlib.compress(b"x" * 99))
    for words in (["identify", str(tmp_path / name)], ["train-lid", str(tmp_path / "*.txt.*"), str(tmp_path / "out")]):
        assert main(["corpus", *words]) == 1
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert name in message
        assert "fault of xlmr" not in message


@pytest.fixture(scope="module")
def language_model(tmp_path_factory):
    return train_models(tmp_path_factory.mktemp("models"), {"de": "\n".join(clean_text("de", 0, 60))}, order=3)


def test_whole_models_are_tried_and_used(language_model):
    try_models(language_model / "de.sp.model", language_model / "de.arpa.bin")


@pytest.mark.parametrize(
    ("place", "new", "line"),
    [
        (0, b"x", "its magic number or version is wrong"),
        (60, b"\x7f", "its header is damaged or of another machine"),
        (88, b"\x09", "order 9, where 2 to 6 can be read"),
        (92, b"\0\0\xc0\x7f", "numbers that KenLM does not write"),
        (92, b"\0\0\0\0", "a probing multiplier of 0"),
        (96, b"\x7f", "numbers that KenLM does not write"),
        (108, b"\xff" * 8, r"it says that it has .* n-grams in"),
        (116, b"\0" * 8, r"it says that it has .* n-grams in"),
    ],
)
def test_a_damaged_header_of_ngrams_is_refused_before_it_is_mapped(tmp_path, language_model, place, new, line):
    data = bytearray((language_model / "de.arpa.bin").read_bytes())
    data[place : place + len(new)] = new
    (tmp_path / "de.arpa.bin").write_bytes(data)
    with pytest.raises(XlmrError, match=rf"de\.arpa\.bin: cannot be loaded \(not a KenLM binary: .*{line}"):
        load_ngrams(tmp_path / "de.arpa.bin")


def test_a_ready_made_model_is_named_as_the_person_named_it(tmp_path, language_model):
    given = {name: tmp_path / "given" / name for name in ("de.sp.model", "de.arpa.bin")}
    (tmp_path / "given").mkdir()
    (tmp_path / "workspace").mkdir()
    for name, path in given.items():
        path.write_bytes((language_model / name).read_bytes()[: 10**6 if name == "de.sp.model" else 60])
    with pytest.raises(XlmrError, match=rf"^{given['de.arpa.bin']}: cannot be loaded"):
        take_language(ReadyMade("de", *map(str, given.values())), tmp_path / "workspace")


def test_models_that_crash_native_code_end_in_a_line(tmp_path, language_model, capsys, monkeypatch):
    for name in ("de.sp.model", "de.arpa.bin"):
        (tmp_path / name).write_bytes((language_model / name).read_bytes())
    (crashing := tmp_path / "trial_child.py").write_text("import os; os.abort()")
    monkeypatch.setattr("corpus.perplexity.score.TRIAL", crashing)
    (tmp_path / "a.txt").write_text("Ein Satz.\n")
    assert main(["corpus", "score", str(tmp_path / "a.txt"), "--language", "de", "--models", str(tmp_path)]) == 1
    assert "de.arpa.bin: cannot be used (crashed (SIGABRT))" in capsys.readouterr().err


@pytest.mark.parametrize("seed", range(8))
def test_no_damage_of_ngrams_is_a_traceback(tmp_path, language_model, seed):
    """In a child: bytes in the tables may crash whoever follows them."""
    (tmp_path / "de.arpa.bin").write_bytes(damage_bytes((language_model / "de.arpa.bin").read_bytes(), seed, head=140))
    with suppress(XlmrError):
        try_models(language_model / "de.sp.model", tmp_path / "de.arpa.bin")
