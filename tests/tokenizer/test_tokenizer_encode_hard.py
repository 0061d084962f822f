"""Encoding when things go wrong or are odd: killed, tiny, empty, cut short; packing, sentences, unknown characters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import XlmrError
from tokenizer.corpus_files import BucketFile, document_hashes, mix, read_batches
from tokenizer.coverage import Coverage
from tokenizer.encode import EncodeFile, pack, shard_size
from tokenizer.pieces import EOS, UNK, Tokenizer

ROOT = Path(__file__).parents[2]


def contents(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    named = ((path.relative_to(folder).as_posix(), path) for path in paths)
    return {name: path.read_bytes() for name, path in named if not name.startswith(".")}


def encode_apart(corpus: Path, model: Path, output: Path, **environment: str) -> int:
    """The exit code of two workers and who started them."""
    output.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, str(Path(__file__).with_name("killed_encode.py")), corpus, model, output, "2"]
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "pipeline")])}
    return subprocess.run(
        [str(word) for word in words], env={**os.environ, **environment}, stderr=subprocess.DEVNULL,
        start_new_session=True, check=False,
    ).returncode  # fmt: skip


@pytest.mark.slow
def test_killed_and_begun_again_it_ends_with_the_same_bytes(
    write_corpus: Any, documents: Any, trained: Path, tmp_path: Path
) -> None:
    texts = documents["en"]["head"]
    names = [f"x{number:03d}" for number in range(150)]
    corpus = write_corpus(tmp_path / "corpus", {name: {"all": [*texts, name]} for name in names})
    output = tmp_path / "output"
    assert encode_apart(corpus, trained, output, KILL_AT_MARK="11") == -signal.SIGKILL
    assert not (output / "sequences.json").exists()
    kept = {mark.name: mark.stat().st_mtime_ns for mark in output.glob(".shards/*.json")}
    assert len(kept) >= 10
    assert encode_apart(corpus, trained, output) == 0
    again = {mark.name: mark.stat().st_mtime_ns for mark in output.glob(".shards/*.json")}
    assert {name: again[name] for name in kept} == kept  # what was complete was not done again
    assert len(again) > len(kept)
    assert encode_apart(corpus, trained, tmp_path / "undisturbed") == 0
    assert contents(output) == contents(tmp_path / "undisturbed")


def run_encode(run_stage: Any, corpus: Path, trained: Path, output: Path, **more: Any) -> tuple[dict[str, Any], Any]:
    config = {"encode": {"sequence_length": 32, **more}}
    _, context = run_stage("tokenizer.encode", config, {"corpus.regroup": corpus, "tokenizer.train": trained}, output)
    return json.loads((output / "sequences.json").read_text(encoding="utf-8")), context


def test_small_files_in_one_shard_give_the_same_sequences(
    corpus: Path, trained: Path, run_stage: Any, tmp_path: Path
) -> None:
    run_encode(run_stage, corpus, trained, tmp_path / "alone", shard_bytes=1)
    run_encode(run_stage, corpus, trained, tmp_path / "some", shard_bytes=6_000)
    run_encode(run_stage, corpus, trained, tmp_path / "all")
    assert contents(tmp_path / "alone") == contents(tmp_path / "some") == contents(tmp_path / "all")
    counts = [len(list((tmp_path / name / ".shards").glob("*.json"))) for name in ("alone", "some", "all")]
    assert counts[0] > counts[1] > counts[2] == 1


def test_files_are_packed_in_order_and_none_twice() -> None:
    files = []
    for number, size in enumerate([5, 5, 50, 1, 1, 1]):
        files.append(EncodeFile(BucketFile("en", "all", Path(f"{number}.arrow")), number, 0, size))
    shards = pack(files, Path("model"), 10)
    assert [[file.number for file in shard.files] for shard in shards] == [[0, 1], [2], [3, 4, 5]]
    assert [file for shard in shards for file in shard.files] == files
    assert [shard.name for shard in shards] == ["en.0+1", "en.2", "en.3+2"]


def test_a_small_corpus_is_shared_among_workers() -> None:
    file = BucketFile("en", "all", Path("0.arrow"))
    megabyte = 1 << 20

    def shards(megabytes: int) -> int:
        files = [EncodeFile(file, number, 0, megabyte) for number in range(megabytes)]
        return len(pack(files, Path("model"), shard_size(files, 64 * megabyte)))

    assert [shards(megabytes) for megabytes in (1, 16, 32, 320, 4096)] == [1, 1, 2, 16, 64]


def test_a_language_of_a_single_line_and_one_without_text(
    write_corpus: Any, trained: Path, run_stage: Any, tmp_path: Path
) -> None:
    rich = {"head": ["human rights for all", "freedom of thought", "equal protection"]}
    languages = {"en": rich, "la": {"all": ["Una linea."]}, "xx": {"all": []}, "yy": {"all": ["", " \n "]}}
    corpus = write_corpus(tmp_path / "corpus", languages)
    listing, context = run_encode(run_stage, corpus, trained, tmp_path / "out")
    assert set(listing["languages"]) == {"en", "la", "yy"}  # yy has </s> after each of its empty documents
    assert listing["languages"]["la"]["train"]["sequences"] == 1
    assert listing["languages"]["la"]["validation"]["sequences"] == 0
    assert "no text, so no sequences: xx" in context.warnings
    assert any(line.startswith("one document only, so no validation: la") for line in context.warnings)
    counts, _ = run_stage("tokenizer.sample", {}, {"corpus.regroup": corpus}, tmp_path / "sample")
    assert counts["lines"] == 4
    listing, context = run_encode(run_stage, corpus, trained, tmp_path / "lines", sentence="line")
    assert "no text, so no sequences: xx, yy" in context.warnings


def test_a_corpus_file_cut_short_is_one_clear_line(
    write_corpus: Any, trained: Path, run_stage: Any, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus", {"en": {"head": ["some text"] * 30}})
    file = corpus / "en" / "head-00000.arrow"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(XlmrError, match=r"head-00000\.arrow: not a file of the corpus") as error:
        run_encode(run_stage, corpus, trained, tmp_path / "out")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("break_mode", ["none", "complete"])
def test_lines_as_sentences(
    corpus: Path, documents: Any, trained: Path, tokenizer: Tokenizer, run_stage: Any, tmp_path: Path, break_mode: str
) -> None:
    listing, _ = run_encode(run_stage, corpus, trained, tmp_path, break_mode=break_mode, sentence="line")
    for language, buckets in documents.items():
        texts = [text for bucket, texts in buckets.items() if bucket != "tail" for text in texts]
        lines = [line for text in texts for line in text.split("\n") if line.strip()]
        found, whole = [], 0
        for split in ("train", "validation"):
            for name in listing["languages"][language][split]["files"]:
                rows = np.memmap(tmp_path / name, dtype=listing["dtype"], mode="r").reshape(-1, 32)
                body = rows[:, 1:][rows[:, 1:] != 1]
                found += [part[:-1].tolist() for part in np.split(body, np.flatnonzero(body == EOS) + 1)[:-1]]
                ends = rows[np.arange(len(rows)), np.maximum((rows != 1).sum(axis=1) - 1, 0)]
                whole += int((ends == EOS).sum())
        assert sorted(found) == sorted(tokenizer.encode(line).tolist() for line in lines)
        counts = listing["languages"][language]
        assert counts["train"]["sentences"] + counts["validation"]["sentences"] == len(lines)
        assert whole > 0


def plain_unknown(tokenizer: Tokenizer, texts: list[str]) -> int:
    return sum(UNK in tokenizer.encode(sign).tolist() for text in texts for sign in text)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="ab 🦄自由人𝄞\u0301é\nѪ", max_size=20), max_size=5))
def test_unknown_characters_against_the_plain_way(tokenizer: Tokenizer, texts: list[str]) -> None:
    stream, lengths = tokenizer.encode_stream([text.encode() for text in texts])
    found = Coverage(tokenizer).unknown([text.encode() for text in texts], stream, lengths)
    if any("\u0301" in text for text in texts):  # e and ́ join to a known é
        assert found <= plain_unknown(tokenizer, texts)
    else:
        assert found == plain_unknown(tokenizer, texts)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(alphabet="ab 自\n🦄", max_size=9), max_size=200))
def test_few_texts_and_many_give_the_same(tokenizer: Tokenizer, texts: list[str]) -> None:
    """Below and above the number from which SentencePiece may start a thread."""
    stream, lengths = tokenizer.encode_stream([text.encode() for text in texts])
    plain = [[*tokenizer.encode(text).tolist(), EOS] for text in texts]
    assert stream.tolist() == [number for ids in plain for number in ids]
    assert lengths.tolist() == [len(ids) for ids in plain]


def plain_hash(name: str, salt: str) -> int:
    """A name at a time, eight bytes at a time, in Python's numbers."""
    import hashlib

    def stir(key: int) -> int:
        return int(mix(np.array([key], dtype=np.uint64))[0])

    found = int.from_bytes(hashlib.blake2b(salt.encode(), digest_size=8).digest(), "little")
    data = name.encode()
    for place in range(0, len(data), 8):
        found = stir(found ^ int.from_bytes(data[place : place + 8], "little"))
    return stir(found ^ len(data))


names = st.one_of(st.none(), st.text(max_size=40))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(names, names), min_size=1, max_size=8))
def test_document_hashes_against_the_plain_way(rows: list[tuple[str | None, str | None]]) -> None:
    digests, urls = zip(*rows, strict=True)
    batch = pa.record_batch({"digest": pa.array(digests, pa.string()), "url": pa.array(urls, pa.string())})
    assert document_hashes(batch, "x").tolist() == [plain_hash(digest or url or "", "x") for digest, url in rows]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=9), st.integers(1, 12))
def test_batches_are_joined_and_cut(tmp_path_factory: pytest.TempPathFactory, sizes: list[int], rows: int) -> None:
    path = tmp_path_factory.getbasetemp() / "batches.arrow"
    schema = pa.schema([("number", pa.int64())])
    start = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for size in sizes:
            writer.write_batch(pa.record_batch([pa.array(range(start, start + size), pa.int64())], schema))
            start += size
    found = list(read_batches(path, ("number",), rows))
    assert [number for batch in found for number in batch.column("number").to_pylist()] == list(range(start))
    assert all(0 < batch.num_rows <= rows for batch in found)
