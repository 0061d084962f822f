"""Tool ``xlmr finetune predict``: texts -> what a fine-tuned model of any kind says of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from finetune.folder import FineTuned


def predict(*text: str, model: Path, pair: str = "", context: str = "") -> None:
    """Say what the model makes of each text: its label, its value, its names, or the answer to it as a question.

    Parameters
    ----------
    text
        One text or several: questions, for a model that answers them; words with spaces between, for one that tags.
    model
        The model/ folder that a finetune stage wrote.
    pair
        The second text, for a model of pairs.
    context
        The text that answers are to be found in.
    """
    for line in lines_of(list(text), model, pair, context):
        print(line)


def lines_of(texts: Sequence[str], folder: Path, pair: str = "", context: str = "") -> list[str]:
    """A line for each text. Errors: UsageError, XlmrError."""
    said, kind = predictions_of(texts, folder, pair, context)
    return [_line(kind, text, one) for text, one in zip(texts, said, strict=True)]


def predictions_of(
    texts: Sequence[str], folder: Path, pair: str = "", context: str = ""
) -> tuple[list[dict[str, Any]], str]:
    """What the model says of each text, and its kind. Errors: UsageError, XlmrError."""
    if not any(text.strip() for text in texts):
        raise UsageError("no text is given", 'xlmr finetune predict "a text" --model FOLDER')
    from finetune.folder import load_fine_tuned
    from finetune.training.loop import scores_of

    loaded = load_fine_tuned(folder)
    if loaded.kind.name == "span" and not context.strip():
        raise UsageError("this model finds answers in a text", "give it with --context")
    examples = _examples(loaded, texts, pair, context)
    encoded = loaded.kind.encode(examples, loaded.tokenizer)
    scores, _ = scores_of(loaded.model, encoded, loaded.kind.recipe)
    return loaded.kind.predictions(scores, encoded, examples), loaded.kind.name


def _examples(loaded: FineTuned, texts: Sequence[str], pair: str, context: str) -> list[Any]:
    from finetune.data.examples import Classification, Question, Regression, Tagging

    labels = loaded.kind.labels
    if loaded.kind.name == "classification":
        return [Classification(str(n), text, pair or None, labels[0]) for n, text in enumerate(texts)]
    if loaded.kind.name == "regression":
        return [Regression(str(n), text, pair or None, 0.0) for n, text in enumerate(texts)]
    if loaded.kind.name == "tagging":
        words = [tuple(text.split()) for text in texts]
        return [Tagging(str(n), one, (labels[0],) * len(one)) for n, one in enumerate(words)]
    return [Question(str(n), text, context, (), "") for n, text in enumerate(texts)]


def _line(kind: str, text: str, said: dict[str, Any]) -> str:
    if kind == "classification":
        return f"{said['confidence']:.3f}  {said['predicted']}"
    if kind == "regression":
        return f"{said['predicted']:.3f}"
    if kind == "tagging":
        return " ".join(
            word if tag == "O" else f"[{word}|{tag}]" for word, tag in zip(text.split(), said["predicted"], strict=True)
        )
    return f"{said['start']}  {said['predicted']}"
