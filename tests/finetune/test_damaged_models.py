"""Folders of models and checkpoints with keys gone, renamed or of other types, and flipped bytes: one line each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune.folder import load_fine_tuned, save_fine_tuned, take_head, why_new_head
from finetune.heads.kinds import KINDS
from finetune.stages import Recipe
from pipeline.errors import XlmrError
from pretrain.checkpoints.checkpoint import RECORD, About, CheckpointFolder, Progress, read_checkpoint
from pretrain.config_file import CONFIG
from pretrain.folder import load_encoder, load_model, save_weights
from pretrain.model import ModelConfig, build
from pretrain.weights_file import INDEX, WEIGHTS
from tokenizer.names import MODEL_FILE

SHAPE = ModelConfig(
    300, num_hidden_layers=1, hidden_size=16, num_attention_heads=2, intermediate_size=16, max_position_embeddings=34
)
LABELS = ("no", "yes")
OTHER = (None, True, -1, 0, 1, 3, 0.5, 1e308, 10**30, "", "1", "../../x", "x\n", [], [[]], {}, {"a": {}}, float("inf"))
EXAMPLES = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def folders(export: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A fine-tuned model, a masked language model in several files, and a checkpoint."""
    made = tmp_path_factory.mktemp("models")
    kind = KINDS["classification"](LABELS, Recipe(longest=16, dtype="fp32"), "own")
    save_fine_tuned(kind.model(load_encoder(export), 0.1), kind, export / MODEL_FILE, made / "tuned")
    torch.manual_seed(2)
    weights = {name: torch.randn(tensor.shape) for name, tensor in build(SHAPE).named_parameters()}
    save_weights(weights, SHAPE, made / "model", limit=10_000)
    parts = ((name, dict.fromkeys(("weights", "exp_avg", "exp_avg_sq"), value)) for name, value in weights.items())
    folder = CheckpointFolder(made / "checkpoints").write(parts, About(SHAPE, 300, Progress(1, 1, 0, 9, 0.5), 7.5))
    return {"tuned": made / "tuned", "model": made / "model", "checkpoint": folder}


def read_tuned(folder: Path) -> None:
    model = load_fine_tuned(folder)
    if not why_new_head(folder, model.kind):
        take_head(model.model, folder, model.kind)


def check(read: Callable[[Path], Any], folder: Path, name: str, damaged: bytes) -> None:
    """``read`` takes the folder with that file, or says in a line what is wrong with it."""
    path, line = folder / name, str(folder)
    whole = path.read_bytes()
    try:
        path.write_bytes(damaged)
        read(folder)
    except XlmrError as error:
        line = str(error)
    finally:
        path.write_bytes(whole)
    assert "\n" not in line
    assert str(folder) in line


def change(value: Any, data: st.DataObject) -> Any:
    """The value with one of its keys, at any depth, gone, renamed or of another value."""
    key = data.draw(st.sampled_from(sorted(value)), "key")
    if isinstance(value[key], dict) and value[key] and data.draw(st.booleans(), "deeper"):
        return {**value, key: change(value[key], data)}
    rest = {name: one for name, one in value.items() if name != key}
    what = data.draw(st.sampled_from(["gone", "renamed", *OTHER]), "new")
    if what == "gone":
        return rest
    return {**rest, "x": value[key]} if what == "renamed" else {**value, key: what}


def flip(content: bytes, data: st.DataObject, until: int) -> bytes:
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3), "how many")):
        place = data.draw(st.integers(0, until - 1), "place")
        changed[place] ^= data.draw(st.integers(1, 255), "bits")
    return bytes(changed)


READERS: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "tuned": (read_tuned, [CONFIG]),
    "model": (load_model, [CONFIG, INDEX]),
    "checkpoint": (read_checkpoint, [RECORD]),
}


@pytest.mark.parametrize("name", READERS)
@EXAMPLES
@given(data=st.data())
def test_a_key_gone_renamed_or_of_another_type(name: str, folders: dict[str, Path], data: st.DataObject) -> None:
    read, files = READERS[name]
    file = data.draw(st.sampled_from(files))
    value = json.loads((folders[name] / file).read_text())
    check(read, folders[name], file, json.dumps(change(value, data)).encode())


@pytest.mark.parametrize("name", READERS)
@EXAMPLES
@given(data=st.data())
def test_flipped_bytes(name: str, folders: dict[str, Path], data: st.DataObject) -> None:
    read, files = READERS[name]
    weights = sorted(path.name for path in folders[name].glob("*.safetensors"))
    file = data.draw(st.sampled_from([*files, *weights]))
    content = (folders[name] / file).read_bytes()
    header = 8 + int.from_bytes(content[:8], "little") if file in weights else len(content)
    check(read, folders[name], file, flip(content, data, header))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id2label": None}, r"config\.json: id2label is missing"),
        ({"id2label": {"0": "no", "2": "yes"}}, r"id2label has 2 labels and none numbered 1"),
        (
            {"id2label": {"0": "no", "1": "yes", "2": "x"}},
            r"out_proj\.weight is \(2, 32\), by .* \(3, 32\) \(3 labels\)",
        ),
        (
            {"xlmr": {"kind": {"a": {}}}},
            r"config\.json: xlmr\.kind: input should be 'classification', .* got an object",
        ),
        ({"xlmr": {"kind": "classification", "stride": 1e308}}, r"xlmr\.stride: input should be a valid integer"),
        ({"xlmr": {"kind": "classification", "longest": 999}}, r"xlmr\.longest is 999, the model reads 64 tokens"),
        ({"num_hidden_layers": 0.5}, r"config\.json: num_hidden_layers: input should be a valid integer.*, got 0\.5"),
        ({"num_attention_heads": 5}, r"config\.json: hidden_size 32 is not a multiple of num_attention_heads 5"),
        (
            {"num_attention_heads": None},
            r"config\.json: num_attention_heads: input should be a valid integer, got None",
        ),
        ({"classifier_dropout": 7}, r"config\.json: classifier_dropout: input should be less than 1, got 7"),
    ],
)
def test_the_line_names_file_and_key(
    changes: dict[str, Any], said: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "tuned"
    shutil.copytree(folders["tuned"], folder)
    values = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(values | changes))
    with pytest.raises(XlmrError, match=said) as caught:
        load_fine_tuned(folder)
    assert "\n" not in str(caught.value)
    (folder / CONFIG).write_text(json.dumps({key: value for key, value in values.items() if key != "hidden_size"}))
    with pytest.raises(XlmrError, match=r"config\.json: hidden_size is missing"):
        load_fine_tuned(folder)


def test_a_checkpoint_of_before_epsilon_was_recorded(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["checkpoint"], tmp_path / "checkpoint")
    record = json.loads((tmp_path / "checkpoint" / RECORD).read_text())
    del record["architecture"]["layer_norm_eps"]
    (tmp_path / "checkpoint" / RECORD).write_text(json.dumps(record))
    assert read_checkpoint(tmp_path / "checkpoint").architecture == SHAPE


def test_windows_have_tokens_beside_the_question(export: Path, tmp_path: Path) -> None:
    kind = KINDS["span"]((), Recipe(longest=30, longest_question=20, dtype="fp32"))
    save_fine_tuned(kind.model(load_encoder(export), 0.0), kind, export / MODEL_FILE, tmp_path)
    values = json.loads((tmp_path / CONFIG).read_text())
    for own, expected in (({"longest_question": 12}, 12), ({}, 22)):
        (tmp_path / CONFIG).write_text(json.dumps(values | {"xlmr": {"kind": "span", "longest": 30, **own}}))
        assert load_fine_tuned(tmp_path).kind.recipe.longest_question == expected
    (tmp_path / CONFIG).write_text(
        json.dumps(values | {"xlmr": {"kind": "span", "longest": 30, "longest_question": 40}})
    )
    with pytest.raises(XlmrError, match=r"xlmr\.longest_question is 40, of windows of 30 tokens; .* from 1 to 22"):
        load_fine_tuned(tmp_path)


def test_a_file_of_weights_that_ends_too_soon(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["tuned"], tmp_path / "tuned")
    path = tmp_path / "tuned" / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(XlmrError, match=r"model\.safetensors: not readable as safetensors"):
        load_fine_tuned(tmp_path / "tuned")
