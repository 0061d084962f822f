"""A tiny pretrained folder, made in a second: real tokens of real help pages, weights never trained."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import sentencepiece
import torch

from pretrain.folder import save_model
from pretrain.model import MaskedLanguageModel, ModelConfig

SAMPLES = Path(__file__).parents[2] / "samples" / "task"


def write_encoder(folder: Path) -> None:
    """Write what pretrain.export writes, and the vocabulary as ``tokens.model``."""
    folder.mkdir(exist_ok=True)
    with gzip.open(SAMPLES / "dev.en.jsonl.gz", "rt", encoding="utf-8") as handle:
        texts = [json.loads(line)["text"] for line in handle]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts[:60]),
        model_prefix=str(folder / "tokens"),
        vocab_size=300,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    torch.manual_seed(7)
    size = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokens.model")).vocab_size() + 2
    config = ModelConfig(
        size,
        num_hidden_layers=2,
        hidden_size=32,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=66,
    )
    save_model(MaskedLanguageModel(config), folder, folder / "tokens.model")
