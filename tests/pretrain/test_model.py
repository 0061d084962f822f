"""The architecture is held against Hugging Face's, and its sizes against the papers'."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.config import fingerprint
from pipeline.errors import XlmrError
from pretrain.cross_entropy import Scoring, summed_cross_entropy
from pretrain.folder import INDEX, WEIGHTS, load_encoder, load_model, save_model, save_weights
from pretrain.model import PAD, PRESETS, MaskedLanguageModel, ModelConfig, build, count_parameters, initial_values
from pretrain.presets import SHAPES, at_capacity_of, parameters_of
from pretrain.settings import ModelSettings

SMALL = {
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 20,
}


def make(norm: str, **changes: object) -> MaskedLanguageModel:
    torch.manual_seed(3)
    model = MaskedLanguageModel(ModelConfig(vocab_size=60, norm=norm, **{**SMALL, **changes}))
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


def test_ablation_sizes_and_the_formula() -> None:
    for name, config in PRESETS.items():
        assert parameters_of(SHAPES[name]) == count_parameters(build(config)), name
    # Section 5: 7 to 100 languages in BERT-Base's shape, wider for 30 and 100; vocabularies from 32k to 512k.
    assert [PRESETS[f"ablation-{hidden_size}"].hidden_size for hidden_size in (768, 960, 1152)] == [768, 960, 1152]
    assert [SHAPES[f"ablation-{n}k"].vocabulary_size for n in (32, 64, 128, 256, 512)] == [
        32e3,
        64e3,
        128e3,
        256e3,
        512e3,
    ]
    wanted = parameters_of(SHAPES["ablation-768"])
    for tokens in (32_000, 64_000, 128_000, 256_000):
        assert parameters_of(at_capacity_of(SHAPES["ablation-768"], tokens)) == pytest.approx(wanted, rel=0.06)


def test_a_preset_gives_defaults_and_the_same_key() -> None:
    large = ModelSettings(preset="large")
    assert (large.num_hidden_layers, large.hidden_size, large.num_attention_heads, large.intermediate_size) == (
        24,
        1024,
        16,
        4096,
    )
    assert fingerprint(large) == fingerprint(
        ModelSettings(num_hidden_layers=24, hidden_size=1024, num_attention_heads=16, intermediate_size=4096)
    )
    assert ModelSettings(preset="xxl", num_hidden_layers=2).model_dump() == {
        **ModelSettings(preset="xxl").model_dump(), "num_hidden_layers": 2,
    }  # fmt: skip
    with pytest.raises(ValidationError, match="did you mean large"):
        ModelSettings(preset="lagre")


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_logits_equal_hugging_face(norm: str, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    model, ids = make(norm), padded_ids()
    save_model(model, tmp_path)
    theirs = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    assert type(theirs).__name__ == {"post": "XLMRobertaForMaskedLM", "pre": "XLMRobertaXLForMaskedLM"}[norm]
    attention_mask = ids != PAD
    with torch.no_grad():
        ours, expected = model(ids, attention_mask), theirs(input_ids=ids, attention_mask=attention_mask.long()).logits
    assert expected.std(1).mean() > 0.5  # logits all alike would agree whatever the weights
    torch.testing.assert_close(ours[attention_mask], expected[attention_mask], rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize(("norm", "epsilon", "types"), [("post", 1e-5, 1), ("post", 1e-12, 2), ("pre", 1e-12, 2)])
def test_reads_what_hugging_face_writes(norm: str, epsilon: float, types: int, tmp_path: Path) -> None:
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM, XLMRobertaXLConfig, XLMRobertaXLForMaskedLM

    config_class = XLMRobertaConfig if norm == "post" else XLMRobertaXLConfig
    model_class = XLMRobertaForMaskedLM if norm == "post" else XLMRobertaXLForMaskedLM
    torch.manual_seed(1)
    theirs = model_class(
        config_class(
            vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
            max_position_embeddings=20, type_vocab_size=types, pad_token_id=1, layer_norm_eps=epsilon,
        )
    ).eval()  # fmt: skip
    for name, parameter in theirs.named_parameters():  # their token-type row too, which we fold into the positions
        # So small at the first LayerNorm that its epsilon shows, if there is one.
        nn.init.normal_(parameter, std=0.003 if "embeddings.weight" in name else 0.3)
    theirs.save_pretrained(tmp_path)
    ids = padded_ids()
    attention_mask = ids != PAD
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=attention_mask.long()).logits
        model = load_model(tmp_path)
        torch.testing.assert_close(
            model(ids, attention_mask)[attention_mask], expected[attention_mask], rtol=1e-4, atol=2e-4
        )
        save_model(model, tmp_path / "again")
        again = model_class.from_pretrained(tmp_path / "again").eval()
        assert again.config.layer_norm_eps == epsilon
        logits = again(input_ids=ids, attention_mask=attention_mask.long()).logits
        torch.testing.assert_close(logits[attention_mask], expected[attention_mask], rtol=1e-4, atol=2e-4)


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
    with pytest.raises(XlmrError, match=r"config\.json: model_type: input should be 'xlm-roberta' or .*, got 'bert'"):
        load_model(tmp_path)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_a_folder_of_several_files_of_bf16_weights_is_read(norm: str, tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    save_model(make(norm), tmp_path / "ours")
    theirs = AutoModelForMaskedLM.from_pretrained(tmp_path / "ours").to(torch.bfloat16)
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="10KB")
    assert (tmp_path / "theirs" / INDEX).exists()
    model, ids = load_model(tmp_path / "theirs"), padded_ids()
    assert all(parameter.dtype is torch.float32 for parameter in model.parameters())
    with torch.no_grad():
        expected = theirs.float().eval()(input_ids=ids, attention_mask=(ids != PAD).long()).logits
        torch.testing.assert_close(model(ids, ids != PAD)[ids != PAD], expected[ids != PAD], rtol=1e-4, atol=2e-4)
    assert model.head.weight is model.encoder.embeddings.tokens.weight

    next((tmp_path / "theirs").glob("model-00002-*")).unlink()
    with pytest.raises(XlmrError, match=r"model-00002-of-\d+\.safetensors: no such file"):
        load_model(tmp_path / "theirs")


def test_large_models_are_written_in_several_files(tmp_path: Path) -> None:
    from transformers import AutoModelForMaskedLM

    model, ids = make("pre"), padded_ids()
    save_model(model, tmp_path)
    save_weights(model.state_dict(), model.config, tmp_path, limit=20_000)
    files = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert files[0] == f"model-00001-of-{len(files):05}.safetensors"
    assert len(files) > 3
    assert all(path.stat().st_size < 24_000 for path in tmp_path.glob("*.safetensors"))
    theirs = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path)(ids), model(ids))
        torch.testing.assert_close(theirs(input_ids=ids).logits[0], model(ids)[0], rtol=1e-4, atol=2e-4)
    index = json.loads((tmp_path / INDEX).read_text())
    index["weight_map"]["lm_head.bias"] = "../model.safetensors"
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(XlmrError, match="files must lie beside it"):
        load_model(tmp_path)


def test_a_configuration_of_another_model_is_refused(tmp_path: Path) -> None:
    save_model(make("post"), tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    for key, value in (
        ("hidden_act", "gelu_new"), ("position_embedding_type", "relative_key"), ("is_decoder", True),
        ("pad_token_id", 0),
    ):  # fmt: skip
        (tmp_path / "config.json").write_text(json.dumps(values | {key: value}))
        with pytest.raises(XlmrError, match=rf"config\.json: {key}: input should be .*, got {value!r}"):
            load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(values | {"num_hidden_layers": 1}))
    with pytest.raises(XlmrError, match=r"the weights have a layer 1, by config\.json num_hidden_layers is 1"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(values | {"vocab_size": 61}))
    with pytest.raises(XlmrError, match=r"word_embeddings\.weight is \(60, 32\), by config\.json it is \(61, 32\)"):
        load_model(tmp_path)


def test_head_on_chosen_positions_gives_the_same_scores() -> None:
    model, ids = make("post"), padded_ids()
    masked_positions = torch.tensor([1, 3, 20, 40])
    with torch.no_grad():
        assert torch.allclose(model(ids, None, masked_positions), model(ids).flatten(0, 1)[masked_positions], atol=1e-5)
        labels = torch.tensor([5, 9, 4, 59])
        expected = nn.functional.cross_entropy(model(ids).flatten(0, 1)[masked_positions], labels, reduction="sum")
        torch.testing.assert_close(model(ids, None, masked_positions, labels), expected)


class Largest(TorchDispatchMode):
    """The largest tensor that anything gives."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = function(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.numbers = max(self.numbers, out.untyped_storage().nbytes() // out.element_size())
        return out


def of_head(rows: int, count: int, hidden_size: int = 16) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(2)
    shapes = ((count, hidden_size), (rows, hidden_size), (rows,))
    inputs = [torch.randn(shape, generator=rng).requires_grad_() for shape in shapes]
    return [*inputs, torch.randint(rows, (count,), generator=rng)]


@pytest.mark.parametrize(("chunk", "count"), [(0, 37), (10, 37), (1, 5), (64, 37), (4, 0)])
def test_cross_entropy_in_chunks_is_the_plain_one(chunk: int, count: int) -> None:
    hidden, weight, bias, labels = of_head(101, count)
    plain = nn.functional.cross_entropy(nn.functional.linear(hidden, weight, bias), labels, reduction="sum")
    expected = torch.autograd.grad(3 * plain, (hidden, weight, bias))
    loss = summed_cross_entropy(hidden, weight, bias, labels, Scoring(chunk))
    torch.testing.assert_close(loss, plain)
    for ours, theirs in zip(torch.autograd.grad(3 * loss, (hidden, weight, bias)), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(summed_cross_entropy(hidden, weight, bias, labels, Scoring(chunk)), plain)


@pytest.mark.parametrize("autocast", [False, True])
def test_cross_entropy_in_bf16_adds_up_in_fp32(autocast: bool) -> None:
    exact = of_head(301, 200)
    inputs = [t.detach().to(t.dtype if autocast else torch.bfloat16).requires_grad_() for t in exact[:3]]
    plain = nn.functional.cross_entropy(nn.functional.linear(*exact[:3]), exact[3], reduction="sum")
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = summed_cross_entropy(*inputs, exact[3], Scoring(8))
    assert loss.dtype is torch.float32
    assert loss.item() == pytest.approx(plain.item(), rel=2e-3)
    for ours, theirs in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(plain, exact[:3]), strict=True):
        assert ours.dtype is (torch.float32 if autocast else torch.bfloat16)
        assert (ours.float() - theirs).norm() < 0.02 * theirs.norm()


def test_no_more_scores_than_a_chunk_are_held() -> None:
    rows, count, hidden_size, chunk = 5000, 300, 16, 20
    hidden, weight, bias, labels = of_head(rows, count, hidden_size)
    for scoring, limit in ((Scoring(chunk), chunk * (rows + 64)), (Scoring(), None)):
        with Largest() as largest:
            summed_cross_entropy(hidden, weight, bias, labels, scoring).backward()
        assert largest.numbers <= limit if limit else largest.numbers >= count * rows


def test_initial_values_follow_from_seed_and_name() -> None:
    config = ModelConfig(
        vocab_size=2000, num_hidden_layers=2, hidden_size=64, num_attention_heads=2, intermediate_size=128
    )
    values, again, other = ({n: make() for n, make in initial_values(build(config), seed)} for seed in (1, 1, 2))
    plain = dict(MaskedLanguageModel(config).named_parameters())
    assert values.keys() == plain.keys()
    for name, value in values.items():
        assert torch.equal(value, again[name])
        assert value.shape == plain[name].shape
        if value.dim() == 2:
            assert not torch.equal(value, other[name])
            assert value.std().item() == pytest.approx(0.02, rel=0.05), name
        else:
            assert torch.equal(value, plain[name]), name
    assert not values["encoder.embeddings.tokens.weight"][PAD].any()
    first, second = (values[f"encoder.layers.{n}.attention.out.weight"] for n in (0, 1))
    assert not torch.equal(first, second)


def test_mimetic_heads_begin_by_looking_at_what_is_alike() -> None:
    config = ModelConfig(
        vocab_size=50, num_hidden_layers=1, hidden_size=256, num_attention_heads=4, intermediate_size=8
    )
    plain, mimetic = (dict(initial_values(build(config), 1, mimetic=m)) for m in (False, True))
    name = "encoder.layers.0.attention.query_key_value.weight"
    query, key, value = mimetic[name]().chunk(3)
    assert torch.equal(query, key)
    assert torch.equal(value, plain[name]().chunk(3)[2])
    hidden = nn.functional.layer_norm(torch.randn(40, 256, generator=torch.Generator().manual_seed(2)), (256,))
    for head in query.split(64):
        scores = hidden @ head.T @ head @ hidden.T / 8
        assert scores.diagonal().mean().item() == pytest.approx(3.3, rel=0.1)
        assert scores.fill_diagonal_(0).abs().mean().item() < 0.5
    for other in mimetic.keys() - {name}:
        assert torch.equal(mimetic[other](), plain[other]()), other


@pytest.mark.slow
def test_compiled_parts_give_the_same_gradient() -> None:
    """In a process of its own: what the compiler keeps is in the way of tests that count tensors."""
    script = Path(__file__).parent / "compiled.py"
    subprocess.run([sys.executable, str(script)], check=True, timeout=500)


def test_nobody_looks_at_padding() -> None:
    model, ids = make("post"), padded_ids()
    alone = ids[1:2, :11]
    with torch.no_grad():
        torch.testing.assert_close(model.encoder(ids, ids != PAD)[1:2, :11], model.encoder(alone), rtol=1e-4, atol=1e-5)


def test_weights_start_as_in_roberta() -> None:
    model = MaskedLanguageModel(
        ModelConfig(vocab_size=2000, num_hidden_layers=1, hidden_size=64, num_attention_heads=2, intermediate_size=128)
    )
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            assert parameter.std().item() == pytest.approx(0.02, rel=0.05), name
        else:
            assert torch.all(parameter == (1.0 if "norm.weight" in name else 0.0)), name
    assert not model.encoder.embeddings.tokens.weight[PAD].any()
    assert model.head.weight is model.encoder.embeddings.tokens.weight


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_recomputing_gives_the_same_gradient(norm: str) -> None:
    gradients = []
    for activation_checkpointing in (False, True):
        model = make(norm, dropout=0.2).train()
        model.encoder.activation_checkpointing = activation_checkpointing
        torch.manual_seed(11)
        model(padded_ids(), None, torch.tensor([1, 2]), torch.tensor([7, 8])).backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)
