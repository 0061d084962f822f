"""The training loop: it learns, every step is what it should be, and what does not fit is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_corpus import ALPHA, write_sequences
from tiny_training import NO_DROPOUT, last_weights, losses_of, tiny_config, train_into
from torch import nn

import pretrain.train
from pipeline.config import fingerprint
from pipeline.errors import XlmrError
from pretrain.data.masking import MaskedVocabulary, Masker
from pretrain.data.sequences import open_sequences
from pretrain.data.stream import Stream
from pretrain.loop import learning_rate
from pretrain.model import build, initial_values
from pretrain.parallel import Group, cuts_of, put
from pretrain.settings import TrainSettings
from pretrain.tracking.metrics import read_metrics
from pretrain.train import architecture_of


def test_loss_falls_far_below_the_baselines(tmp_path: Path, make_context) -> None:
    sequences = write_sequences(tmp_path / "sequences", {"aa": 800, "bb": 200})
    config = tiny_config(model=NO_DROPOUT, steps=300, evaluate_every=100)
    counts, context = train_into(tmp_path / "run", sequences, make_context, config)
    baselines = json.loads((tmp_path / "run" / "baselines.json").read_text())
    assert baselines["uniform"] == pytest.approx(np.log(40))
    # Each language has 17 tokens of its own.
    assert baselines["language_unigram"]["overall"] == pytest.approx(np.log(17), abs=0.3)
    assert counts["validation_loss"] < 0.5 * baselines["language_unigram"]["overall"]
    assert counts["skipped_steps"] == 0
    assert counts["tokens"] == 300 * 8 * 16
    assert not context.warnings
    validations = [r for r in read_metrics(tmp_path / "run" / "metrics.jsonl") if "validation_loss" in r]
    assert [r["step"] for r in validations] == [100, 200, 300]
    assert set(validations[0]["by_language"]) == {"aa", "bb"}


def test_first_loss_is_the_mean_over_the_masked_positions_of_the_global_batch(
    tmp_path: Path, sequences: Path, make_context
) -> None:
    config = tiny_config(model=NO_DROPOUT, steps=1, micro_batch=2)
    train_into(tmp_path / "run", sequences, make_context, config)
    folder = open_sequences(sequences)
    drawn = Stream(folder.train, 16, 8, ALPHA, 1).batch(0)
    batch = Masker(MaskedVocabulary.plain(40), 0.15, 1).mask(drawn.ids, 0, drawn.rows)
    model = build(architecture_of(config.model, folder)).eval()
    put(model, {name: make() for name, make in initial_values(model, 1)}, cuts_of(model), Group())
    with torch.no_grad():
        scores = model(torch.from_numpy(batch.ids))[torch.from_numpy(batch.rows), torch.from_numpy(batch.columns)]
    expected = nn.functional.cross_entropy(scores, torch.from_numpy(batch.labels))
    assert losses_of(tmp_path / "run") == pytest.approx([expected.item()], rel=1e-5)


def test_starting_from_frequencies_is_worth_the_unigram_model(tmp_path: Path, sequences: Path, make_context) -> None:
    output = tmp_path / "run"
    config = tiny_config(steps=1, init_bias_from_unigram=True, peak_learning_rate=1e-9, evaluate_every=1)
    counts, _ = train_into(output, sequences, make_context, config)
    unigram = json.loads((output / "baselines.json").read_text())["unigram"]["overall"]
    # The weights are near zero, so the bias alone speaks.
    assert counts["validation_loss"] == pytest.approx(unigram, abs=0.05)


@pytest.mark.parametrize("micro_batch", [4, 3, 1])
def test_micro_batches_do_not_change_the_step(micro_batch: int, tmp_path: Path, sequences: Path, make_context) -> None:
    model = NO_DROPOUT
    for name, size in (("whole", 8), ("parts", micro_batch)):
        train_into(tmp_path / name, sequences, make_context, tiny_config(model, micro_batch=size, steps=6))
    for whole, parts in zip(
        last_weights(tmp_path / "whole").items(), last_weights(tmp_path / "parts").items(), strict=True
    ):
        torch.testing.assert_close(whole[1], parts[1], rtol=1e-4, atol=2e-6)


def poisoned(config):
    """A model whose loss is never finite."""
    model = build(config)
    model.head.bias = nn.Parameter(torch.full((config.vocab_size,), float("nan")))
    return model


def test_stops_after_too_many_steps_that_are_not_finite(
    tmp_path: Path, sequences: Path, make_context, monkeypatch
) -> None:
    monkeypatch.setattr(pretrain.train, "build", poisoned)
    with pytest.raises(XlmrError, match="4 steps in a row were not finite, up to step 4"):
        train_into(tmp_path / "run", sequences, make_context, tiny_config(max_skipped=4))
    assert [r["applied"] for r in read_metrics(tmp_path / "run" / "metrics.jsonl")] == [False] * 4


def test_bf16_stays_near_fp32(tmp_path: Path, sequences: Path, make_context) -> None:
    model = NO_DROPOUT
    for dtype in ("fp32", "bf16"):
        train_into(tmp_path / dtype, sequences, make_context, tiny_config(model, dtype=dtype))
    exact, rounded = losses_of(tmp_path / "fp32"), losses_of(tmp_path / "bf16")
    assert exact != rounded
    assert rounded == pytest.approx(exact, rel=0.02)


def test_learning_rate_warms_up_and_decays() -> None:
    settings = TrainSettings(steps=100, warmup_steps=10, peak_learning_rate=1.0)
    rates = [learning_rate(step, settings) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(1 / 90)


def test_a_finished_training_is_not_trained_again(tmp_path: Path, sequences: Path, make_context) -> None:
    output = tmp_path / "run"
    first, _ = train_into(output, sequences, make_context, tiny_config(steps=10))
    metrics = (output / "metrics.jsonl").read_bytes()
    again, _ = train_into(output, sequences, make_context, tiny_config(steps=10))
    assert again["validation_loss"] == first["validation_loss"]
    assert again["steps"] == 10
    assert (output / "metrics.jsonl").read_bytes() == metrics


def test_sequences_longer_than_the_position_table_are_refused(sequences: Path) -> None:
    with pytest.raises(XlmrError, match=r"set pretrain\.model\.max_position_embeddings to 18 or more"):
        architecture_of(tiny_config({"max_position_embeddings": 17}).model, open_sequences(sequences))


def test_the_table_is_padded(sequences: Path) -> None:
    assert (
        architecture_of(tiny_config({"pad_vocab_to_multiple_of": 64}).model, open_sequences(sequences)).vocab_size == 64
    )


def test_how_it_is_run_is_not_in_the_key() -> None:
    plain = fingerprint(tiny_config())
    assert fingerprint(tiny_config(log_every=3, checkpoint_every=9, micro_batch=2, zero_stage=1, keep_last=5)) == plain
    assert fingerprint(tiny_config(keep_every=9, keep_best=True, trackers=("wandb",), checkpoint_memory=1)) == plain
    assert fingerprint(tiny_config(peak_learning_rate=1e-3)) != plain


def test_report_shows_the_curve_and_the_baselines(tmp_path: Path, sequences: Path, make_context) -> None:
    from pretrain.report import sections

    assert sections({}) == []
    train_into(tmp_path / "run", sequences, make_context, tiny_config())
    (section,) = sections({"pretrain.train": tmp_path / "run"})
    for words in ("even guess", "token frequencies", "validation", "<svg"):
        assert words in section.body
    assert "nats" in section.lead


def test_uneven_languages_are_validated_too(tmp_path: Path, make_context) -> None:
    sequences = write_sequences(tmp_path / "s", {"aa": 64, "bb": 9, "cc": 1})
    train_into(tmp_path / "run", sequences, make_context, tiny_config(steps=10))
    last = [r for r in read_metrics(tmp_path / "run" / "metrics.jsonl") if "by_language" in r][-1]
    assert set(last["by_language"]) == {"aa", "bb", "cc"}


def test_deterministic_algorithms_hold_for_the_training_alone(
    sequences: Path, tmp_path: Path, make_context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that it is put back
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    seen: list[bool] = []
    step = pretrain.train.Engine.step

    def noting(engine: pretrain.train.Engine, rate: float) -> object:
        seen.append(torch.are_deterministic_algorithms_enabled())
        return step(engine, rate)

    monkeypatch.setattr(pretrain.train.Engine, "step", noting)
    for wanted in (False, True):
        config = tiny_config(steps=3, evaluate_every=3, zero_stage=2, deterministic=wanted)
        train_into(tmp_path / str(wanted), sequences, make_context, config)
    assert seen == [False] * 3 + [True] * 3
    assert not torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    plain, again = last_weights(tmp_path / "False"), last_weights(tmp_path / "True")
    assert all(torch.equal(plain[name], again[name]) for name in plain)
