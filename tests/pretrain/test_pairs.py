"""Parallel text to sequences of the objective TLM, and batches that mix both."""

from __future__ import annotations

import gzip
import io
import json
import lzma
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_corpus import ALPHA, write_sequences
from tiny_training import NO_DROPOUT, tiny_config, train_into

from pipeline.errors import XlmrError
from pretrain.data.material import Material, stream_of
from pretrain.data.pairs import run as run_pairs
from pretrain.data.parallel_text import find_texts, read_pairs
from pretrain.data.sequences import open_sequences, read_listing
from pretrain.data.stream import MixedStream, rows_of_pairs
from pretrain.stages import PairsConfig
from pretrain.tracking.metrics import read_metrics

WORDS = {
    "de": ["der", "Hund", "und", "die", "Katze", "gehen", "heute", "in", "das", "Haus"],
    "en": ["the", "dog", "and", "cat", "go", "home", "now"],
}


def sentences(language: str, count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng([seed, len(language)])
    return [f"{n} " + " ".join(rng.choice(WORDS[language], rng.integers(1, 9))) for n in range(count)]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    model = io.BytesIO()
    text = sentences("de", 300) + sentences("en", 300)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_writer=model, vocab_size=60, minloglevel=2, num_threads=1
    )
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "sentencepiece.bpe.model").write_bytes(model.getvalue())
    return folder


@pytest.fixture
def encoded(tmp_path: Path, tokenizer: Path) -> Path:
    return write_sequences(tmp_path / "encoded", {"de": 40, "en": 40}, vocabulary=62, length=48)


def pairs_of(files: list[str], encoded: Path, tokenizer: Path, output: Path, make_context, **more):
    config = PairsConfig(pairs={"files": files, **more})
    inputs = {"tokenizer.encode": encoded, "tokenizer.train": tokenizer}
    return run_pairs(config, inputs, output, make_context(output))


def read_rows(output: Path, split: str) -> np.ndarray:
    listing = json.loads((output / "sequences.json").read_text())
    files = listing["languages"]["de-en"][split]["files"]
    return np.concatenate([np.fromfile(output / name, "<u2").reshape(-1, 48) for name in files])


def decode(rows: np.ndarray, tokenizer: Path) -> list[tuple[str, str]]:
    """The pairs in the sequences, by reading them token by token."""
    tokens = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer / "sentencepiece.bpe.model"))
    found = []
    for row in rows.tolist():
        assert row[0] == 0
        sides: list[list[int]] = []
        for number, token in enumerate(row):
            if token == 0 or row[number - 1 : number + 1] == [2, 2]:  # a pair, or its second side, begins
                sides.append([])
            elif token > 2:
                sides[-1].append(token - 1)
        texts = [tokens.decode(side) for side in sides]
        found += zip(texts[::2], texts[1::2], strict=True)
    return found


def test_every_pair_is_in_a_sequence_once_and_either_language_comes_first(
    tmp_path: Path, encoded: Path, tokenizer: Path, make_context
) -> None:
    german, english = sentences("de", 200), sentences("en", 200)
    lines = [f"{a}\t{b}\tmore" for a, b in zip(german, english, strict=True)]
    lines[7:7] = ["nothing beside it", "\tonly the other", "", "x " * 60 + "\ttoo long"]
    (tmp_path / "news.de-en.tsv").write_text("\n".join(lines) + "\n")
    output = tmp_path / "pairs"
    counts = pairs_of([str(tmp_path / "*.tsv")], encoded, tokenizer, output, make_context, validation_share=0.1)
    assert (counts["untranslated"], counts["too_long"]) == (3, 1)
    assert counts["train"]["pairs"] + counts["validation"]["pairs"] == 200
    assert 5 < counts["validation"]["pairs"] < 40
    found = decode(np.concatenate([read_rows(output, "train"), read_rows(output, "validation")]), tokenizer)
    wanted = dict(zip(german, english, strict=True))
    first_german = sum(pair[0] in wanted and wanted[pair[0]] == pair[1] for pair in found)
    first_english = sum(pair[1] in wanted and wanted[pair[1]] == pair[0] for pair in found)
    assert first_german + first_english == len(found) == 200
    assert first_german == 100
    folder = open_sequences(output)
    assert set(folder.train) == {"de-en"}
    rows = read_rows(output, "train")
    assert (rows[:, 0] == 0).all()
    # As many whole pairs as fit: no sequence could have taken the first pair of the next.
    used = (rows != 1).sum(1)
    starts = [np.flatnonzero(row == 0) for row in rows]
    first = [int(at[1]) if len(at) > 1 else int(n) for at, n in zip(starts, used, strict=True)]
    assert all(used[i] + first[i + 1] > 48 for i in range(len(rows) - 1))


def test_the_layouts_are_read_alike(tmp_path: Path) -> None:
    german, english = sentences("de", 50), sentences("en", 50)
    plain = "".join(f"{a}\t{b}\n" for a, b in zip(german, english, strict=True)).encode()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "de-en.tsv.gz").write_bytes(gzip.compress(plain))
    (tmp_path / "x.de-en.de.xz").write_bytes(lzma.compress("\n".join(german).encode()))
    (tmp_path / "x.de-en.en").write_text("\n".join(english) + "\n")
    texts = find_texts([str(tmp_path / "a/*"), str(tmp_path / "x.*")])
    assert [text.pair for text in texts] == ["de-en", "de-en"]
    wanted = list(zip(german, english, strict=True))
    for text in texts:
        assert [pair for batch in read_pairs(text, 7) for pair in batch] == wanted


@pytest.mark.parametrize(
    ("name", "pair"),
    [("en-zh-Hans.tsv", "en-zh-Hans"), ("Tatoeba.v1.bn_rom-en.tsv.gz", "bn_rom-en"), ("sw-en.tsv", "en-sw")],
)
def test_codes_are_those_of_the_corpus(name: str, pair: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    assert find_texts([str(tmp_path / name)])[0].pair == pair


def test_what_is_not_parallel_is_reported(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("")
    with pytest.raises(XlmrError, match=r"words\.txt: its name does not say"):
        find_texts([str(tmp_path / "words.txt")])
    (tmp_path / "a.de-en.de").write_text("eins\nzwei\n")
    with pytest.raises(XlmrError, match=r"a\.de-en\.de: there is no file for en beside it"):
        find_texts([str(tmp_path / "a.*")])
    (tmp_path / "a.de-en.en").write_text("one\n")
    (text,) = find_texts([str(tmp_path / "a.*")])
    with pytest.raises(XlmrError, match=r"a\.de-en\.en: ends after line 1"):
        list(read_pairs(text, 10))
    with pytest.raises(XlmrError, match="no such file"):
        find_texts([str(tmp_path / "none.de-en.tsv")])


def test_a_tokenizer_that_is_not_the_sequences_is_reported(tmp_path: Path, tokenizer: Path, make_context) -> None:
    other = write_sequences(tmp_path / "encoded", {"de": 40}, vocabulary=70, length=48)
    with pytest.raises(XlmrError, match="encoded with 70 tokens, the tokenizer has 62"):
        pairs_of([], other, tokenizer, tmp_path / "pairs", make_context)


def test_without_files_there_are_no_pairs(tmp_path: Path, encoded: Path, tokenizer: Path, make_context) -> None:
    output = tmp_path / "pairs"
    assert pairs_of([], encoded, tokenizer, output, make_context) == {"texts": 0}
    assert not read_listing(output).train
    with pytest.raises(XlmrError, match=r"pair_share is 0\.5, and there are no pairs.*pretrain\.pairs\.files"):
        train_into(
            tmp_path / "run", encoded, make_context, tiny_config({"max_position_embeddings": 50}, {"pair_share": 0.5}),
            **{"pretrain.pairs": output},
        )  # fmt: skip


def test_pairs_of_another_length_are_refused(tmp_path: Path, encoded: Path, sequences: Path, make_context) -> None:
    with pytest.raises(XlmrError, match=r"sequences of 48 tokens, the other sequences have 40 and 16"):
        train_into(tmp_path / "run", sequences, make_context, tiny_config(), **{"pretrain.pairs": encoded})


@given(batch=st.integers(2, 50), share=st.floats(0, 1))
@settings(deadline=None)
def test_rows_of_pairs(batch: int, share: float) -> None:
    rows = rows_of_pairs(batch, share)
    assert abs(rows - share * batch) <= 1
    assert (rows == 0) == (share == 0)
    assert (rows == batch) == (share == 1)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("world", [1, 2, 4])
def test_a_mixed_batch_has_its_share_on_any_number_of_ranks(share: float, world: int, tmp_path: Path) -> None:
    texts = open_sequences(write_sequences(tmp_path / "t", {"aa": 50, "bb": 20}, vocabulary=500))
    folder = write_sequences(tmp_path / "p", {"aa-bb": 30}, vocabulary=1000)
    for path in folder.glob("*/train-*"):
        (np.fromfile(path, "<u2") % 100 + 600).tofile(path)
    pairs = open_sequences(folder)
    whole = MixedStream(texts, pairs, 12, ALPHA, 1, share).batch(5).ids
    assert (whole[:, 1] >= 600).sum() == rows_of_pairs(12, share)
    for rank in range(world):
        drawn = MixedStream(texts, pairs, 12, ALPHA, 1, share, rank, world).batch(5)
        assert (drawn.ids == whole[drawn.rows]).all()
        assert len(drawn.rows) == 12 // world


@pytest.mark.slow
def test_translations_help_to_guess(tmp_path: Path, make_context) -> None:
    """Both sides repeat one token; which one on the right follows from the left. Text alone does not say."""
    rng = np.random.default_rng(0)
    folder = write_sequences(tmp_path / "pairs", {"aa-bb": 600})
    for name in ("train-00000", "train-00001", "validation-00000", "validation-00001"):
        path = folder / "aa-bb" / f"{name}.bin"
        count = path.stat().st_size // 32
        left = rng.integers(4, 12, count)
        rows = np.ones((count, 16), "<u2")
        rows[:, 0], rows[:, 1], rows[:, 2:4], rows[:, 4], rows[:, 5] = 0, left, 2, left + 17, 2
        rows.tofile(path)
    sequences = write_sequences(tmp_path / "sequences", {"aa": 100})
    config = tiny_config(
        NO_DROPOUT,
        {"pair_share": 1.0, "mask_rate": 0.4},
        steps=300,
        global_batch=64,
        micro_batch=64,
        evaluate_every=300,
        peak_learning_rate=5e-3,
    )
    train_into(tmp_path / "run", sequences, make_context, config, **{"pretrain.pairs": folder})
    last = [r for r in read_metrics(tmp_path / "run" / "metrics.jsonl") if "pairs_loss" in r][-1]
    assert last["pairs_loss"] < 0.5 * np.log(8)
    assert set(last["by_pair"]) == {"aa-bb"}
    assert "aa" in last["by_language"]


def test_the_stream_of_a_training_is_plain_without_pairs(sequences: Path) -> None:
    folder = open_sequences(sequences)
    drawn = stream_of(Material(folder), tiny_config(), (0, 1)).batch(3)
    assert drawn.ids.shape == (8, 16)
