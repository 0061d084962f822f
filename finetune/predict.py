"""Tool ``xlmr finetune predict``: texts -> the label that a fine-tuned model gives each, and its probability."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UsageError


def predict(*text: str, model: Path) -> None:
    """Say which label the model gives each text.

    Parameters
    ----------
    text
        One text or several.
    model
        The model/ folder that a finetune stage wrote.
    """
    for label, probability in labels_of(list(text), model):
        print(f"{probability:.3f}  {label}")


def labels_of(texts: list[str], folder: Path) -> list[tuple[str, float]]:
    """The likeliest label of each text and its probability. Errors: UsageError, XlmrError."""
    if not any(text.strip() for text in texts):
        raise UsageError("no text is given", 'xlmr finetune predict "a text" --model FOLDER')
    import torch

    from finetune.encoding import Encoded, encode_texts
    from finetune.folder import load_classifier
    from finetune.loop import scores_of
    from finetune.stages import Recipe

    classifier = load_classifier(folder)
    encoded = Encoded.of(encode_texts(texts, classifier.tokenizer, classifier.longest), [0] * len(texts))
    found = torch.softmax(scores_of(classifier.model, encoded, Recipe()), 1).max(1)
    return [(classifier.labels[n], p) for n, p in zip(found.indices.tolist(), found.values.tolist(), strict=True)]
