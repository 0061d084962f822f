"""Encoders in other folders than pretrain.export's: saved alone, or fine-tuned before with a head."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from finetune.folder import save_fine_tuned, take_head, why_new_head
from finetune.heads.encoding import Encoded
from finetune.heads.kind import Kind
from finetune.heads.kinds import KINDS
from finetune.stages import EncoderFolder, Encoders, Protocol, Recipe
from finetune.task_report import head_line
from finetune.training.comparison import Comparison
from finetune.training.epochs import Outcome
from finetune.training.ranks import encoder_for
from pipeline.context import Context
from pipeline.errors import XlmrError
from pipeline.storage import read_json
from pretrain.folder import load_encoder, load_model, read_config
from pretrain.model import Encoder, ModelConfig
from tests.finetune.finetune_ranks import tiny_task
from tokenizer.names import MODEL_FILE

RECIPE = Recipe(longest=24, batch=8, epochs=1, learning_rates=(1e-3,), dtype="fp32")
IDS = torch.tensor([[0, 9, 20, 33, 2]])


def fine_tuned(kind: Kind, encoder: Encoder, export: Path, folder: Path) -> torch.nn.Module:
    torch.manual_seed(5)
    model = kind.model(encoder, 0.0).eval()
    for parameter in model.head.parameters():  # type: ignore[union-attr]
        torch.nn.init.normal_(parameter)
    save_fine_tuned(model, kind, export / MODEL_FILE, folder)
    return model


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_encoder_saved_alone_is_read(norm: str, export: Path, tmp_path: Path) -> None:
    from transformers import AutoModel

    shape = vars(read_config(export)) | {"norm": norm}
    torch.manual_seed(2)
    encoder = Encoder(ModelConfig(**shape)).eval()
    fine_tuned(KINDS["tagging"](("O", "B-X"), RECIPE), encoder, export, tmp_path / "tuned")
    theirs = AutoModel.from_pretrained(tmp_path / "tuned").eval()
    torch.nn.init.normal_(theirs.embeddings.token_type_embeddings.weight)  # which ours has in its positions
    theirs.save_pretrained(tmp_path / "alone")
    assert "embeddings.word_embeddings.weight" in load_file(tmp_path / "alone" / "model.safetensors")
    with torch.no_grad():
        assert torch.equal(load_encoder(tmp_path / "tuned")(IDS), encoder(IDS)), "a head stands in no encoder's way"
        ours = load_encoder(tmp_path / "alone")(IDS)
        torch.testing.assert_close(ours, theirs(IDS).last_hidden_state, rtol=1e-4, atol=1e-4)
    with pytest.raises(
        XlmrError, match=r"has no tensor 'lm_head\.dense\.weight'; it must hold a masked language model"
    ):
        load_model(tmp_path / "alone")


def test_what_is_no_encoder_is_one_line(export: Path, tmp_path: Path) -> None:
    shutil.copytree(export, tmp_path / "bin")
    (tmp_path / "bin" / "model.safetensors").rename(tmp_path / "bin" / "pytorch_model.bin")
    (tmp_path / "fairseq").mkdir()
    (tmp_path / "fairseq" / "model.pt").write_bytes(b"")
    for name, said in (
        (
            "bin",
            r"pytorch_model\.bin: is a pickle.*; convert it once by transformers: from_pretrained.*save_pretrained",
        ),
        ("fairseq", r"model\.pt: is a pickle.*; it is fairseq's: transformers 4 converts it"),
    ):
        for read in (load_encoder, lambda folder: EncoderFolder(folder=str(folder)).files()):
            with pytest.raises(XlmrError, match=said) as caught:
                read(tmp_path / name)  # type: ignore[operator]
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", KINDS)
def test_head_of_the_same_kind_goes_on(name: str, export: Path, tmp_path: Path) -> None:
    labels = {"classification": ("b", "c", "a"), "tagging": ("O", "I-X", "B-X")}.get(name, ())
    model = fine_tuned(KINDS[name](labels, RECIPE), load_encoder(export), export, tmp_path)
    kind = KINDS[name](tuple(sorted(labels)), RECIPE)
    assert why_new_head(tmp_path, kind) == ""
    again = kind.model(load_encoder(tmp_path), 0.0).eval()
    take_head(again, tmp_path, kind)
    with torch.no_grad():
        ours, before = again(IDS), model(IDS)
    order = [labels.index(label) for label in kind.labels] if labels else list(range(kind.outputs))
    assert ours.abs().mean() > 0.1
    torch.testing.assert_close(ours, before[..., order], msg="each label has its own scores, wherever it stands")


def test_head_that_does_not_fit_is_not_taken(export: Path, tmp_path: Path) -> None:
    fine_tuned(KINDS["classification"](("a", "b"), RECIPE), load_encoder(export), export, tmp_path)
    assert why_new_head(export, KINDS["span"]((), RECIPE)) == "the encoder's folder has none"
    other = KINDS["classification"](("a", "b", "c"), RECIPE)
    assert why_new_head(tmp_path, other) == "the labels of the one in the encoder's folder are a, b"
    assert why_new_head(tmp_path, KINDS["span"]((), RECIPE)) == "the one in the encoder's folder is for classification"


@pytest.mark.parametrize("take", [True, False])
def test_training_goes_on_from_a_fine_tuned_folder(
    take: bool, export: Path, tmp_path: Path, context_of: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune.training import run

    model = fine_tuned(KINDS["classification"](("b", "a"), RECIPE), encoder_for(export, run.ALONE), export, tmp_path)
    begun: dict[str, torch.Tensor] = {}

    class Watched(run.Loop):
        def run(self, train: Encoded, dev: Mapping[str, Encoded]) -> Outcome:
            begun[self._setting.name] = self._engine.forward_module.head.out_proj.bias.detach().clone()  # type: ignore[union-attr,operator]
            return super().run(train, dev)

    monkeypatch.setattr(run, "Loop", Watched)
    output = tmp_path / "out"
    comparison = Comparison(tiny_task("classification"), RECIPE, Protocol(seeds=(1,)), Encoders(tmp_path), take)
    comparison.run(output, context_of(output))
    bias = model.head.out_proj.bias.flip(0)  # type: ignore[union-attr,operator]
    assert torch.equal(begun["pretrained-0.001-seed1"], bias if take else torch.zeros(2))
    assert torch.equal(begun["random-0.001-seed1"], torch.zeros(2)), "random weights are random in the head too"
    said = head_line(read_json(output / "results.json"))
    assert ("start from the head" in said) == take
    assert ("The head is new: finetune.encoder.head says so." in said) != take
