"""The training loop: it learns, it goes on exactly where it was killed, and it refuses what is not whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_corpus import write_samples
from torch import nn

import pretrain.train
from pipeline.config import fingerprint
from pipeline.errors import XlmrError
from pretrain.checkpoint import CheckpointFolder, read_checkpoint
from pretrain.engine import Engine
from pretrain.export import run as export
from pretrain.masking import mask_samples
from pretrain.metrics import read_metrics
from pretrain.model import MaskedLanguageModel
from pretrain.samples import open_samples
from pretrain.stages import ExportConfig, PretrainConfig, TrainSettings
from pretrain.stream import Stream
from pretrain.train import architecture_of, learning_rate, run

GOLDEN = Path(__file__).parent / "golden_losses.json"

TINY = {"layers": 2, "width": 32, "heads": 2, "feed_forward": 64, "positions": 18}


def tiny_config(model: dict | None = None, **train: object) -> PretrainConfig:
    settings = {
        "updates": 20, "global_batch": 8, "micro_batch": 8, "peak_learning_rate": 3e-3, "warmup": 5, "dtype": "fp32",
        "threads": 1, "log_every": 1, "evaluate_every": 10, "checkpoint_every": 5,
    }  # fmt: skip
    return PretrainConfig(model={**TINY, **(model or {})}, data={"validation_samples": 12}, train={**settings, **train})


def train_into(output: Path, samples: Path, make_context, config: PretrainConfig):
    context = make_context(output)
    counts = run(config, {"tokenizer.encode": samples}, output, context)
    return counts, context


def losses_of(output: Path) -> list[float]:
    return [record["loss"] for record in read_metrics(output / "metrics.jsonl") if "loss" in record]


def last_weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(max((output / "checkpoints").glob("update-*")) / "weights.safetensors")


def test_loss_falls_far_below_the_baselines(tmp_path: Path, make_context) -> None:
    samples = write_samples(tmp_path / "samples", {"aa": 800, "bb": 200})
    config = tiny_config(model={"dropout": 0.0, "attention_dropout": 0.0}, updates=300, evaluate_every=100)
    counts, context = train_into(tmp_path / "run", samples, make_context, config)
    baselines = json.loads((tmp_path / "run" / "baselines.json").read_text())
    assert baselines["uniform"] == pytest.approx(np.log(40))
    # Each language has 17 pieces of its own.
    assert baselines["language_unigram"]["overall"] == pytest.approx(np.log(17), abs=0.3)
    assert counts["validation_loss"] < 0.5 * baselines["language_unigram"]["overall"]
    assert counts["skipped_updates"] == 0
    assert counts["pieces"] == 300 * 8 * 16
    assert not context.warnings
    validations = [r for r in read_metrics(tmp_path / "run" / "metrics.jsonl") if "validation_loss" in r]
    assert [r["update"] for r in validations] == [100, 200, 300]
    assert set(validations[0]["by_language"]) == {"aa", "bb"}


def test_first_loss_is_the_mean_over_the_masked_positions_of_the_global_batch(
    tmp_path: Path, samples: Path, make_context
) -> None:
    config = tiny_config(model={"dropout": 0.0, "attention_dropout": 0.0}, updates=1, micro_batch=2)
    train_into(tmp_path / "run", samples, make_context, config)
    folder = open_samples(samples)
    drawn = Stream(folder.train, 16, 8, 0.3, 1).batch(0)
    batch = mask_samples(drawn.ids, 40, 0.15, 1, 0, drawn.rows)
    torch.manual_seed(1)
    model = MaskedLanguageModel(architecture_of(config.model, folder)).eval()
    with torch.no_grad():
        scores = model(torch.from_numpy(batch.ids))[torch.from_numpy(batch.rows), torch.from_numpy(batch.columns)]
    expected = nn.functional.cross_entropy(scores, torch.from_numpy(batch.targets))
    assert losses_of(tmp_path / "run") == pytest.approx([expected.item()], rel=1e-5)


def test_starting_from_frequencies_is_worth_the_unigram_model(tmp_path: Path, samples: Path, make_context) -> None:
    output = tmp_path / "run"
    config = tiny_config(updates=1, start_from_frequencies=True, peak_learning_rate=1e-9, evaluate_every=1)
    counts, _ = train_into(output, samples, make_context, config)
    unigram = json.loads((output / "baselines.json").read_text())["unigram"]["overall"]
    # The weights are near zero, so the bias alone speaks.
    assert counts["validation_loss"] == pytest.approx(unigram, abs=0.05)


def test_golden_losses(tmp_path: Path, samples: Path, make_context) -> None:
    """A change that is meant to change nothing must give these losses again."""
    train_into(tmp_path / "run", samples, make_context, tiny_config())
    losses = losses_of(tmp_path / "run")
    if os.environ.get("XLMR_WRITE_GOLDEN"):
        GOLDEN.write_text(json.dumps([round(loss, 6) for loss in losses], indent=1) + "\n")
    assert losses == pytest.approx(json.loads(GOLDEN.read_text()), rel=2e-4)


@pytest.mark.parametrize("micro_batch", [4, 3, 1])
def test_micro_batches_do_not_change_the_update(micro_batch: int, tmp_path: Path, samples: Path, make_context) -> None:
    model = {"dropout": 0.0, "attention_dropout": 0.0}
    for name, size in (("whole", 8), ("parts", micro_batch)):
        train_into(tmp_path / name, samples, make_context, tiny_config(model, micro_batch=size, updates=6))
    for whole, parts in zip(
        last_weights(tmp_path / "whole").items(), last_weights(tmp_path / "parts").items(), strict=True
    ):
        torch.testing.assert_close(whole[1], parts[1], rtol=1e-4, atol=2e-6)


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_train import tiny_config
from pipeline.context import Context
from pipeline.errors import XlmrError
from pipeline.log import EventLog
from pretrain.train import run
output = Path(sys.argv[2])
output.mkdir(parents=True, exist_ok=True)
context = Context("pretrain.train", output, 1, EventLog(Path(sys.argv[3])))
try:
    run(tiny_config(updates=300), {{"tokenizer.encode": Path(sys.argv[1])}}, output, context)
except XlmrError as error:
    print(error)
    sys.exit(1)
"""


def start_child(samples: Path, output: Path, tmp_path: Path) -> subprocess.Popen:
    code = CHILD.format(tests=str(Path(__file__).parent))
    words = [sys.executable, "-c", code, str(samples), str(output), str(tmp_path / "child.jsonl")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def wait_for_checkpoint(child: subprocess.Popen, output: Path, update: int) -> None:
    while not any(int(p.name[7:]) >= update for p in (output / "checkpoints").glob("update-*")):
        assert child.poll() is None, child.communicate()
        time.sleep(0.005)


@pytest.mark.slow
def test_killed_and_resumed_equals_undisturbed(tmp_path: Path, samples: Path, make_context, capsys) -> None:
    disturbed, undisturbed = tmp_path / "disturbed", tmp_path / "undisturbed"
    child = start_child(samples, disturbed, tmp_path)
    wait_for_checkpoint(child, disturbed, 20)
    child.kill()
    _, errors = child.communicate()
    assert child.returncode == -signal.SIGKILL, errors
    assert not (disturbed / "checkpoints" / "update-00000300").exists()
    for output in (disturbed, undisturbed):
        train_into(output, samples, make_context, tiny_config(updates=300))
    assert "going on after update" in capsys.readouterr().err
    assert losses_of(disturbed) == losses_of(undisturbed)
    weights, expected = last_weights(disturbed), last_weights(undisturbed)
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.mark.slow
def test_sigterm_saves_and_leaves(tmp_path: Path, samples: Path) -> None:
    output = tmp_path / "run"
    child = start_child(samples, output, tmp_path)
    wait_for_checkpoint(child, output, 5)
    child.terminate()
    said, errors = child.communicate(timeout=60)
    assert child.returncode == 1, errors
    checkpoint, faults = CheckpointFolder(output / "checkpoints").newest()
    assert not faults
    assert checkpoint is not None
    assert f"after update {checkpoint.progress.update}, which is saved" in said
    assert 5 <= checkpoint.progress.update < 300
    # Nothing of DeepSpeed's on the terminal: only our own lines, which are indented or errors.
    assert all(line.startswith("  pretrain.train") for line in errors.splitlines()), errors
    assert said.count("\n") == 1


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path: Path, samples: Path, make_context) -> None:
    output, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    train_into(output, samples, make_context, tiny_config(updates=20))
    train_into(undisturbed, samples, make_context, tiny_config(updates=20))
    path = output / "checkpoints" / "update-00000020" / "exp_avg.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    _, context = train_into(output, samples, make_context, tiny_config(updates=20))
    assert "exp_avg.safetensors: not what was written" in context.warnings[0]
    assert len(context.warnings) == 1
    resumed = [json.loads(line) for line in context.log.path.read_text().splitlines() if '"resumed"' in line]
    assert resumed[-1]["checkpoint"].endswith("update-00000015")
    assert all(
        torch.equal(a, b)
        for a, b in zip(last_weights(output).values(), last_weights(undisturbed).values(), strict=True)
    )


def test_no_whole_checkpoint_is_an_error_not_a_new_start(tmp_path: Path, samples: Path, make_context) -> None:
    output = tmp_path / "run"
    train_into(output, samples, make_context, tiny_config(updates=5))
    (output / "checkpoints" / "update-00000005" / "checkpoint.json").write_text("{")
    with pytest.raises(XlmrError, match=r"no checkpoint is whole.*--force pretrain\.train"):
        train_into(output, samples, make_context, tiny_config(updates=5))


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path, samples: Path, make_context) -> None:
    output = tmp_path / "run"
    train_into(output, samples, make_context, tiny_config(updates=5))
    with pytest.raises(XlmrError, match=r"another architecture .layers 2 instead of 3, norm post instead of pre."):
        train_into(output, samples, make_context, tiny_config({"layers": 3, "norm": "pre"}, updates=5))


def test_only_the_last_checkpoints_stay_and_no_leftovers(tmp_path: Path, samples: Path, make_context) -> None:
    output = tmp_path / "run"
    (output / "checkpoints" / ".update-00000003.99.tmp").mkdir(parents=True)
    train_into(output, samples, make_context, tiny_config(updates=20, checkpoint_every=4, keep=3))
    assert sorted(p.name for p in (output / "checkpoints").iterdir()) == [
        "update-00000012", "update-00000016", "update-00000020",
    ]  # fmt: skip


def test_checkpoints_by_the_clock(tmp_path: Path, samples: Path, make_context) -> None:
    output = tmp_path / "run"
    config = tiny_config(updates=3, checkpoint_every=1000, checkpoint_seconds=1e-6, keep=9)
    train_into(output, samples, make_context, config)
    assert len(list((output / "checkpoints").iterdir())) == 3


class Poisoned(MaskedLanguageModel):
    """A model whose loss is never finite."""

    def __init__(self, config) -> None:
        super().__init__(config)
        nn.init.constant_(self.head.bias, float("nan"))


def test_stops_after_too_many_updates_that_are_not_finite(
    tmp_path: Path, samples: Path, make_context, monkeypatch
) -> None:
    monkeypatch.setattr(pretrain.train, "MaskedLanguageModel", Poisoned)
    with pytest.raises(XlmrError, match="4 updates in a row were not finite, up to update 4"):
        train_into(tmp_path / "run", samples, make_context, tiny_config(max_skipped=4))
    assert [r["applied"] for r in read_metrics(tmp_path / "run" / "metrics.jsonl")] == [False] * 3


def engine_of(samples: Path, **train: object) -> tuple[Engine, TrainSettings]:
    config = tiny_config(model={"dropout": 0.0, "attention_dropout": 0.0}, **train)
    torch.manual_seed(1)
    model = MaskedLanguageModel(architecture_of(config.model, open_samples(samples)))
    return Engine(model, config.train, 1), config.train


def updates_of(engine: Engine, samples: Path, numbers: range) -> list[float]:
    folder = open_samples(samples)
    stream = Stream(folder.train, 16, 8, 0.3, 1)
    losses = []
    for number in numbers:
        drawn = stream.batch(number)
        batch = mask_samples(drawn.ids, 40, 0.15, 1, number, drawn.rows)
        engine.start_update(number)
        losses.append(sum(engine.accumulate(b, len(batch.targets)).item() for b in batch.split(8)))
        assert engine.update(3e-3).applied
    return losses


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_an_update_that_is_not_finite_changes_nothing(stage: int, samples: Path) -> None:
    engine, _ = engine_of(samples, zero_stage=stage)
    updates_of(engine, samples, range(2))
    before = engine.state()
    hook = engine.model.head.dense.bias.register_hook(lambda gradient: gradient * float("inf"))
    batch = mask_samples(np.full((8, 16), 7), 40, 0.15, 1, 0, np.arange(8))
    engine.start_update(2)
    engine.accumulate(batch, len(batch.targets))
    assert not engine.update(3e-3).applied
    after = engine.state()
    assert all(torch.equal(before[part][name], after[part][name]) for part in before for name in before[part])
    hook.remove()
    updates_of(engine, samples, range(2, 4))
    engine.close()


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0), (2, 1), (1, 2)])
def test_a_state_goes_from_one_zero_stage_to_another(first: int, second: int, samples: Path) -> None:
    straight, _ = engine_of(samples, zero_stage=0)
    expected = updates_of(straight, samples, range(8))
    straight.close()
    engine, _ = engine_of(samples, zero_stage=first)
    assert updates_of(engine, samples, range(4)) == pytest.approx(expected[:4], rel=1e-5)
    state = engine.state()
    engine.close()
    other, _ = engine_of(samples, zero_stage=second)
    other.load_state(state, 4)
    again = other.state()
    assert all(torch.equal(state[part][name], again[part][name]) for part in state for name in state[part])
    assert updates_of(other, samples, range(4, 8)) == pytest.approx(expected[4:], rel=1e-5)
    other.close()


def test_bf16_stays_near_fp32(tmp_path: Path, samples: Path, make_context) -> None:
    model = {"dropout": 0.0, "attention_dropout": 0.0}
    for dtype in ("fp32", "bf16"):
        train_into(tmp_path / dtype, samples, make_context, tiny_config(model, dtype=dtype))
    exact, rounded = losses_of(tmp_path / "fp32"), losses_of(tmp_path / "bf16")
    assert exact != rounded
    assert rounded == pytest.approx(exact, rel=0.02)


def test_learning_rate_warms_up_and_decays() -> None:
    settings = TrainSettings(updates=100, warmup=10, peak_learning_rate=1.0)
    rates = [learning_rate(update, settings) for update in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(1 / 90)


def test_a_finished_training_is_not_trained_again(tmp_path: Path, samples: Path, make_context) -> None:
    output = tmp_path / "run"
    first, _ = train_into(output, samples, make_context, tiny_config(updates=10))
    metrics = (output / "metrics.jsonl").read_bytes()
    again, _ = train_into(output, samples, make_context, tiny_config(updates=10))
    assert again["validation_loss"] == first["validation_loss"]
    assert again["updates"] == 10
    assert (output / "metrics.jsonl").read_bytes() == metrics


def test_samples_longer_than_the_position_table_are_refused(samples: Path) -> None:
    with pytest.raises(XlmrError, match=r"set pretrain\.model\.positions to 18 or more"):
        architecture_of(tiny_config({"positions": 17}).model, open_samples(samples))


def test_the_table_is_padded(samples: Path) -> None:
    assert architecture_of(tiny_config({"rows_multiple_of": 64}).model, open_samples(samples)).vocabulary_rows == 64


def test_how_it_is_run_is_not_in_the_key() -> None:
    plain = fingerprint(tiny_config())
    assert fingerprint(tiny_config(log_every=3, checkpoint_every=9, micro_batch=2, zero_stage=1, keep=5)) == plain
    assert fingerprint(tiny_config(peak_learning_rate=1e-3)) != plain


def test_export_writes_what_was_trained(tmp_path: Path, samples: Path, make_context) -> None:
    from pretrain.folder import load_model

    trained, tokenizer, output = tmp_path / "run", tmp_path / "tokenizer", tmp_path / "export"
    train_into(trained, samples, make_context, tiny_config(updates=5))
    tokenizer.mkdir()
    (tokenizer / "sentencepiece.bpe.model").write_bytes(b"pieces")
    counts = export(
        ExportConfig(), {"pretrain.train": trained, "tokenizer.train": tokenizer}, output, make_context(output)
    )
    assert counts["updates"] == 5
    assert (output / "sentencepiece.bpe.model").read_bytes() == b"pieces"
    weights = last_weights(trained)
    for name, tensor in load_model(output).named_parameters():
        assert torch.equal(tensor, weights[name]), name


def test_report_shows_the_curve_and_the_baselines(tmp_path: Path, samples: Path, make_context) -> None:
    from pretrain.report import sections

    assert sections({}) == []
    train_into(tmp_path / "run", samples, make_context, tiny_config())
    (section,) = sections({"pretrain.train": tmp_path / "run"})
    for words in ("even guess", "piece frequencies", "validation", "<svg"):
        assert words in section.body
    assert "nats" in section.lead


def test_verifying_reads_every_file(tmp_path: Path, samples: Path, make_context) -> None:
    train_into(tmp_path / "run", samples, make_context, tiny_config(updates=5))
    folder = tmp_path / "run" / "checkpoints" / "update-00000005"
    assert read_checkpoint(folder).progress.update == 5
    for name in ("weights", "exp_avg", "exp_avg_sq"):
        path = folder / f"{name}.safetensors"
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(XlmrError, match=f"{name}.safetensors: missing"):
            read_checkpoint(folder)
        path.write_bytes(content)


def test_uneven_languages_are_validated_too(tmp_path: Path, make_context) -> None:
    samples = write_samples(tmp_path / "s", {"aa": 64, "bb": 9, "cc": 1})
    train_into(tmp_path / "run", samples, make_context, tiny_config(updates=10))
    last = [r for r in read_metrics(tmp_path / "run" / "metrics.jsonl") if "by_language" in r][-1]
    assert set(last["by_language"]) == {"aa", "bb", "cc"}
