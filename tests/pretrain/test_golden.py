"""Golden losses: 50 steps that any change which is meant to change nothing must give again.

Rounding may differ: between CPUs, numbers of threads and versions of PyTorch. Weights that are moved by one part in a
million, ten times fp32's rounding, move these losses by less than one in a million. TOLERANCE is ten times that, and
each small change of a setting below moves them by more. The curve with dropout holds where PyTorch draws with MKL: x86.

A change that is meant to change them: XLMR_WRITE_GOLDEN=1 pytest tests/pretrain/test_golden.py, and say why.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from tiny_corpus import write_sequences
from tiny_training import NO_DROPOUT, losses_of, tiny_config, train_into

GOLDEN = Path(__file__).parent / "golden_losses.json"
TOLERANCE = 1e-5
STEPS = {"steps": 50, "micro_batch": 3, "max_grad_norm": 0.5}

CURVES = {
    "post-LN": {"model": NO_DROPOUT},
    "pre-LN, padded table": {"model": {**NO_DROPOUT, "norm": "pre", "pad_vocab_to_multiple_of": 64}},
    "with pairs": {"model": NO_DROPOUT, "data": {"pair_share": 0.4}, "init_bias_from_unigram": True},
    "dropout": {},
}


def curve(folder: Path, make_context, **changed) -> list[float]:
    sequences = write_sequences(folder / "sequences", {"aa": 160, "bb": 20, "cc": 3})
    pairs = write_sequences(folder / "pairs", {"aa-bb": 30, "bb-cc": 9})
    train_into(
        folder / "run", sequences, make_context, tiny_config(**{**STEPS, **changed}), **{"pretrain.pairs": pairs}
    )
    return losses_of(folder / "run")


@pytest.mark.parametrize("name", CURVES)
def test_golden_losses(name: str, tmp_path: Path, make_context) -> None:
    if name == "dropout" and not torch.backends.mkl.is_available():
        pytest.skip("PyTorch draws other numbers without MKL")
    losses = curve(tmp_path, make_context, **CURVES[name])
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("XLMR_WRITE_GOLDEN"):
        golden[name] = [round(loss, 7) for loss in losses]
        GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")
    assert len(losses) == 50
    assert losses == pytest.approx(golden[name], rel=TOLERANCE)


@pytest.mark.parametrize(
    "changed",
    [
        {"weight_decay": 0.0},
        {"max_grad_norm": 0.49},
        {"betas": (0.9, 0.979)},
        {"warmup_steps": 6},
        {"data": {"alpha": 0.29}},
    ],
    ids=str,
)
def test_a_small_change_is_seen(changed: dict, tmp_path: Path, make_context) -> None:
    golden = json.loads(GOLDEN.read_text())["post-LN"]
    losses = curve(tmp_path, make_context, model=NO_DROPOUT, **changed)
    worst = max(abs(loss / expected - 1) for loss, expected in zip(losses, golden, strict=True))
    assert worst > 2 * TOLERANCE
