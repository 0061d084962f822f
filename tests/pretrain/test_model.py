"""The architecture is held against Hugging Face's, and its sizes against the papers'."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from pipeline.errors import XlmrError
from pretrain.folder import WEIGHTS, load_encoder, load_model, save_model
from pretrain.model import PAD, PRESETS, MaskedLanguageModel, ModelConfig, count_parameters

SMALL = {"layers": 2, "width": 32, "heads": 4, "feed_forward": 48, "positions": 20}


def make(norm: str, **changes: object) -> MaskedLanguageModel:
    torch.manual_seed(3)
    model = MaskedLanguageModel(ModelConfig(vocabulary_rows=60, norm=norm, **{**SMALL, **changes}))
    for name, parameter in model.named_parameters():  # biases and norms too, or a swapped pair would not show
        nn.init.normal_(parameter, mean=1.0 if "norm.weight" in name else 0.0, std=0.4)
    return model.eval()


def padded_ids() -> torch.Tensor:
    ids = torch.randint(4, 60, (3, 18), generator=torch.Generator().manual_seed(5))
    ids[:, 0] = 0
    ids[1, 11:] = PAD
    ids[2, 2:] = PAD
    return ids


@pytest.mark.parametrize(
    ("name", "encoder", "whole"),
    [
        ("base", 277_452_288, 278_294_418),
        ("large", 558_839_808, 560_141_458),
        ("xl", 3_475_927_040, 3_482_739_200),
        ("xxl", 10_695_950_336, 10_712_990_720),
    ],
)
def test_parameter_counts_are_the_papers(name: str, encoder: int, whole: int) -> None:
    with torch.device("meta"):
        model = MaskedLanguageModel(PRESETS[name])
    assert count_parameters(model.encoder) == encoder
    assert count_parameters(model) == whole


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_logits_equal_hugging_face(norm: str, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    model, ids = make(norm), padded_ids()
    save_model(model, tmp_path)
    theirs = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    assert type(theirs).__name__ == {"post": "XLMRobertaForMaskedLM", "pre": "XLMRobertaXLForMaskedLM"}[norm]
    keep = ids != PAD
    with torch.no_grad():
        ours, expected = model(ids, keep), theirs(input_ids=ids, attention_mask=keep.long()).logits
    assert expected.std(1).mean() > 0.5  # logits all alike would agree whatever the weights
    torch.testing.assert_close(ours[keep], expected[keep], rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_reads_what_hugging_face_writes(norm: str, tmp_path: Path) -> None:
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM, XLMRobertaXLConfig, XLMRobertaXLForMaskedLM

    config_class = XLMRobertaConfig if norm == "post" else XLMRobertaXLConfig
    model_class = XLMRobertaForMaskedLM if norm == "post" else XLMRobertaXLForMaskedLM
    torch.manual_seed(1)
    theirs = model_class(
        config_class(
            vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
            max_position_embeddings=20, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5,
        )
    ).eval()  # fmt: skip
    for parameter in theirs.parameters():  # their token-type row too, which we fold into the positions
        nn.init.normal_(parameter, std=0.3)
    theirs.save_pretrained(tmp_path)
    ids = padded_ids()
    keep = ids != PAD
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=keep.long()).logits
        ours = load_model(tmp_path)(ids, keep)
    torch.testing.assert_close(ours[keep], expected[keep], rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_folder_round_trip_is_exact(norm: str, tmp_path: Path) -> None:
    model, ids = make(norm), padded_ids()
    save_model(model, tmp_path)
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path)(ids), model(ids))
        assert torch.equal(load_encoder(tmp_path)(ids), model.encoder(ids))


def test_folder_errors_name_the_file(tmp_path: Path) -> None:
    save_model(make("post"), tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    del tensors["lm_head.dense.weight"]
    save_file(tensors, tmp_path / WEIGHTS)
    with pytest.raises(XlmrError, match=r"model\.safetensors: has no tensor 'lm_head\.dense\.weight'"):
        load_model(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"not tensors")
    with pytest.raises(XlmrError, match=r"model\.safetensors: not readable"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(XlmrError, match=r"config\.json: model_type is 'bert'"):
        load_model(tmp_path)


def test_head_on_chosen_positions_gives_the_same_scores() -> None:
    model, ids = make("post"), padded_ids()
    where = torch.tensor([1, 3, 20, 40])
    with torch.no_grad():
        assert torch.allclose(model(ids, None, where), model(ids).flatten(0, 1)[where], atol=1e-5)
        targets = torch.tensor([5, 9, 4, 59])
        expected = nn.functional.cross_entropy(model(ids).flatten(0, 1)[where], targets, reduction="sum")
        torch.testing.assert_close(model(ids, None, where, targets), expected)


def test_nobody_looks_at_padding() -> None:
    model, ids = make("post"), padded_ids()
    alone = ids[1:2, :11]
    with torch.no_grad():
        torch.testing.assert_close(model.encoder(ids, ids != PAD)[1:2, :11], model.encoder(alone), rtol=1e-4, atol=1e-5)


def test_weights_start_as_in_roberta() -> None:
    model = MaskedLanguageModel(ModelConfig(vocabulary_rows=2000, layers=1, width=64, heads=2, feed_forward=128))
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.05), name
        else:
            assert torch.all(parameter == (1.0 if "norm.weight" in name else 0.0)), name
    assert not model.encoder.embeddings.pieces.weight[PAD].any()
    assert model.head.weight is model.encoder.embeddings.pieces.weight


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_recomputing_gives_the_same_gradient(norm: str) -> None:
    gradients = []
    for recompute in (False, True):
        model = make(norm, dropout=0.2).train()
        model.encoder.recompute = recompute
        torch.manual_seed(11)
        model(padded_ids(), None, torch.tensor([1, 2]), torch.tensor([7, 8])).backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)
