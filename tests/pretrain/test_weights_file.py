"""Weights as others save them, and as damage leaves them: untied decoders, values that are NaN; memory of loading."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_model import SMALL, make, padded_ids

from pipeline.errors import XlmrError
from pretrain.folder import load_encoder, load_model, save_model
from pretrain.model import PAD, MaskedLanguageModel, ModelConfig
from pretrain.weights_file import WEIGHTS, WeightsFile


def test_an_untied_model_is_refused_and_its_encoder_is_read(tmp_path: Path) -> None:
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

    config = XLMRobertaConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=20, tie_word_embeddings=False,
    )  # fmt: skip
    theirs = XLMRobertaForMaskedLM(config).eval()
    theirs.save_pretrained(tmp_path)
    with pytest.raises(XlmrError, match=r"the model is untied \(lm_head\.decoder\.weight is not the table"):
        load_model(tmp_path)
    ids = padded_ids()
    with torch.no_grad():
        expected = theirs.roberta(input_ids=ids, attention_mask=(ids != PAD).long()).last_hidden_state
        found = load_encoder(tmp_path)(ids, ids != PAD)
    torch.testing.assert_close(found[ids != PAD], expected[ids != PAD], rtol=1e-4, atol=2e-4)

    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"tie_word_embeddings": True}))
    with pytest.raises(XlmrError, match="the model is untied"):  # whatever the configuration says of it
        load_model(tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    tensors["lm_head.decoder.weight"] = tensors["roberta.embeddings.word_embeddings.weight"].clone()
    save_file(tensors, tmp_path / WEIGHTS)
    load_model(tmp_path)  # written twice, and the same: as good as tied
    del tensors["lm_head.decoder.weight"]
    save_file(tensors, tmp_path / WEIGHTS)
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(XlmrError, match=r"tie_word_embeddings is false in config\.json, and there is no lm_head"):
        load_model(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(value: float, tmp_path: Path) -> None:
    model = make("post")
    with torch.no_grad():
        model.encoder.layers[1].feed_forward.up.weight[3, 5] = value
    save_model(model, tmp_path)
    for read in (load_model, load_encoder):
        with pytest.raises(
            XlmrError, match=r"model\.safetensors: roberta\.encoder\.layer\.1\.intermediate\.dense\.weight has values"
        ):
            read(tmp_path)


MEMORY = """
import sys
from pathlib import Path
from pretrain.folder import load_encoder, load_model

def peak():  # not getrusage's, which a process has from the one that started it
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

load_model(Path(sys.argv[1]))  # a small one: what is imported and first used
before = peak()
for read in (load_encoder, load_model):
    read(Path(sys.argv[2]))
print(peak() - before)
"""


@pytest.mark.slow
def test_loading_takes_the_memory_of_the_weights_once(tmp_path: Path) -> None:
    save_model(make("post"), tmp_path / "small")
    large = {
        "vocab_size": 60_000,
        "hidden_size": 256,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
        "num_hidden_layers": 8,
    }
    save_model(MaskedLanguageModel(ModelConfig(**{**SMALL, **large})), tmp_path / "large")  # 87 MB
    size = (tmp_path / "large" / WEIGHTS).stat().st_size
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "small"), str(tmp_path / "large")]
    peak = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert peak < 1.15 * size, f"{peak / size:.2f} times the weights"


def test_a_file_that_is_removed_meanwhile_is_read_to_its_end(tmp_path: Path) -> None:
    model = make("post")
    save_model(model, tmp_path)
    opened = WeightsFile(tmp_path / WEIGHTS)
    (tmp_path / WEIGHTS).unlink()
    assert torch.equal(opened["lm_head.dense.weight"], model.head.dense.weight)
