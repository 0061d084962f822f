"""The tool fill-mask, with a tokenizer of its own and a model that has been taught one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import sentencepiece
import torch

from pipeline.errors import UsageError, XlmrError
from pretrain.fill_mask import encode, fill_mask, guess, load_pieces
from pretrain.folder import save_model
from pretrain.model import MaskedLanguageModel, ModelConfig

SENTENCE = "the quick brown fox jumps over the lazy dog"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("model")
    (place / "text.txt").write_text((SENTENCE + "\n") * 50)
    sentencepiece.SentencePieceTrainer.train(
        input=str(place / "text.txt"),
        model_prefix=str(place / "pieces"),
        vocab_size=11,
        model_type="word",
        minloglevel=2,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(place / "pieces.model"))
    size = pieces.get_piece_size() + 2
    torch.manual_seed(0)
    model = MaskedLanguageModel(ModelConfig(size + 6, layers=1, width=32, heads=2, feed_forward=64, positions=64))
    ids = torch.tensor([encode(SENTENCE, pieces, size - 1)])
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(300):
        masked = ids.clone()
        place_of_mask = int(torch.randint(1, ids.shape[1] - 1, ()))
        masked[0, place_of_mask] = size - 1
        where = torch.tensor([place_of_mask])
        model(masked, None, where, ids[0, where]).backward()
        optimizer.step()
        optimizer.zero_grad()
    save_model(model, place / "export", place / "pieces.model")
    return place / "export"


def test_ids_are_fairseqs(folder: Path) -> None:
    pieces = load_pieces(folder)
    ids = encode("the <mask> dog", pieces, 99)
    assert ids[0] == 0
    assert ids[-1] == 2
    assert ids.count(99) == 1
    assert ids[1] == pieces.piece_to_id("▁the") + 1
    assert ids[2] == 99
    assert ids[-2] == pieces.piece_to_id("▁dog") + 1
    assert 3 in encode("漢 <mask>", pieces, 99)


def test_guesses_what_it_was_taught(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = SENTENCE.split()
    for place, word in enumerate(words):
        (guesses,) = guess(" ".join([*words[:place], "<mask>", *words[place + 1 :]]), folder, 3)
        assert guesses[0][0] == f"▁{word}"
        assert guesses[0][1] > 0.5
    fill_mask("the quick <mask> fox <mask>", model=folder, best=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("mask")] == ["mask 1", "mask 2"]
    assert len(lines) == 6


def test_probabilities_are_over_real_pieces_only(folder: Path) -> None:
    pieces = load_pieces(folder)
    (guesses,) = guess("the <mask>", folder, pieces.get_piece_size() + 1)
    assert sum(probability for _, probability in guesses) == pytest.approx(1, abs=1e-5)
    assert "<mask>" not in {piece for piece, _ in guesses}


def test_errors_are_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the text has no <mask>"):
        guess("the dog", folder, 3)
    with pytest.raises(UsageError, match="the model reads 62 at most"):
        guess("the dog " * 60 + "<mask>", folder, 3)
    with pytest.raises(XlmrError, match=r"sentencepiece\.bpe\.model: no such file"):
        guess("<mask>", tmp_path, 3)
