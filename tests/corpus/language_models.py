"""Small language models, trained by the tests on what they are given."""

from __future__ import annotations

from pathlib import Path

from corpus.perplexity.settings import LanguageModels
from corpus.perplexity.train import publish_models
from samples.clean_text import clean_text

__all__ = ["ROOT", "clean_text", "train_models"]

ROOT = Path(__file__).parents[2]


def train_models(folder: Path, texts: dict[str, str], **settings) -> Path:
    """Models of each language, from its text, a document a line."""
    for language, text in texts.items():
        path = folder / "text" / f"{language}.txt"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text, encoding="utf-8")
        options = LanguageModels(text=str(path), **{"vocab_size": 300, "sort_memory": "50M", **settings})
        publish_models(options, language, [str(path)], folder / "models")
    return folder / "models"
