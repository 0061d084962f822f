"""Two ranks, tensors cut or Adam's state shared: the losses and predictions of one process."""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from finetune_ranks import LAYOUTS, tiny_comparison
from safetensors.torch import load_file

from pipeline.errors import XlmrError
from pretrain.folder import load_model, save_model
from pretrain.model import MaskedLanguageModel
from pretrain.ranks.local_ranks import start_ranks


@pytest.fixture(scope="module")
def still(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny encoder without dropout, which draws other numbers where rows are others."""
    model = load_model(export)
    folder = tmp_path_factory.mktemp("still")
    quiet = MaskedLanguageModel(type(model.config)(**{**vars(model.config), "dropout": 0.0, "attention_dropout": 0.0}))
    quiet.load_state_dict(model.state_dict())
    save_model(quiet, folder, export / "sentencepiece.bpe.model")
    return folder


def lines_of(output: Path) -> list[dict[str, Any]]:
    with gzip.open(output / "predictions.jsonl.gz", "rt") as handle:
        return [json.loads(line) for line in handle]


@pytest.mark.slow
def test_two_ranks_are_one_process(still: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    script = Path(__file__).with_name("finetune_ranks.py")
    assert start_ranks(2, [sys.executable, str(script), str(still), str(tmp_path / "two")]) == 0
    assert (tmp_path / "two" / "world").read_text() == "2"
    for kind in ("classification", "tagging"):
        tiny_comparison(kind, still, tmp_path / "one" / kind)
    for name in (*LAYOUTS, "tagging"):
        one, two = tmp_path / "one" / ("tagging" if name == "tagging" else "classification"), tmp_path / "two" / name
        for ours, theirs in zip(
            *(json.loads((o / "results.json").read_text())["runs"] for o in (one, two)), strict=True
        ):
            assert len(ours["history"]) == 2
            for first, second in zip(ours["history"], theirs["history"], strict=True):
                assert second.pop("dev_scores") == pytest.approx(first["dev_scores"]), name
                assert second == pytest.approx({n: v for n, v in first.items() if n != "dev_scores"}, rel=2e-4), name
        whole, joined = (load_file(output / "model" / "model.safetensors") for output in (one, two))
        assert whole.keys() == joined.keys()
        assert all(torch.allclose(whole[n], joined[n], atol=2e-4) for n in whole), name
        for ours, theirs in zip(lines_of(one), lines_of(two), strict=True):
            assert theirs["predicted"] == ours["predicted"]
            assert theirs.get("confidence", 0) == pytest.approx(ours.get("confidence", 0), abs=2e-4)


def test_tensor_parallel_by_one_process_is_one_line(export: Path, tmp_path: Path) -> None:
    with pytest.raises(XlmrError, match=r"tensor_parallel is 2, and this is one process; start .* --ranks 2"):
        tiny_comparison("classification", export, tmp_path / "out", tensor_parallel=2)
