"""The tool fill-mask, with a tokenizer of its own and a model that has been taught one sentence."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch

import pretrain.api
from pipeline.cli import main
from pipeline.errors import UsageError, XlmrError
from pretrain.api import ids_of, load, load_weights, own_device
from pretrain.checkpoints.checkpoint import About, CheckpointFolder, Progress
from pretrain.checkpoints.state import PARTS
from pretrain.fill_mask import fill_mask, table
from pretrain.folder import save_model
from pretrain.model import MaskedLanguageModel, ModelConfig
from tests.pretrain.small_model import SENTENCE, write_model
from tokenizer.folder import load_tokenizer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "model")


def test_ids_are_fairseqs(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    tokens, mask = tokenizer.processor, tokenizer.mask_token_id
    ids = ids_of("the <mask> dog", tokenizer)
    assert ids[0] == 0
    assert ids[-1] == 2
    assert ids.count(mask) == 1
    assert ids[1] == tokens.piece_to_id("▁the") + 1
    assert ids[2] == mask
    assert ids[-2] == tokens.piece_to_id("▁dog") + 1
    assert 3 in ids_of("漢 <mask>", tokenizer)


def test_guesses_what_it_was_taught(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = SENTENCE.split()
    for place, word in enumerate(words):
        (guesses,) = load(folder).fill_mask(" ".join([*words[:place], "<mask>", *words[place + 1 :]]), 3)
        assert guesses[0][0] == f"▁{word}"
        assert guesses[0][1] > 0.5
    fill_mask("the quick <mask> fox <mask>", model=folder, best=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("mask")] == ["mask 1", "mask 2"]
    assert len(lines) == 7
    assert lines[0] == "the quick <mask> fox <mask>"


def test_model_and_text_go_to_the_device_there_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert own_device().type == "cuda"
    monkeypatch.setattr(pretrain.api, "own_device", lambda: torch.device("meta"))  # stands in for a GPU
    filler = load(folder)
    assert all(parameter.is_meta for parameter in filler.model.parameters())
    seen: list[torch.device] = []
    filler.model.register_forward_pre_hook(
        lambda model, given: seen.extend(one.device for one in given if one is not None)
    )
    with pytest.raises(NotImplementedError):  # numbers come out of no meta tensor
        filler.fill_mask("the <mask>", 3)
    assert [device.type for device in seen] == ["meta", "meta"]


def test_probabilities_are_over_real_tokens_only(folder: Path) -> None:
    (guesses,) = load(folder).fill_mask("the <mask>", load_tokenizer(folder).mask_token_id)
    assert sum(probability for _, probability in guesses) == pytest.approx(1, abs=1e-5)
    assert "<mask>" not in {token for token, _ in guesses}


def test_errors_are_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the text 'the dog' has no <mask>"):
        load(folder).fill_mask("the dog", 3)
    with pytest.raises(UsageError, match="the model reads 62 at most"):
        load(folder).fill_mask("the dog " * 60 + "<mask>", 3)
    with pytest.raises(XlmrError, match="no tokenizer is in it; name one with --tokenizer"):
        load(tmp_path).fill_mask("<mask>", 3)


def test_a_training_and_its_checkpoints_are_models_too(folder: Path, tmp_path: Path) -> None:
    model, tokens = load_weights(folder), folder / "sentencepiece.bpe.model"
    tensors = [(name, dict.fromkeys(PARTS, parameter.detach())) for name, parameter in model.named_parameters()]
    about = About(model.config, load_tokenizer(folder).vocab_size, Progress(step=7))
    path = CheckpointFolder(tmp_path / "checkpoints").write(tensors, about)
    text = "the quick <mask> fox"
    expected = load(folder).fill_mask(text, 3)
    for place in (path, tmp_path / "checkpoints", tmp_path):
        assert load(place, tokens).fill_mask(text, 3) == expected
    with pytest.raises(XlmrError, match="no tokenizer is in it; name one with --tokenizer"):
        load(path)


def test_a_tokenizer_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    save_model(
        MaskedLanguageModel(
            ModelConfig(8, num_hidden_layers=1, hidden_size=8, num_attention_heads=1, intermediate_size=8)
        ),
        tmp_path,
    )
    with pytest.raises(XlmrError, match=r"a vocabulary of 13, the model of .* knows 8"):
        load(tmp_path, folder)
    (tmp_path / "sentencepiece.bpe.model").write_bytes(b"nothing")
    with pytest.raises(XlmrError, match="not a SentencePiece model"):
        load(tmp_path)


def test_records_and_standard_input(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("the <mask> brown\n\n<mask> dog <mask>\n"))
    fill_mask(model=folder, best=2, as_json=True)
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["text"] for record in records] == ["the <mask> brown", "<mask> dog <mask>"]
    assert [[len(one) for one in record["masks"]] for record in records] == [[2], [2, 2]]
    assert set(records[0]["masks"][0][0]) == {"token", "probability"}
    with pytest.raises(UsageError, match="--best is 0"):
        fill_mask("<mask>", model=folder, best=0)


def test_bars_are_as_long_as_they_say(folder: Path) -> None:
    lines = table("x", [[("a", 1.0), ("b", 0.5), ("c", 0.0), ("d", 0.00625)]])
    bars = [line[10:30] for line in lines[2:]]
    assert bars == ["█" * 20, "█" * 10 + " " * 10, " " * 20, "▏" + " " * 19]
    assert [line[32:] for line in lines[2:]] == ["a", "b", "c", "d"]


def test_a_hyphen_among_the_options_is_the_standard_input(folder: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("the quick <mask> fox\n"))
    assert main(["pretrain", "fill-mask", "--json", "-", "--model", str(folder), "--best", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "the quick <mask> fox"
