"""A model that has been taught one sentence, and its tokenizer: docstrings and pages show what it says."""

from __future__ import annotations

import io
from pathlib import Path

import sentencepiece
import torch

from pretrain.api import ids_of
from pretrain.folder import save_model
from pretrain.model import MaskedLanguageModel, ModelConfig
from tokenizer.folder import load_tokenizer

SENTENCE = "the quick brown fox jumps over the lazy dog"


def write_model(folder: Path) -> Path:
    """Write the folder, in Hugging Face's layout, in a second or two."""
    folder.mkdir(parents=True)
    vocabulary = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([SENTENCE] * 50), model_writer=vocabulary, vocab_size=11, model_type="word",
        minloglevel=2,
    )  # fmt: skip
    file = folder / ".vocabulary"
    file.write_bytes(vocabulary.getvalue())
    tokenizer = load_tokenizer(file)
    torch.manual_seed(0)
    model = MaskedLanguageModel(ModelConfig(tokenizer.vocab_size + 6, 1, 32, 2, 64, max_position_embeddings=64))
    ids = torch.tensor([ids_of(SENTENCE, tokenizer)])
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(300):
        masked = ids.clone()
        place = int(torch.randint(1, ids.shape[1] - 1, ()))
        masked[0, place] = tokenizer.mask_token_id
        masked_positions = torch.tensor([place])
        model(masked, None, masked_positions, ids[0, masked_positions]).backward()
        optimizer.step()
        optimizer.zero_grad()
    save_model(model, folder, file)
    file.unlink()
    return folder
