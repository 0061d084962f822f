"""The stream: shares of the languages, draws, determinism, and that ranks and restarts see the same batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_corpus import write_sequences

from pipeline.errors import XlmrError
from pretrain.data.mixing import epoch_shares, mixing_of
from pretrain.data.sequences import SequenceFolder, open_sequences
from pretrain.data.stream import Stream
from pretrain.rng import below, mix, shuffled, uniform
from pretrain.settings import DataSettings


def stream_of(folder: SequenceFolder, batch: int = 10, alpha: float = 0.3, seed: int = 1, rank=0, world=1) -> Stream:
    return Stream(folder.train, folder.sequence_length, batch, mixing_of(DataSettings(alpha=alpha)), seed, rank, world)


def unique_sequences(folder: Path, languages: dict[str, int]) -> SequenceFolder:
    """Sequences that each say which they are: [language, number, 0, 0]."""
    written = write_sequences(folder, languages, vocabulary=5000, length=4)
    for code, (language, count) in enumerate(languages.items()):
        rows = np.zeros((count, 4), "<u2")
        rows[:, 0], rows[:, 1] = code, np.arange(count)
        for part, block in enumerate(np.array_split(rows, min(2, count))):
            block.tofile(written / language / f"train-{part:05d}.bin")
    return open_sequences(written)


@given(size=st.integers(1, 5000), seed=st.integers(0, 2**63))
@settings(max_examples=100, deadline=None)
def test_shuffled_is_a_permutation(size: int, seed: int) -> None:
    assert (np.sort(shuffled(np.arange(size), size, seed)) == np.arange(size)).all()


def test_shuffled_looks_like_rng() -> None:
    size = 10_000
    order = shuffled(np.arange(size), size, 5, 0)
    assert (order != shuffled(np.arange(size), size, 5, 1)).mean() > 0.99
    assert abs(np.corrcoef(np.arange(size), order)[0, 1]) < 0.05
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.05
    quarters = np.histogram(order[: size // 4], bins=4, range=(0, size))[0]
    assert (np.abs(quarters - size / 16) < 120).all()


def test_uniform_is_uniform_and_depends_on_every_word() -> None:
    numbers = uniform(3, np.arange(100_000), 7)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert np.abs(np.histogram(numbers, 20, (0, 1))[0] - 5000).max() < 350
    assert mix(1, 2, 3) not in (mix(2, 1, 3), mix(1, 2), mix(1, 2, 4), mix(1, 2, 3, 0))
    assert set(below(3, np.arange(100)).tolist()) == {0, 1, 2}


def test_shares_follow_the_formula() -> None:
    available = np.array([90_000, 9_000, 900, 100])
    weights = [(n / 100_000) ** 0.3 for n in available]
    expected = [round(100_000 * w / sum(weights)) for w in weights]
    assert epoch_shares(available, (available / available.sum()) ** 0.3).tolist() == expected
    assert epoch_shares(available, available / available.sum()).tolist() == available.tolist()


def test_an_epoch_draws_each_language_by_its_share(tmp_path: Path) -> None:
    languages = {"aa": 2000, "bb": 100, "cc": 7}
    folder = unique_sequences(tmp_path, languages)
    stream = stream_of(folder, batch=21)
    drawn = np.concatenate([stream.batch(n).ids for n in range(stream.batches_an_epoch)])
    shares = stream.shares
    assert shares["aa"] < 2000
    assert shares["cc"] > 7
    for code, language in enumerate(languages):
        numbers = drawn[drawn[:, 0] == code, 1]
        missing = shares[language] - len(numbers)
        assert 0 <= missing < 21, "only the last batch of an epoch, which is not whole, may be missing"
        if shares[language] <= languages[language]:
            assert len(set(numbers)) == len(numbers), "without replacement"
        else:
            assert set(numbers) == set(range(languages[language])) or languages[language] > 50
    # Each batch mixes the languages.
    assert all(len(set(stream.batch(n).ids[:, 0])) == 3 for n in range(10))


def test_epochs_differ_and_seeds_differ(tmp_path: Path) -> None:
    folder = unique_sequences(tmp_path, {"aa": 300, "bb": 30})
    stream = stream_of(folder)
    per_epoch = stream.batches_an_epoch
    assert stream.batch(per_epoch - 1).epoch == 0
    assert stream.batch(per_epoch).epoch == 1
    first = [tuple(row) for n in range(per_epoch) for row in stream.batch(n).ids]
    second = [tuple(row) for n in range(per_epoch, 2 * per_epoch) for row in stream.batch(n).ids]
    assert first != second
    assert set(first) != set(second), "the sequences are drawn anew, not only reordered"
    assert (stream_of(folder, seed=2).batch(0).ids != stream.batch(0).ids).any()


def test_a_position_is_a_number(tmp_path: Path) -> None:
    folder = unique_sequences(tmp_path, {"aa": 300, "bb": 30})
    straight = [stream_of(folder).batch(n).ids for n in range(40)]
    again = stream_of(folder)
    for n in (39, 3, 17):
        assert (again.batch(n).ids == straight[n]).all()


@pytest.mark.parametrize("world", [2, 4, 8])
def test_ranks_share_the_same_global_batch(world: int, tmp_path: Path) -> None:
    folder = unique_sequences(tmp_path, {"aa": 300, "bb": 30})
    whole = stream_of(folder, batch=16).batch(5)
    for rank in range(world):
        part = stream_of(folder, batch=16, rank=rank, world=world).batch(5)
        assert len(part.ids) == 16 // world
        assert (part.ids == whole.ids[part.rows]).all()


def test_sequences_are_what_was_written(sequences: Path) -> None:
    folder = open_sequences(sequences)
    rows = np.concatenate([np.fromfile(f, "<u2").reshape(-1, 16) for f in sorted(sequences.glob("aa/train-*.bin"))])
    index = np.array([159, 0, 80, 79, 80])
    out = np.empty((5, 16), np.int64)
    folder.train["aa"].read(index, out)
    assert (out == rows[index]).all()
    for limit in (0, 50, 80, 100, 1000):
        expected = np.bincount(rows[:limit].reshape(-1), minlength=40)
        assert (folder.train["aa"].count_tokens(limit) == expected).all()


def test_files_that_do_not_fit_are_named(sequences: Path) -> None:
    path = sequences / "aa" / "train-00001.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    with pytest.raises(XlmrError, match=r"train-00001\.bin: .* not whole sequences"):
        open_sequences(sequences)
    path.write_bytes(whole[:-32])
    with pytest.raises(XlmrError, match=r"159 sequences, sequences\.json says 160"):
        open_sequences(sequences)


def test_a_corpus_smaller_than_a_batch_is_refused(sequences: Path) -> None:
    with pytest.raises(XlmrError, match=r"lower pretrain\.train\.global_batch"):
        stream_of(open_sequences(sequences), batch=500)
