"""Numbers of a training: metrics.jsonl, TensorBoard's file read by protobuf, trackers, the first batch as text."""

from __future__ import annotations

import io
import json
import struct
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import sentencepiece
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st
from tiny_corpus import write_sequences
from tiny_training import tiny_config, train_into

from pipeline.errors import XlmrError
from pretrain.data.first_batch import show
from pretrain.data.masking import MaskedBatch
from pretrain.tracking.event_files import EventFile, crc32c, event_of
from pretrain.tracking.metrics import Journal, read_metrics, scalars_of
from tokenizer.hugging_face import write_files

D = descriptor_pb2.FieldDescriptorProto


def event_class():
    """TensorFlow's Event, Summary and Value, as far as scalars go, from their .proto."""
    file = descriptor_pb2.FileDescriptorProto(name="event.proto", package="t", syntax="proto3")
    for name, fields in {
        "Value": [("tag", 1, D.TYPE_STRING, D.LABEL_OPTIONAL, ""), ("simple_value", 2, D.TYPE_FLOAT, 1, "")],
        "Summary": [("value", 1, D.TYPE_MESSAGE, D.LABEL_REPEATED, ".t.Value")],
        "Event": [
            ("wall_time", 1, D.TYPE_DOUBLE, 1, ""), ("step", 2, D.TYPE_INT64, 1, ""),
            ("file_version", 3, D.TYPE_STRING, 1, ""), ("summary", 5, D.TYPE_MESSAGE, 1, ".t.Summary"),
        ],
    }.items():  # fmt: skip
        message = file.message_type.add(name=name)
        for field, number, kind, label, of in fields:
            message.field.add(name=field, number=number, type=kind, label=label, type_name=of or None)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Event"))


EVENT = event_class()


def plain_crc32c(content: bytes) -> int:
    """By its definition: the remainder of a division of polynomials, bit by bit."""
    state = 0xFFFFFFFF
    for byte in content:
        for bit in range(8):
            top = (state ^ (byte >> bit)) & 1
            state = (state >> 1) ^ (0x82F63B78 if top else 0)
    return state ^ 0xFFFFFFFF


def unmasked(crc: bytes) -> int:
    rotated = (struct.unpack("<I", crc)[0] - 0xA282EAD8) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF


def read_events(folder: Path) -> list:
    (path,) = folder.glob("events.out.tfevents.*")
    stream, events = io.BytesIO(path.read_bytes()), []
    while head := stream.read(12):
        assert unmasked(head[8:]) == plain_crc32c(head[:8])
        content = stream.read(struct.unpack("<Q", head[:8])[0])
        assert unmasked(stream.read(4)) == plain_crc32c(content)
        events.append(EVENT.FromString(content))
    return events


@given(st.binary(max_size=80))
def test_checksums_are_crc32c(content: bytes) -> None:
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720's check value
    assert crc32c(content) == plain_crc32c(content)


@given(
    step=st.integers(0, 2**40),
    scalars=st.dictionaries(st.text(max_size=200), st.floats(width=32, allow_nan=False), min_size=1, max_size=5),
    time=st.floats(0, 2e9),
)
def test_an_event_is_what_protobuf_reads(step: int, scalars: dict[str, float], time: float) -> None:
    event = EVENT.FromString(event_of(step, scalars, time))
    assert (event.step, event.wall_time) == (step, time)
    assert {value.tag: value.simple_value for value in event.summary.value} == scalars


def test_the_file_says_its_version_first(tmp_path: Path) -> None:
    events = EventFile(tmp_path)
    events.add(3, {"loss": 1.5}, 10.0)
    assert [event.file_version for event in read_events(tmp_path)] == ["brain.Event:2", ""]
    events.close()


def test_tensorboard_shows_what_metrics_say_also_after_going_on(tmp_path: Path, sequences: Path, make_context) -> None:
    output = tmp_path / "run"
    for steps in (10, 20):  # the same schedule up to where it stops is not needed here
        train_into(output, sequences, make_context, tiny_config(steps=steps))
    wanted = [(record["step"], scalars_of(record)) for record in read_metrics(output / "metrics.jsonl")]
    events = read_events(output / "tensorboard")[1:]
    assert [event.step for event in events] == [step for step, _ in wanted]
    for event, (_, scalars) in zip(events, wanted, strict=True):
        assert {v.tag: v.simple_value for v in event.summary.value} == pytest.approx(scalars, rel=1e-6)
    tags = {value.tag for event in events for value in event.summary.value}
    assert {"loss", "learning_rate", "gradient_norm", "validation_loss", "by_language/aa"} <= tags


def test_numbers_that_are_not_finite_are_null_and_not_drawn(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    journal.write(step=1, loss=float("nan"), gradient_norm=float("inf"), applied=False)
    journal.close()
    (record,) = read_metrics(tmp_path / "metrics.jsonl")
    assert (record["loss"], record["gradient_norm"], record["applied"]) == (None, None, False)
    assert scalars_of(record) == {"applied": 0.0}


def test_a_line_that_was_cut_off_and_lost_work_are_dropped(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    for step in range(1, 6):
        journal.write(step=step, loss=float(step))
    journal.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    Journal(tmp_path, 3).close()
    assert [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2, 3]
    assert [event.step for event in read_events(tmp_path / "tensorboard")[1:]] == [1, 2, 3]


class Reported:
    """Stands for a tracker's package; writes down what it gets."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def mlflow(self) -> ModuleType:
        module = ModuleType("mlflow")
        module.start_run = lambda **words: (
            self._note("start", words)
            or SimpleNamespace(  # type: ignore[attr-defined]
                info=SimpleNamespace(run_id=words["run_id"] or "run-7")
            )
        )
        module.log_metrics = lambda numbers, step: self._note("log", step, numbers)  # type: ignore[attr-defined]
        module.end_run = lambda: self._note("end")  # type: ignore[attr-defined]
        return module

    def wandb(self) -> ModuleType:
        module = ModuleType("wandb")
        run = SimpleNamespace(
            log=lambda numbers, step: self._note("log", step, numbers), finish=lambda: self._note("end")
        )
        module.init = lambda **words: self._note("start", words) or run  # type: ignore[attr-defined]
        return module

    def _note(self, *call: object) -> None:
        self.calls.append(call)


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_trackers_get_the_same_and_resume_their_run(
    name: str, tmp_path: Path, sequences: Path, make_context, monkeypatch
) -> None:
    reported = Reported()
    monkeypatch.setitem(sys.modules, name, getattr(reported, name)())
    output = tmp_path / "project" / "pretrain.train" / "0a1b2c3d"
    for steps in (5, 10):
        train_into(output, sequences, make_context, tiny_config(steps=steps, trackers=(name,)))
    starts = [call[1] for call in reported.calls if call[0] == "start"]
    assert len(starts) == len([call for call in reported.calls if call == ("end",)]) == 2
    key = "run_id" if name == "mlflow" else "id"
    assert starts[1][key] == json.loads((output / "trackers.json").read_text())[name]
    assert starts[0].get("run_name", starts[0].get("name")) == "project/0a1b2c3d"
    logged = [(call[1], call[2]) for call in reported.calls if call[0] == "log"]
    assert logged == [(r["step"], scalars_of(r)) for r in read_metrics(output / "metrics.jsonl")]


def test_no_tracker_is_imported_unless_it_is_named_and_one_that_is_missing_is_reported(
    tmp_path: Path, sequences: Path, make_context, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setitem(sys.modules, "wandb", None)
    train_into(tmp_path / "a", sequences, make_context, tiny_config(steps=1))
    assert not (tmp_path / "a" / "trackers.json").exists()
    with pytest.raises(XlmrError, match=r"names wandb, which is not installed; pip install 'xlmr-pipeline\[wandb\]'"):
        train_into(tmp_path / "b", sequences, make_context, tiny_config(steps=1, trackers=("wandb",)))


def test_the_first_sequences_can_be_read(tmp_path: Path, make_context) -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["abc bcd cde def efg fgh"] * 20), model_writer=model, vocab_size=16, minloglevel=2
    )
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "sentencepiece.bpe.model").write_bytes(model.getvalue())
    write_files(folder, folder)
    tokenizer = {"tokenizer.train": folder}
    sequences = write_sequences(tmp_path / "sequences", {"aa": 40}, vocabulary=18)
    train_into(tmp_path / "run", sequences, make_context, tiny_config(steps=1), **tokenizer)
    lines = (tmp_path / "run" / "first-batch.txt").read_text().split("\n\n")
    tokens = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sentencepiece.bpe.model"))
    assert len(lines) == 8
    for number, line in enumerate(lines):
        assert line.startswith(f"row {number} of step 1: <s> ")
        assert "[" in line
        words = line.split("<s> ")[1].split()  # the sequences repeat one token
        (token,) = {word.strip("[]=").split("→")[0] for word in words}
        assert tokens.piece_to_id(token) >= 3
    other = write_sequences(tmp_path / "other", {"aa": 40}, vocabulary=19)
    with pytest.raises(XlmrError, match="encoded with 19 tokens, the tokenizer has 18"):
        train_into(tmp_path / "run2", other, make_context, tiny_config(steps=1), **tokenizer)


def test_without_a_tokenizer_there_are_numbers(tmp_path: Path, sequences: Path, make_context) -> None:
    train_into(tmp_path / "run", sequences, make_context, tiny_config(steps=1))
    assert (tmp_path / "run" / "first-batch.txt").read_text().startswith("row 0 of step 1: 0 ")


def test_what_was_masked_is_marked() -> None:
    ids = np.array([[0, 9, 39, 12, 7, 2, 1, 1], [0, 5, 5, 5, 5, 5, 5, 5]])
    batch = MaskedBatch(ids, np.array([0, 0, 0, 1]), np.array([2, 3, 4, 1]), np.array([8, 6, 7, 4]))
    assert show(batch, 0, str, 39) == "0 9 [8] [6→12] [7=] 2 + 2 <pad>"
    assert show(batch, 1, lambda token: f"p{token}", 39) == "p0 [p4→p5] p5 p5 p5 p5 p5 p5"
