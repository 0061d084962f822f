"""Samples: what is laid out is the stream and nothing else; the split; the same bytes with any workers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import XlmrError
from tokenizer.corpus_files import corpus_files, document_hashes, read_batches
from tokenizer.encode import WHOLE, validation_threshold
from tokenizer.layout import SequenceWriter, complete_starts, id_type
from tokenizer.pieces import BOS, EOS, PAD, Tokenizer
from tokenizer.report import sections

batches = st.lists(st.lists(st.integers(1, 30), max_size=6), max_size=6)
"""Lengths of documents, </s> included, by batch."""


def laid_out(folder: Path, lengths: list[list[int]], length: int, *, complete: bool) -> tuple[np.ndarray, list[int]]:
    """The sequences that a writer makes of documents of these lengths, and the whole stream."""
    (folder / "sequences.bin").unlink(missing_ok=True)
    writer = SequenceWriter(folder / "sequences.bin", length, id_type(60_000), complete=complete)
    stream: list[int] = []
    for batch in lengths:
        pieces = [p for n in batch for p in [*range(10 + len(stream), 9 + len(stream) + n), EOS]]
        writer.add(np.array(pieces, dtype=np.int32), np.array(batch, dtype=np.int64))
        stream += pieces
    writer.close()
    path = folder / "sequences.bin"
    sequences = np.fromfile(path, "<u2").reshape(-1, length) if path.exists() else np.empty((0, length), "<u2")
    assert writer.sequences == len(sequences)
    return sequences, stream


def check_layout(sequences: np.ndarray, stream: list[int]) -> None:
    body = sequences[:, 1:]
    assert (sequences[:, 0] == BOS).all()
    assert body[body != PAD].tolist() == stream
    assert (np.diff((body == PAD).astype(int), axis=1) >= 0).all()  # padding only at the end of a sequence
    assert (body[:, 0] != PAD).all()  # no empty sequence


@settings(max_examples=200, deadline=None)
@given(batches, st.integers(8, 40))
def test_layout_none(tmp_path_factory: pytest.TempPathFactory, lengths: list[list[int]], length: int) -> None:
    sequences, stream = laid_out(tmp_path_factory.getbasetemp(), lengths, length, complete=False)
    check_layout(sequences, stream)
    assert len(sequences) == -(-len(stream) // (length - 1))
    assert (sequences[:-1] != PAD).all()  # all but the last are full


def plain_complete(lengths: list[int], row: int) -> list[int]:
    """Where sequences begin, the obvious way: one piece at a time."""
    starts, used, position = [], 0, 0
    for length in lengths:
        if position and used + length > row:
            used = row  # close the sequence
        for _ in range(length):
            if position == 0 or used == row:
                starts.append(position)
                used = 0
            used += 1
            position += 1
    return starts


@settings(max_examples=200, deadline=None)
@given(batches, st.integers(8, 40))
def test_layout_complete(tmp_path_factory: pytest.TempPathFactory, lengths: list[list[int]], length: int) -> None:
    sequences, stream = laid_out(tmp_path_factory.getbasetemp(), lengths, length, complete=True)
    check_layout(sequences, stream)
    flat = [length for batch in lengths for length in batch]
    starts = plain_complete(flat, length - 1)
    assert complete_starts(np.array(flat, dtype=np.int64), length - 1).tolist() == starts
    assert (sequences[:, 1:] != PAD).sum(axis=1).tolist() == np.diff([*starts, len(stream)]).tolist()[: len(starts)]


def test_id_type_holds_every_id() -> None:
    assert id_type(65_536) == np.dtype("<u2")
    assert id_type(65_537) == np.dtype("<u4")
    assert np.iinfo(id_type(250_002)).max >= 250_001


def encode(run_stage: Any, corpus: Path, trained: Path, output: Path, workers: int = 1, **more: Any) -> dict[str, Any]:
    config = {"encode": {"sequence_length": 32, "validation_share": 0.1, **more}}
    run_stage("tokenizer.encode", config, {"corpus.regroup": corpus, "tokenizer.train": trained}, output, workers)
    listing: dict[str, Any] = json.loads((output / "sequences.json").read_text(encoding="utf-8"))
    return listing


def streams(output: Path, listing: dict[str, Any], language: str, split: str) -> list[list[int]]:
    """The documents of a split, read back from its sequences: pieces without </s>."""
    documents: list[list[int]] = []
    for name in listing["languages"][language][split]["files"]:
        raw = np.memmap(output / name, dtype=listing["dtype"], mode="r").reshape(-1, listing["sequence_length"])
        body = raw[:, 1:][raw[:, 1:] != PAD]
        assert body[-1] == EOS
        documents += [part[:-1].tolist() for part in np.split(body, np.flatnonzero(body == EOS) + 1)[:-1]]
    return documents


@pytest.mark.parametrize("break_mode", ["none", "complete"])
def test_sequences_are_the_corpus(
    corpus: Path,
    documents: Any,
    trained: Path,
    tokenizer: Tokenizer,
    run_stage: Any,
    tmp_path: Path,
    break_mode: str,
) -> None:
    listing = encode(run_stage, corpus, trained, tmp_path, break_mode=break_mode)
    assert (listing["vocab_size"], listing["sequence_length"], listing["dtype"]) == (702, 32, "uint16")
    for language, buckets in documents.items():
        texts = [text for bucket, texts in buckets.items() if bucket != "tail" for text in texts]
        expected = sorted(tokenizer.encode(text).tolist() for text in texts)
        train = streams(tmp_path, listing, language, "train")
        validation = streams(tmp_path, listing, language, "validation")
        assert sorted(train + validation) == expected
        assert train
        assert bool(validation) == (len(texts) > 1)
        entry = listing["languages"][language]
        assert entry["train"]["tokens"] == sum(len(document) + 1 for document in train)
        assert entry["train"]["documents"] == len(train)
        both = {name: entry["train"][name] + entry["validation"][name] for name in ("characters", "words", "bytes")}
        assert both["characters"] == sum(map(len, texts))
        assert both["words"] == sum(len(text.split()) for text in texts)
        assert both["bytes"] == sum(len(text.encode()) for text in texts)
        sizes = sum((tmp_path / name).stat().st_size for name in entry["train"]["files"])
        assert sizes == entry["train"]["sequences"] * 32 * 2


def contents(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {
        name: path.read_bytes() for path in paths if not (name := path.relative_to(folder).as_posix()).startswith(".")
    }


def test_same_bytes_whatever_the_workers(corpus: Path, trained: Path, run_stage: Any, tmp_path: Path) -> None:
    encode(run_stage, corpus, trained, tmp_path / "one", workers=1)
    encode(run_stage, corpus, trained, tmp_path / "four", workers=4)
    assert contents(tmp_path / "one") == contents(tmp_path / "four")


def test_only_the_languages_that_are_named(corpus: Path, trained: Path, run_stage: Any, tmp_path: Path) -> None:
    everything = encode(run_stage, corpus, trained, tmp_path / "all")
    two = encode(run_stage, corpus, trained, tmp_path / "two", languages=["sw", "de"])
    assert two["languages"] == {code: everything["languages"][code] for code in ("de", "sw")}
    assert {path.parent.name for path in (tmp_path / "two").glob("*/*.bin")} == {"de", "sw"}
    with pytest.raises(XlmrError, match=r"no text of xx in the buckets .*; change the setting languages"):
        encode(run_stage, corpus, trained, tmp_path / "none", languages=["sw", "xx"])


def test_the_list_says_which_vocabulary_it_was(corpus: Path, trained: Path, run_stage: Any, tmp_path: Path) -> None:
    listing = encode(run_stage, corpus, trained, tmp_path, languages=["sw"])
    model = (trained / "sentencepiece.bpe.model").read_bytes()
    assert listing["vocabulary_sha256"] == hashlib.sha256(model).hexdigest()


def test_one_document_is_for_training_and_reported(
    write_corpus: Any, trained: Path, run_stage: Any, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus", {"en": {"head": ["One document."]}})
    inputs = {"corpus.regroup": corpus, "tokenizer.train": trained}
    counts, context = run_stage("tokenizer.encode", {}, inputs, tmp_path / "out")
    assert counts["train"]["documents"] == 1
    assert counts["validation"]["sequences"] == 0
    assert not list((tmp_path / "out").glob("en/validation*"))
    assert context.warnings == ["one document only, so no validation: en"]


def test_split_follows_the_digest(write_file: Any, tmp_path: Path) -> None:
    """The share is met, and pages with one digest stay on one side, whatever their language and url."""
    digests = [f"sha1:{number}" for number in range(4_000)]
    write_file(tmp_path / "en" / "head-00000.arrow", "en", "head", ["x"] * 4_000, digests)
    write_file(tmp_path / "fr" / "all-00000.arrow", "fr", "all", ["y"] * 4_000, digests)
    english, french = corpus_files(tmp_path, ("head", "all"))
    limit = validation_threshold([english], 4_000, 0.02)
    assert limit == int(0.02 * WHOLE)
    sides = []
    for file in (english, french):
        hashes = [document_hashes(batch, "validation") for batch in read_batches(file.path, ("digest", "url"))]
        sides.append(np.concatenate(hashes) < np.uint64(limit))
    assert (sides[0] == sides[1]).all()
    assert sides[0].sum() == pytest.approx(80, abs=40)


@pytest.mark.parametrize(("digests", "expected"), [(["a"], 0), (["a", "a"], 0), (["a", "b"], 1), (["a", "b", "c"], 1)])
def test_a_small_language_keeps_one_and_trains_on_one(
    write_file: Any, tmp_path: Path, digests: list[str], expected: int
) -> None:
    write_file(tmp_path / "sw" / "all-00000.arrow", "sw", "all", ["text"] * len(digests), digests)
    files = corpus_files(tmp_path, ("all",))
    for share in (1e-6, 1 - 1e-6):
        limit = validation_threshold(files, len(digests), share)
        hashes = np.concatenate(
            [document_hashes(b, "validation") for b in read_batches(files[0].path, ("digest", "url"))]
        )
        kept = int((hashes < np.uint64(limit)).sum())
        assert kept == (expected if share < 0.5 or len(digests) < 3 else 2)


def test_report_shows_what_was_counted(corpus: Path, trained: Path, run_stage: Any, tmp_path: Path) -> None:
    run_stage("tokenizer.sample", {"sample": {"bytes": 9_000}}, {"corpus.regroup": corpus}, tmp_path / "sample")
    listing = encode(run_stage, corpus, trained, tmp_path / "encode")
    outputs = {
        "tokenizer.sample": tmp_path / "sample",
        "tokenizer.train": trained,
        "tokenizer.encode": tmp_path / "encode",
    }
    text, vocabulary, tokens = sections(outputs)
    assert "697 tokens" in vocabulary.lead
    assert "Cyrillic" in vocabulary.body
    sequences = sum(entry["train"]["sequences"] for entry in listing["languages"].values())
    assert f"{sequences:,} training sequences of 32" in tokens.lead
    assert tokens.body.count("no spaces") == 3  # zh-Hans, ja, th
    assert all(section.body.count('<ol class="bars') == 1 for section in (text, vocabulary, tokens))
    assert sections({}) == []
