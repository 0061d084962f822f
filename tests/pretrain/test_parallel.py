"""Any layout of ranks trains as one process does: real processes over gloo, on a tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ranks import Case, read_state, run_ranks

from pipeline.errors import XlmrError
from pretrain.model import PRESETS, ModelConfig, build
from pretrain.parallel import Cut, Group, check_divides, cuts_of

Seen = dict[str, dict[str, Any]]

HALF: dict[str, Any] = {"dtype": "bf16", "weights": "bf16", "zero_stage": 1}
WIDER = {"hidden_size": 128, "intermediate_size": 256}
PRE = {"hidden_size": 256, "intermediate_size": 512, "norm": "pre"}
SLOWER = 3e-4
"""In bf16 a narrow model's gradient is mostly rounding, and Adam's first steps follow its signs alone: at size 32 and
ten times this rate one process in bf16 is 4e-3 from itself in fp32."""

DROPOUT = {"dropout": 0.3, "attention_dropout": 0.3}
ACTIVATION_CHECKPOINTING = {"activation_checkpointing": True, "zero_stage": 1}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    cases = [
        Case("post", steps=(0, 8)),
        Case("half", steps=(0, 4), save="state-one"),
        Case("pre", model={"norm": "pre"}),
        Case("bf16", HALF, WIDER, (0, 8), rate=SLOWER),
        Case("bf16-pre", HALF, PRE, rate=SLOWER),
        Case("dropout", {"zero_stage": 1}, DROPOUT, (0, 60)),
        Case("poison", poison=2),
    ]
    return run_ranks(tmp_path_factory.mktemp("one"), 1, cases)


def layouts(world: int) -> list[tuple[int, int]]:
    """(tensor-parallel ranks, ZeRO stage)."""
    return [(tensor, stage) for tensor in (1, 2, 4) if tensor <= world for stage in (0, 1, 2, 3)]


def cases_of(world: int) -> list[Case]:
    cases = []
    for tensor, stage in layouts(world):
        settings = {"tensor_parallel": tensor, "zero_stage": stage}
        cases.append(Case(f"post {tensor} {stage}", settings, steps=(0, 4), save=f"state {tensor} {stage}"))
        if stage:
            cases.append(Case(f"bf16 {tensor} {stage}", {**HALF, **settings}, WIDER, rate=SLOWER))
    for stage in (0, 3):
        cases.append(Case(f"pre {stage}", {"tensor_parallel": 2, "zero_stage": stage}, {"norm": "pre"}))
        cases.append(Case(f"poison {stage}", {"tensor_parallel": 2, "zero_stage": stage}, poison=2))
    return cases


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    shared = {"tensor_parallel": 2}
    cases = [
        *cases_of(2),
        Case("bf16-pre", {**HALF, **shared}, PRE, rate=SLOWER),
        Case("look", shared, DROPOUT, (0, 0), look=True),
        Case("look apart", {}, DROPOUT, (0, 0), look=True),
        Case("dropout", {**shared, "zero_stage": 1}, DROPOUT, (0, 60)),
        Case("dropout again", {**shared, **ACTIVATION_CHECKPOINTING}, DROPOUT, (0, 4)),
        Case("activation_checkpointing 3", {**shared, "zero_stage": 3, "activation_checkpointing": True}, steps=(0, 4)),
        Case("chunks", {**shared, "loss_chunk_size": 3}, steps=(0, 4)),
    ]
    folder = tmp_path_factory.mktemp("two")
    return run_ranks(folder, 2, cases) | {"folder": {"path": folder}}


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("four")
    return run_ranks(folder, 4, cases_of(4)) | {"folder": {"path": folder}}


BF16 = 2**-8
"""How far sums of bf16 may be apart: one in the last place. Processors add in orders of their own."""


def agree(seen: dict[str, Any], expected: dict[str, Any], tolerance: float) -> None:
    steps = len(seen["losses"])
    assert steps
    assert seen["losses"] == pytest.approx(expected["losses"][:steps], rel=tolerance)
    assert seen["norms"] == pytest.approx(expected["norms"][:steps], rel=tolerance)


@pytest.mark.slow
def test_two_ranks_train_as_one(one: Seen, two: Seen) -> None:
    compare_all(one, two, 2)
    agree(two["bf16-pre"], one["bf16-pre"], BF16)
    agree(two["activation_checkpointing 3"], one["post"], 1e-5)
    agree(two["chunks"], one["post"], 1e-5)


@pytest.mark.slow
def test_four_ranks_train_as_one(one: Seen, four: Seen) -> None:
    compare_all(one, four, 4)
    assert [four[f"post 2 1@{rank}"]["place"] for rank in range(4)] == [[0, 0], [0, 1], [1, 0], [1, 1]]


def compare_all(one: Seen, many: Seen, world: int) -> None:
    assert one["post"]["losses"][7] != pytest.approx(one["post"]["losses"][0], rel=1e-3)
    for tensor, stage in layouts(world):
        for rank in range(world):
            agree(many[f"post {tensor} {stage}@{rank}"], one["post"], 1e-5)
            assert many[f"post {tensor} {stage}@{rank}"]["score"] == pytest.approx(one["half"]["score"], rel=1e-5)
        if stage:
            agree(many[f"bf16 {tensor} {stage}"], one["bf16"], BF16)
    for stage in (0, 3):
        agree(many[f"pre {stage}"], one["pre"], 1e-5)


@pytest.mark.slow
def test_an_infinite_gradient_of_one_rank_is_skipped_by_all(one: Seen, two: Seen) -> None:
    for stage in (0, 3):
        for rank in range(2):
            seen = two[f"poison {stage}@{rank}"]
            assert seen["applied"] == [True, True, False, True]
            assert seen["losses"] == pytest.approx(one["poison"]["losses"], rel=1e-5)


def assert_states_equal(found: Path, expected: Path) -> None:
    ours, theirs = read_state(found), read_state(expected)
    assert ours.keys() == {"weights", "exp_avg", "exp_avg_sq"}
    for part, tensors in theirs.items():
        assert ours[part].keys() == tensors.keys()
        for name, tensor in tensors.items():
            scale = tensor.abs().max().item() or 1.0
            torch.testing.assert_close(ours[part][name], tensor, rtol=1e-4, atol=1e-4 * scale, msg=f"{part} {name}")


@pytest.mark.slow
def test_the_state_is_the_same_from_any_layout(one: Seen, two: Seen, tmp_path_factory: pytest.TempPathFactory) -> None:
    del one
    expected = next(tmp_path_factory.getbasetemp().glob("one*")) / "state-one"
    assert len(list(expected.iterdir())) == 2 * 12 + 4 + 5
    for tensor, stage in layouts(2):
        assert_states_equal(two["folder"]["path"] / f"state {tensor} {stage}", expected)


@pytest.mark.slow
def test_a_state_goes_to_any_other_layout(one: Seen, four: Seen) -> None:
    folder = four["folder"]["path"]
    resumed = [
        Case("1x4", {"zero_stage": 1}, steps=(4, 8), start="state 2 1"),
        Case("1x4 three", {"zero_stage": 3}, steps=(4, 8), start="state 2 3"),
        Case("4x1", {"tensor_parallel": 4}, steps=(4, 8), start="state 2 2"),
        Case("4x1 three", {"tensor_parallel": 4, "zero_stage": 3}, steps=(4, 8), start="state 1 3"),
        Case("2x2", {"tensor_parallel": 2, "zero_stage": 2}, steps=(4, 8), start="state 4 0"),
    ]
    alone = [Case("1x1", steps=(4, 8), start="state 2 3"), Case("twice", steps=(8, 8), start="state 2 3", save="s")]
    for seen in (run_ranks(folder, 4, resumed), run_ranks(folder, 1, alone)):
        for name in ("1x4", "1x4 three", "4x1", "4x1 three", "2x2", "1x1"):
            if name in seen:
                assert seen[name]["losses"] == pytest.approx(one["post"]["losses"][4:], rel=1e-5), name
                assert seen[name]["norms"] == pytest.approx(one["post"]["norms"][4:], rel=1e-5), name
    before, after = read_state(folder / "state 2 3"), read_state(folder / "s")
    assert all(torch.equal(before[part][name], after[part][name]) for part in before for name in before[part])


@pytest.mark.slow
def test_fp32_masters_of_bf16_weights_go_to_any_other_layout(one: Seen, tmp_path: Path) -> None:
    kinds = {"a": (1, 1), "b": (2, 2), "c": (2, 3), "d": (1, 3)}
    others = {"a": (2, 3), "b": (1, 2), "c": (1, 1), "d": (2, 1)}
    cases = []
    for name, (tensor, stage) in kinds.items():
        settings = {**HALF, "tensor_parallel": tensor, "zero_stage": stage}
        cases.append(Case(name, settings, WIDER, save=f"state {name}", rate=SLOWER))
    for name, (tensor, stage) in others.items():
        settings = {**HALF, "tensor_parallel": tensor, "zero_stage": stage}
        cases.append(Case(f"{name} again", settings, WIDER, (4, 4), f"state {name}", f"again {name}"))
        cases.append(Case(f"{name} on", settings, WIDER, (4, 8), f"state {name}", rate=SLOWER))
    seen = run_ranks(tmp_path, 2, cases)
    for name in kinds:
        before, after = read_state(tmp_path / f"state {name}"), read_state(tmp_path / f"again {name}")
        assert all(torch.equal(before[part][key], after[part][key]) for part in before for key in before[part])
        assert any((tensor.bfloat16() != tensor).any() for tensor in before["weights"].values())  # masters, not copies
        assert seen[f"{name} on"]["losses"] == pytest.approx(one["bf16"]["losses"][4:], rel=1e-3)


@pytest.mark.slow
def test_dropout_is_shared_where_tensors_are_and_own_where_they_are_cut(two: Seen) -> None:
    first, second = two["look@0"], two["look@1"]
    assert first["whole"] == second["whole"]
    for mine, other in zip(first["part"], second["part"], strict=True):
        assert abs(np.corrcoef(mine, other)[0, 1]) < 0.1
    for seen in (first, second):
        assert seen["part"][0] == seen["part"][1]  # the same step again
        assert seen["part"][0] != seen["part"][2]
        assert np.mean(seen["whole"]) == pytest.approx(0.7, abs=0.05)
        assert np.mean(seen["part"]) == pytest.approx(0.7, abs=0.05)
    apart = two["look apart@0"], two["look apart@1"]
    for kind in ("whole", "part"):
        assert abs(np.corrcoef(apart[0][kind][0], apart[1][kind][0])[0, 1]) < 0.1


@pytest.mark.slow
def test_training_with_dropout_goes_as_in_one_process(one: Seen, two: Seen) -> None:
    ours, expected = np.array(two["dropout"]["losses"]), np.array(one["dropout"]["losses"])
    assert not np.allclose(ours, expected, rtol=1e-4)  # other masks …
    difference = ours - expected  # … of the same kind
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(len(difference))
    assert np.mean(two["dropout"]["norms"]) == pytest.approx(np.mean(one["dropout"]["norms"]), rel=0.1)


@pytest.mark.slow
def test_recomputing_draws_the_same_masks_again(two: Seen) -> None:
    agree(two["dropout again"], two["dropout"], 1e-5)


@pytest.mark.slow
def test_compiled_layers_are_cut_too(tmp_path: Path) -> None:
    """With dropout in attention, which draws the same masks; a compiled layer's dropout on vectors draws others."""
    settings, model = (
        {"tensor_parallel": 2, "zero_stage": 3, "activation_checkpointing": True},
        {"attention_dropout": 0.3},
    )
    cases = [Case("plain", settings, model), Case("compiled", {**settings, "compile": True}, model)]
    seen = run_ranks(tmp_path, 2, cases)
    agree(seen["compiled"], seen["plain"], 1e-5)


@pytest.mark.slow
def test_ranks_that_share_tensors_stay_alike(two: Seen) -> None:
    for name in ("dropout", "post 2 0", "post 2 3", "bf16 2 2"):
        assert two[f"{name}@0"]["losses"] == two[f"{name}@1"]["losses"]


@given(
    world=st.integers(1, 6), blocks=st.integers(1, 3), rows=st.integers(1, 20), hidden_size=st.integers(1, 3),
    dim=st.sampled_from([None, 0, 1]),
)  # fmt: skip
def test_parts_join_to_the_whole(world: int, blocks: int, rows: int, hidden_size: int, dim: int | None) -> None:
    shape = (blocks * rows, hidden_size) if dim != 1 else (hidden_size, blocks * rows)
    whole = torch.arange(blocks * rows * hidden_size).view(shape)
    cut = Cut(dim, blocks)
    parts = [cut.part(whole, Group(rank, world)) for rank in range(world)]
    assert [part.shape for part in parts] == cut.shapes(whole.shape, world)
    assert torch.equal(cut.join(parts if dim is not None else parts[:1]), whole)


def test_every_large_matrix_is_cut() -> None:
    model = build(PRESETS["xxl"])
    cuts = cuts_of(model)
    own = sum(
        cuts[name].shapes(parameter.shape, 8)[0].numel() if cuts[name].dim is not None else parameter.numel()
        for name, parameter in model.named_parameters()
    )
    assert own < 1.02 * 10_712_990_720 / 8


def test_what_the_ranks_do_not_divide_is_named() -> None:
    config = ModelConfig(50, num_hidden_layers=1, hidden_size=36, num_attention_heads=3, intermediate_size=64)
    with pytest.raises(
        XlmrError, match=r"model\.num_attention_heads 3 is not a multiple of pretrain\.train\.tensor_parallel"
    ):
        check_divides(config, 2)
    with pytest.raises(XlmrError, match=r"model\.intermediate_size 64 is not a multiple"):
        check_divides(config, 3)
