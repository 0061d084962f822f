"""Batches ahead of time: the same set of sequences whatever the ranks and wherever a run stopped; and bad sequences."""

from __future__ import annotations

import json
import threading
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_corpus import ALPHA, write_sequences
from tiny_training import losses_of, tiny_config, train_into

from pipeline.errors import XlmrError
from pretrain.data.loader import Loader, measure_loader
from pretrain.data.masking import MaskedVocabulary, Masker
from pretrain.data.sequences import SequenceFolder, open_sequences
from pretrain.data.stream import Drawn, Stream

BATCH = 24


@cache
def corpus() -> SequenceFolder:
    return open_sequences(write_sequences(Path(mkdtemp()), {"aa": 90, "bb": 12, "cc": 1}, vocabulary=5000))


def loader_of(seed: int, rank: int = 0, world: int = 1) -> Loader:
    return Loader(
        Stream(corpus().train, 16, BATCH, ALPHA, seed, rank, world), Masker(MaskedVocabulary.plain(5000), 0.15, seed)
    )


def everything(seed: int, world: int, start: int, stop: int) -> list[tuple]:
    """All sequences of these steps over all ranks, masked: (step, row, ids, targets)."""
    seen = []
    for rank in range(world):
        for prepared in loader_of(seed, rank, world).between(start, stop):
            batch = prepared.masked
            for number, row in enumerate(prepared.drawn.rows.tolist()):
                labels = batch.labels[batch.rows == number]
                seen.append((prepared.step, row, batch.ids[number].tobytes(), labels.tobytes()))
    return sorted(seen)


@given(
    seed=st.integers(0, 2**31),
    stops=st.lists(st.integers(0, 14), max_size=4).map(sorted),
    worlds=st.lists(st.sampled_from([1, 2, 3, 4, 6, 8, 12, 24]), min_size=5, max_size=5),
)
@settings(max_examples=25, deadline=None)
def test_stopped_anywhere_resumed_on_any_number_of_ranks(seed: int, stops: list[int], worlds: list[int]) -> None:
    """An epoch has 4 batches here, so this goes over its ends too."""
    bounds = [0, *stops, 14]
    seen = []
    for world, start, stop in zip(worlds, bounds, bounds[1:], strict=False):
        seen += everything(seed, world, start, stop)
    assert seen == everything(seed, 1, 0, 14)


def test_batches_come_in_order_and_a_few_ahead() -> None:
    made: list[int] = []
    change = threading.Condition()

    class Counting:
        def batch(self, number: int) -> Drawn:
            with change:
                made.append(number)
                change.notify_all()
            return Drawn(np.full((2, 8), 7), np.arange(2), 0)

    batches = Loader(Counting(), Masker(MaskedVocabulary.plain(40), 0.15, 1)).between(3, 1000)
    assert [next(batches).step for _ in range(4)] == [3, 4, 5, 6]
    with change:
        assert change.wait_for(lambda: len(made) >= 6, 10)
    batches.close()
    threads = [thread for thread in threading.enumerate() if thread.name == "loader"]
    assert not threads
    assert len(made) <= 8, "no more than is needed soon"


def test_what_the_thread_raises_is_raised_in_its_turn() -> None:
    class Failing:
        def batch(self, number: int) -> Drawn:
            if number == 2:
                raise XlmrError("the third batch is bad")
            return Drawn(np.full((2, 8), 7), np.arange(2), 0)

    batches = Loader(Failing(), Masker(MaskedVocabulary.plain(40), 0.15, 1)).between(0, 5)
    assert [next(batches).step for _ in range(2)] == [0, 1]
    with pytest.raises(XlmrError, match="the third batch is bad"):
        next(batches)


def test_the_measure_counts_tokens() -> None:
    assert measure_loader(loader_of(1), seconds=0.05) > 1000


# What people give it.


def test_a_training_that_is_all_warm_up_says_so(tmp_path: Path, make_context) -> None:
    settings = tiny_config().train
    _, context = train_into(
        tmp_path / "run",
        write_sequences(tmp_path / "s", {"aa": 60}),
        make_context,
        tiny_config(warmup_steps=settings.steps),
    )
    assert [line for line in context.warnings if "reaches no peak" in line]


def test_an_empty_language_is_left_out_and_named(tmp_path: Path, make_context) -> None:
    sequences = write_sequences(tmp_path / "s", {"aa": 60, "bb": 20, "cc": 1})
    listing = json.loads((sequences / "sequences.json").read_text())
    listing["languages"]["bb"]["train"] = {"sequences": 0, "tokens": 0, "files": []}
    listing["languages"]["dd"] = {}
    (sequences / "sequences.json").write_text(json.dumps(listing))
    _, context = train_into(tmp_path / "run", sequences, make_context, tiny_config())
    assert context.warnings == [
        "no training sequences, so left out: bb, dd",
        "one training sequence only, which is seen again and again: cc",
    ]
    assert np.isfinite(losses_of(tmp_path / "run")).all()


def test_a_language_of_one_line_trains(tmp_path: Path, make_context) -> None:
    """Three tokens and padding: in most steps none of them is drawn."""
    sequences = write_sequences(tmp_path / "s", {"aa": 1})
    row = np.ones((1, 16), "<u2")
    row[0, :5] = 0, 7, 8, 9, 2
    row.tofile(sequences / "aa" / "train-00000.bin")
    train_into(tmp_path / "run", sequences, make_context, tiny_config(global_batch=1, micro_batch=1))
    assert len(losses_of(tmp_path / "run")) == 20
    assert np.isfinite(losses_of(tmp_path / "run")).all()


@pytest.mark.parametrize("token", [40, 65535])
def test_a_token_out_of_range_is_named(token: int, tmp_path: Path, sequences: Path, make_context) -> None:
    path = sequences / "bb" / "train-00001.bin"
    rows = np.fromfile(path, "<u2").reshape(-1, 16)
    rows[3, 5] = token
    rows.tofile(path)
    words = rf"train-00001\.bin: sequence 3 has token {token}, the vocabulary has 40; run tokenizer\.encode again"
    with pytest.raises(XlmrError, match=words):
        train_into(tmp_path / "run", sequences, make_context, tiny_config())
    with pytest.raises(XlmrError, match=words):
        open_sequences(sequences).train["bb"].read(np.array([3, 19, 13]), np.empty((3, 16), np.int64))


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        ("{}", r"sequences\.json: vocab_size is missing \(and 4 more\); run tokenizer\.encode again"),
        ("[]", r"sequences\.json: input should be an object, got a list"),
        ("{", "not readable as JSON"),
        (
            '{"vocab_size": 40, "sequence_length": 16, "dtype": "float32", "mask_token_id": 39, "languages": {}}',
            "dtype: input .* 'float32'",
        ),
        (
            '{"vocab_size": 40, "sequence_length": 16, "dtype": "uint16", "languages": {}, "mask_token_id": 40}',
            "mask_token_id 40 is no id of a vocabulary of 40",
        ),
        (
            '{"vocab_size": 40, "sequence_length": 16, "dtype": "uint16",'
            ' "mask_token_id": 39, "languages": {"aa": {"train": {"sequences": 1, "files": ["../x"]}}}}',
            r"languages\.aa\.train\.files\.0: '\.\./x' is no file of this folder",
        ),
        (
            '{"vocab_size": 40, "sequence_length": 16, "dtype": "uint16", "mask_token_id": 39, "languages": {}}',
            "no training sequences",
        ),
    ],
)
def test_a_listing_that_is_none_is_reported(listing: str, words: str, sequences: Path) -> None:
    (sequences / "sequences.json").write_text(listing)
    with pytest.raises(XlmrError, match=words) as error:
        open_sequences(sequences)
    assert "\n" not in str(error.value)


def test_files_that_are_gone_are_named(sequences: Path) -> None:
    (sequences / "aa" / "train-00001.bin").unlink()
    with pytest.raises(XlmrError, match=r"train-00001\.bin: no such file, although sequences\.json lists it"):
        open_sequences(sequences)
    (sequences / "sequences.json").unlink()
    with pytest.raises(XlmrError, match=r"sequences\.json: no such file"):
        open_sequences(sequences)
