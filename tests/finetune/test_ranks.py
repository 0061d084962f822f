"""Two ranks, tensors divided or the state shared by ZeRO: the losses and predictions of one process, resumed or not."""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch._subclasses.fake_tensor import FakeTensorMode

from finetune.heads.encoding import IGNORED, Encoded
from finetune.stages import Recipe
from finetune.training.engines import OneProcess, weights_of
from finetune.training.ranks import Ranks
from pipeline.errors import XlmrError
from pipeline.storage import read_json
from pretrain import model as model_file
from pretrain.folder import load_model, save_model
from pretrain.model import MaskedLanguageModel
from pretrain.parallel import Group
from pretrain.ranks.local_ranks import start_ranks
from tests.finetune.finetune_ranks import LAYOUTS, RESUMED, resumed_comparison, tiny_comparison


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
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    script = Path(__file__).with_name("finetune_ranks.py")
    assert start_ranks(2, [sys.executable, str(script), str(still), str(tmp_path / "two")]) == 0
    assert (tmp_path / "two" / "world").read_text() == "2"
    for kind in ("classification", "tagging"):
        tiny_comparison(kind, still, tmp_path / "one" / kind)
    resumed_comparison(tmp_path / "two" / "kept", still, tmp_path / "two" / "one process resumed")
    for name in (*LAYOUTS, *RESUMED, "one process resumed", "tagging"):
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


def test_parts_of_a_batch_and_recomputed_layers_change_nothing(
    still: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recomputed, longest = [], []
    real, real_forward = model_file.checkpoint, model_file.Encoder.forward

    def counts(layer: Any, *given: Any, **named: Any) -> Any:
        recomputed.append(layer)
        return real(layer, *given, **named)

    def watched(self: Any, ids: torch.Tensor, attention_mask: Any = None) -> torch.Tensor:
        longest.append(len(ids) if self.training else 0)
        return real_forward(self, ids, attention_mask)

    monkeypatch.setattr(model_file, "checkpoint", counts)
    monkeypatch.setattr(model_file.Encoder, "forward", watched)
    tiny_comparison("tagging", still, tmp_path / "whole")
    assert (recomputed, max(longest)) == ([], 4)
    longest.clear()
    tiny_comparison("tagging", still, tmp_path / "parts", micro_batch=3, activation_checkpointing=True)
    assert recomputed
    assert max(longest) == 2, "four texts by at most three: two and two"
    for whole, parts in zip(
        *(read_json(tmp_path / n / "results.json")["runs"] for n in ("whole", "parts")), strict=True
    ):
        for first, second in zip(whole["history"], parts["history"], strict=True):
            assert second.pop("dev_scores") == pytest.approx(first.pop("dev_scores"))
            assert second == pytest.approx(first, rel=1e-5)
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)


@pytest.mark.parametrize("most", [0, 1, 2, 5])
def test_shares_of_all_ranks_and_parts_make_one(most: int) -> None:
    rows = [np.arange(2 + n % 4, dtype=np.int32) for n in range(7)]
    flat = np.concatenate(rows)
    texts = Encoded.of(rows, np.where(flat > 0, flat.astype(np.int64), IGNORED))  # the first token is not judged
    assert texts.by_token
    for world in (1, 2, 3, 9):
        ranks = [Ranks(data=Group(rank, world, tuple(range(world)))) for rank in range(world)]
        parts = [list(one.parts(texts, np.arange(7), one.micro_batches(7, most))) for one in ranks]
        assert len({len(own) for own in parts}) == 1, "sums of gradients must meet"
        assert sum(share for own in parts for _, share in own) == pytest.approx(1)
        assert all(len(some) <= (most or 7) for own in parts for some, _ in own)
        reported = sorted(row for own in parts for some, share in own if share for row in some)
        assert reported == list(range(7))


def test_best_weights_are_kept_off_the_gpu() -> None:
    with FakeTensorMode():  # a GPU that is not there
        model = torch.nn.ParameterList([torch.empty(2, device="cuda")])
        assert {value.device.type for value in model.state_dict().values()} == {"cuda"}
        found = weights_of(OneProcess(model, Recipe()))
        assert {value.device.type for value in found.values()} == {"cpu"}


def test_tensor_parallel_by_one_process_is_one_line(export: Path, tmp_path: Path) -> None:
    with pytest.raises(XlmrError, match=r"tensor_parallel is 2, and this is one process; start .* --ranks 2"):
        tiny_comparison("classification", export, tmp_path / "out", tensor_parallel=2)
