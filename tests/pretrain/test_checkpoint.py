"""Checkpoints: whole or absent, verified when read, kept by a rule, written while training continues."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny_corpus import write_sequences
from tiny_training import last_weights, tiny_config, train_into

from pipeline.errors import XlmrError
from pretrain.checkpoints.checkpoint import About, CheckpointFolder, Keeping, Progress, read_checkpoint, shapes_of
from pretrain.checkpoints.tensor_files import TensorFile, TensorWriter
from pretrain.checkpoints.writer import Buffer, CheckpointWriter
from pretrain.model import ModelConfig

SMALL = ModelConfig(
    20, num_hidden_layers=1, hidden_size=8, num_attention_heads=2, intermediate_size=16, max_position_embeddings=10
)


def tensors_of(architecture: ModelConfig, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    for name, shape in shapes_of(architecture).items():
        yield name, {part: torch.randn(shape, generator=generator) for part in ("weights", "exp_avg", "exp_avg_sq")}


def about(step: int, loss: float | None = None) -> About:
    return About(SMALL, 20, Progress(step, step), loss)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path: Path, sequences: Path, make_context) -> None:
    output, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    train_into(output, sequences, make_context, tiny_config(steps=20))
    train_into(undisturbed, sequences, make_context, tiny_config(steps=20))
    path = output / "checkpoints" / "step-00000020" / "exp_avg.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    _, context = train_into(output, sequences, make_context, tiny_config(steps=20))
    assert "exp_avg.safetensors: not what was written" in context.warnings[0]
    assert len(context.warnings) == 1
    resumed = [json.loads(line) for line in context.log.path.read_text().splitlines() if '"resumed"' in line]
    assert resumed[-1]["checkpoint"].endswith("step-00000015")
    assert all(
        torch.equal(a, b)
        for a, b in zip(last_weights(output).values(), last_weights(undisturbed).values(), strict=True)
    )


def test_no_whole_checkpoint_is_an_error_not_a_new_start(tmp_path: Path, sequences: Path, make_context) -> None:
    output = tmp_path / "run"
    train_into(output, sequences, make_context, tiny_config(steps=5))
    (output / "checkpoints" / "step-00000005" / "checkpoint.json").write_text("{")
    with pytest.raises(XlmrError, match=r"no checkpoint is whole.*--force pretrain\.train"):
        train_into(output, sequences, make_context, tiny_config(steps=5))


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path, sequences: Path, make_context) -> None:
    output = tmp_path / "run"
    train_into(output, sequences, make_context, tiny_config(steps=5))
    with pytest.raises(
        XlmrError, match=r"another architecture .num_hidden_layers 2 instead of 3, norm post instead of pre."
    ):
        train_into(output, sequences, make_context, tiny_config({"num_hidden_layers": 3, "norm": "pre"}, steps=5))


def test_only_the_last_checkpoints_stay_and_no_leftovers(tmp_path: Path, sequences: Path, make_context) -> None:
    output = tmp_path / "run"
    (output / "checkpoints" / ".step-00000003.99.tmp").mkdir(parents=True)
    train_into(output, sequences, make_context, tiny_config(steps=20, checkpoint_every=4, keep_last=3))
    assert sorted(p.name for p in (output / "checkpoints").iterdir()) == [
        "step-00000012", "step-00000016", "step-00000020",
    ]  # fmt: skip


def test_checkpoints_by_the_clock(tmp_path: Path, sequences: Path, make_context) -> None:
    output = tmp_path / "run"
    config = tiny_config(steps=3, checkpoint_every=1000, checkpoint_seconds=1e-6, keep_last=9)
    train_into(output, sequences, make_context, config)
    assert len(list((output / "checkpoints").iterdir())) == 3


def test_verifying_reads_every_file(tmp_path: Path, sequences: Path, make_context) -> None:
    train_into(tmp_path / "run", sequences, make_context, tiny_config(steps=5))
    folder = tmp_path / "run" / "checkpoints" / "step-00000005"
    assert read_checkpoint(folder).progress.step == 5
    for name in ("weights", "exp_avg", "exp_avg_sq"):
        path = folder / f"{name}.safetensors"
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(XlmrError, match=f"{name}.safetensors: missing"):
            read_checkpoint(folder)
        path.write_bytes(content)


def test_a_checkpoint_of_another_vocabulary_is_refused(tmp_path: Path, make_context) -> None:
    """The rows of the table may be the same all the same: they are padded."""
    output = tmp_path / "run"
    model = {"pad_vocab_to_multiple_of": 64}
    train_into(output, write_sequences(tmp_path / "a", {"aa": 40}), make_context, tiny_config(model, steps=5))
    other = write_sequences(tmp_path / "b", {"aa": 40}, vocabulary=41)
    with pytest.raises(XlmrError, match="trained on a vocabulary of 40 tokens, the sequences have one of 41"):
        train_into(output, other, make_context, tiny_config(model, steps=5))


DAMAGE = {
    "cut short": (lambda f: f.write_bytes(f.read_bytes()[:-40]), "its checksum differs"),
    "empty": (lambda f: f.write_bytes(b""), "its checksum differs"),
    "one bit": (lambda f: f.write_bytes(f.read_bytes()[:-1] + bytes([f.read_bytes()[-1] ^ 1])), "its checksum differs"),
    "gone": (lambda f: f.unlink(), "missing"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("part", ["weights", "exp_avg", "exp_avg_sq"])
def test_damage_is_one_line(part: str, damage: str, tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path).write(tensors_of(SMALL), about(3))
    read_checkpoint(folder)
    harm, words = DAMAGE[damage]
    harm(folder / f"{part}.safetensors")
    with pytest.raises(XlmrError, match=f"{part}.safetensors: .*{words}") as error:
        read_checkpoint(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("record", ["", "{", "[]", "{}", "null", '{"architecture": {"colour": 1}}'])
def test_a_record_that_is_not_one_is_reported(record: str, tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path).write(tensors_of(SMALL), about(3))
    (folder / "checkpoint.json").write_text(record)
    with pytest.raises(XlmrError, match="step-00000003"):
        read_checkpoint(folder)


def test_tensors_of_another_architecture_are_reported_though_the_checksums_are_right(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path).write(tensors_of(SMALL), about(3))
    record = json.loads((folder / "checkpoint.json").read_text())
    record["architecture"]["num_hidden_layers"] = 2
    (folder / "checkpoint.json").write_text(json.dumps(record))
    with pytest.raises(XlmrError, match="its tensors are not those of the architecture"):
        read_checkpoint(folder)


@given(
    steps=st.lists(st.integers(1, 60), unique=True, min_size=1),
    last=st.integers(1, 4),
    every=st.integers(0, 9),
    best=st.booleans(),
    data=st.data(),
)
@settings(max_examples=200, deadline=None)
def test_what_is_kept(steps: list[int], last: int, every: int, best: bool, data: st.DataObject) -> None:
    losses = data.draw(st.dictionaries(st.sampled_from(steps), st.floats(allow_infinity=True, allow_nan=True)))
    kept = Keeping(last, every, best).kept(steps, losses)
    finite = {step: loss for step, loss in losses.items() if abs(loss) < float("inf")}
    for step in steps:
        is_last = sum(other > step for other in steps) < last
        is_milestone = every > 0 and step % every == 0
        is_best = best and step in finite and all(
            (finite[step], step) <= (loss, other) for other, loss in finite.items()
        )  # fmt: skip
        assert (step in kept) == (is_last or is_milestone or is_best)


def test_the_best_and_the_milestones_stay(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, Keeping(last=1, every=4, best=True))
    for step, loss in ((1, 3.0), (2, 1.5), (3, None), (4, 2.0), (5, 2.5), (6, float("inf"))):
        folder.write(tensors_of(SMALL), about(step, loss))
    assert names(tmp_path) == ["step-00000002", "step-00000004", "step-00000006"]


def test_the_best_is_saved_when_it_is_found(tmp_path: Path, sequences: Path, make_context) -> None:
    config = tiny_config(steps=40, evaluate_every=3, checkpoint_every=1000, keep_best=True, peak_learning_rate=1e-2)
    train_into(tmp_path / "run", sequences, make_context, config)
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    measured = {r["step"]: r["validation_loss"] for r in records if "validation_loss" in r}
    best = min(measured, key=lambda step: (measured[step], step))
    assert names(tmp_path / "run" / "checkpoints") == sorted({f"step-{best:08d}", "step-00000040"})


def test_a_tensor_file_is_what_the_library_reads(tmp_path: Path) -> None:
    tensors = {"b": torch.randn(3, 5), "a.weight": torch.randn(7), "empty": torch.zeros(0, 4), "one": torch.tensor(2.5)}
    writer = TensorWriter(tmp_path / "x.safetensors", {name: tensor.shape for name, tensor in tensors.items()})
    for name, tensor in tensors.items():
        writer.add(name, tensor)
    writer.close()
    loaded, ours = load_file(tmp_path / "x.safetensors"), TensorFile(tmp_path / "x.safetensors")
    assert loaded.keys() == tensors.keys() == set(ours)
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor)
        assert torch.equal(ours[name], tensor)


def test_tensors_are_written_in_their_order_or_not_at_all(tmp_path: Path) -> None:
    writer = TensorWriter(tmp_path / "x", {"a": torch.Size([2]), "b": torch.Size([3])})
    with pytest.raises(ValueError, match=r"b .* instead of"):
        writer.add("b", torch.zeros(3))
    writer = TensorWriter(tmp_path / "y", {"a": torch.Size([2]), "b": torch.Size([3])})
    writer.add("a", torch.zeros(2))
    with pytest.raises(ValueError, match="b was not written"):
        writer.close()


class SlowFolder(CheckpointFolder):
    """Whose disk waits until it is released."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.may_write = threading.Event()

    def write(self, tensors, about):
        def slowly():
            for item in tensors:
                assert self.may_write.wait(20)
                yield item

        return super().write(slowly(), about)


def test_the_disk_is_not_waited_for(tmp_path: Path) -> None:
    folder = SlowFolder(tmp_path)
    with CheckpointWriter(folder, memory=10**9) as writer:
        writer.save(tensors_of(SMALL), about(1))  # returns although nothing can be written
        assert not list(tmp_path.glob("step-*"))
        folder.may_write.set()
        writer.finish()
        assert names(tmp_path) == ["step-00000001"]


def test_no_more_memory_than_it_may_have(tmp_path: Path) -> None:
    folder = SlowFolder(tmp_path)
    largest = max(3 * 4 * shape.numel() for shape in shapes_of(SMALL).values())
    given: list[str] = []

    def counted():
        for name, parts in tensors_of(SMALL):
            given.append(name)
            yield name, parts

    with CheckpointWriter(folder, memory=largest) as writer:
        saving = threading.Thread(target=writer.save, args=(counted(), about(1)))
        saving.start()
        time.sleep(0.3)
        assert saving.is_alive()
        assert len(given) <= 3
        folder.may_write.set()
        saving.join(20)
    assert len(given) == len(shapes_of(SMALL))
    read_checkpoint(tmp_path / "step-00000001")


def test_a_checkpoint_whose_state_breaks_off_is_none(tmp_path: Path) -> None:
    def broken():
        yield from list(tensors_of(SMALL))[:3]
        raise RuntimeError("a rank has gone")

    folder = CheckpointFolder(tmp_path)
    writer = CheckpointWriter(folder, 10**9)
    with pytest.raises(RuntimeError, match="a rank has gone"), writer:
        writer.save(broken(), about(1))
    assert folder.newest() == (None, [])
    with writer:
        writer.save(tensors_of(SMALL), about(2))
    assert names(tmp_path) == ["step-00000002"], "what was left over is swept away"


def test_a_disk_that_is_full_is_reported(tmp_path: Path, monkeypatch) -> None:
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TensorWriter, "add", full)
    writer = CheckpointWriter(CheckpointFolder(tmp_path), 1000)
    with pytest.raises(XlmrError, match=r"could not be written \(No space left on device\); fix that"), writer:
        writer.save(tensors_of(SMALL), about(1))


def test_a_buffer_that_nobody_empties_any_more_takes_everything() -> None:
    buffer = Buffer(1)
    buffer.close()
    for item in tensors_of(SMALL):
        buffer.put(item)
    buffer.end(broken=False)
    assert list(buffer) == []


def test_no_file_of_the_package_is_read_as_pickle() -> None:
    """safetensors and JSON only: neither can run what a stranger has put in them."""
    words = ("torch.load(", "import pickle", "pickle.load", "joblib", "allow_pickle", "np.load(")
    for path in (Path(__file__).parents[2] / "pretrain").rglob("*.py"):
        code = "\n".join(line.split("#")[0] for line in path.read_text().splitlines())
        assert not [word for word in words if word in code], path
