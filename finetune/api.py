"""The Python API of this package: a fine-tuned model is loaded from its folder, and predicts.

A folder is the ``model/`` that a finetune stage wrote, or one that transformers saved. The examples run in
tests/finetune/test_finetune_api.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import torch

from finetune.data.examples import Classification, Question, Regression, Tagging
from finetune.folder import load_fine_tuned
from finetune.heads.kind import Prediction
from finetune.heads.probabilities import label_probabilities, word_probabilities
from finetune.training.devices import own_device
from finetune.training.evaluation import scores_of
from pipeline.errors import UsageError

Texts = Iterable[str]
"""A list or other iterable of texts, or a column of Arrow."""
Words = Iterable[Sequence[str]]
"""Sentences that are words already."""

_MISSING: Any = object()

BATCH = 1024
"""Examples that are encoded at a time."""


@dataclass(frozen=True)
class Asked:
    """A text, and what goes with it."""

    text: str
    pair: str = ""
    context: str = ""
    given_words: tuple[str, ...] | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """What is tagged: the words that were given, or the text's between white space."""
        return tuple(self.text.split()) if self.given_words is None else self.given_words


class Predictor:
    """A fine-tuned model that predicts, in fp32, on the GPU if there is one. Errors: XlmrError for its folder."""

    def __init__(self, folder: str | Path, device: str | torch.device | None = None) -> None:
        self._loaded = load_fine_tuned(Path(folder))
        self._loaded.model.to(own_device() if device is None else device)

    @property
    def kind(self) -> str:
        """Kind of task: classification, regression, tagging or span (questions)."""
        return self._loaded.kind.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes or tags, in the order of the scores; empty where there are none."""
        return self._loaded.kind.labels

    def predict(
        self, texts: Texts | Words, *, pairs: Texts | None = None, contexts: Texts | None = None
    ) -> list[Prediction]:
        """A prediction for each text: a mapping of plain values, as docs/python.md lists them.

        ``texts`` are texts; for a model that tags, also lists of words; for one that answers, questions.
        ``pairs`` are the second texts, for a model of pairs; ``contexts`` the texts that answers are found in.
        Errors: UsageError where they are not as many as the texts, or do not belong to this kind of model.

        >>> model = finetune.load("model")
        >>> model.labels
        ('drawing', 'letter', 'table')
        >>> [one["predicted"] for one in model.predict(["a row and a cell", "a circle or a line"])]
        ['table', 'drawing']
        """
        if isinstance(texts, str):
            raise UsageError("texts is one text", "give a list of texts")
        if pairs is not None and self.kind not in ("classification", "regression"):
            raise UsageError(f"this is a model for {self.kind}, which takes no pairs", "leave pairs out")
        if contexts is not None and self.kind != "span":
            raise UsageError(f"this is a model for {self.kind}, which takes no contexts", "leave contexts out")
        asked, found = _asked(texts, pairs, contexts), list[Prediction]()
        while some := list(islice(asked, BATCH)):
            found += self._predictions(some, probabilities=True)
        return found

    def answer(self, asked: Sequence[Asked]) -> list[Prediction]:
        """The prediction of each, without probabilities of other labels.

        Errors: UsageError for a question without a text to find the answer in.
        """
        return self._predictions(asked, probabilities=False)

    def _predictions(self, asked: Sequence[Asked], *, probabilities: bool) -> list[Prediction]:
        if not asked:
            return []
        if self.kind == "span" and not all(one.context.strip() for one in asked):
            raise UsageError("this model finds answers in a text", "give it with --context, or a column context")
        examples, kind = self._examples(asked), self._loaded.kind
        encoded = kind.encode(examples, self._loaded.tokenizer)
        scores, _ = scores_of(self._loaded.model, encoded, kind.recipe)
        found = kind.predictions(scores, encoded, examples)
        more: list[Prediction]
        if probabilities and self.kind == "classification":
            more = [{"probabilities": one} for one in label_probabilities(scores, self.labels)]
        elif probabilities and self.kind == "tagging":
            counts = [len(one.words) for one in asked]
            more = [{"confidence": one} for one in word_probabilities(scores, encoded, counts)]
        else:
            return found
        return [one | other for one, other in zip(found, more, strict=True)]

    def _examples(self, asked: Sequence[Asked]) -> list[Any]:
        labels, numbered = self.labels, [(str(n), one) for n, one in enumerate(asked)]
        if self.kind == "tagging":
            return [Tagging(n, one.words, (labels[0],) * len(one.words)) for n, one in numbered]
        if self.kind == "classification":
            return [Classification(n, one.text, one.pair or None, labels[0]) for n, one in numbered]
        if self.kind == "regression":
            return [Regression(n, one.text, one.pair or None, 0.0) for n, one in numbered]
        return [Question(n, one.text, one.context, (), "") for n, one in numbered]


def load(folder: str | Path, device: str | torch.device | None = None) -> Predictor:
    """The model in a folder; on the GPU if there is one, or on ``device``. Errors: XlmrError for the folder.

    >>> finetune.load("model").kind
    'classification'
    """
    return Predictor(folder, device)


def predict(
    model: str | Path | Predictor,
    texts: Texts | Words,
    *,
    pairs: Texts | None = None,
    contexts: Texts | None = None,
) -> list[Prediction]:
    """As ``Predictor.predict``, of a model that is loaded, or of a folder, which is then loaded.

    >>> (one,) = finetune.predict("model", ["a page with a paragraph"])
    >>> one["predicted"], sorted(one["probabilities"])
    ('letter', ['drawing', 'letter', 'table'])
    """
    loaded = model if isinstance(model, Predictor) else load(model)
    return loaded.predict(texts, pairs=pairs, contexts=contexts)


def _asked(texts: Texts | Words, pairs: Texts | None, contexts: Texts | None) -> Iterator[Asked]:
    """Errors: UsageError where there are more of one than of another."""
    given = {name: _values(column) for name, column in (("pair", pairs), ("context", contexts)) if column is not None}
    rows = zip_longest(_values(texts), *given.values(), fillvalue=_MISSING)
    for number, (text, *more) in enumerate(rows, 1):
        if text is _MISSING or _MISSING in more:
            raise UsageError(f"texts and {', '.join(given)}s are not as many", "give one for each text")
        if text is None or None in more:
            raise UsageError(f"text {number} is None", "leave it out, or give an empty text")
        words = None if isinstance(text, str) else tuple(text)
        besides = dict(zip(given, more, strict=True))
        joined = text if words is None else " ".join(words)
        yield Asked(joined, besides.get("pair", ""), besides.get("context", ""), words)


def _values(column: Iterable[Any]) -> Iterable[Any]:
    """Python's values; of a column of Arrow too."""
    listed = getattr(column, "to_pylist", None)
    return listed() if listed else column
