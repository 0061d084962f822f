"""The four kinds of task: classes of texts, numbers, tags of words, answers in contexts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from finetune.data.examples import Classification, Question, Regression, Tagging
from finetune.data.tags import are_spans
from finetune.heads.classification import SequenceClassifier, TokenClassifier
from finetune.heads.encoding import Encoded, encode_pairs, encode_texts
from finetune.heads.kind import Kind, Prediction
from finetune.heads.losses import Loss, Scores, class_loss, span_loss, value_loss
from finetune.heads.probabilities import softmax
from finetune.heads.span import Answer, Windows, answers_of, encode_questions
from finetune.heads.tagging import encode_sentences, tags_of
from finetune.scoring import (
    accuracy,
    f1,
    macro_f1,
    mlqa_scores,
    pearson,
    span_scores,
    spearman,
    squad2_scores,
    squad_scores,
)
from pretrain.model import Encoder
from tokenizer.pieces import Tokenizer

WITH_F1 = ("mrpc", "qqp")
"""Tasks that GLUE scores by F1 too."""

NEVER = 1e4
"""How much likelier no answer is where a context has nothing to answer with: JSON has no infinity."""


class TextKind(Kind):
    """Texts or pairs of texts."""

    def model(self, encoder: Encoder, dropout: float) -> nn.Module:
        """The head on the vector of the text."""
        return SequenceClassifier(encoder, self.outputs, dropout, self.recipe.pooling)

    def rows(self, examples: Sequence[Any], tokenizer: Tokenizer, threads: int) -> list[Any]:
        """Texts alone, or all with a second one."""
        first = [example.text for example in examples]
        second = [example.pair for example in examples if example.pair is not None]
        if not second:
            return encode_texts(first, tokenizer, self.recipe.longest, threads)
        return encode_pairs(first, second, tokenizer, self.recipe.longest, threads)

    def text(self, example: Any) -> dict[str, Any]:
        """The text, and the second one."""
        return {"text": example.text} | ({} if example.pair is None else {"pair": example.pair})


class ClassificationKind(TextKind):
    """One of several labels."""

    name, suffix = "classification", "ForSequenceClassification"

    @property
    def score_names(self) -> tuple[str, ...]:
        """Accuracy, macro F1."""
        return ("accuracy", "macro_f1", *(("f1",) if self.task in WITH_F1 else ()))

    @property
    def loss(self) -> Loss:
        """Cross-entropy."""
        return class_loss

    def encode(self, examples: Sequence[Classification], tokenizer: Tokenizer, threads: int = 1) -> Encoded:
        """Labels are classes."""
        place = {label: number for number, label in enumerate(self.labels)}
        labels = np.array([place[example.label] for example in examples], np.int64)
        return Encoded.of(self.rows(examples, tokenizer, threads), labels)

    def predictions(self, scores: Scores, encoded: Encoded, examples: Sequence[Any]) -> list[Prediction]:
        """The likeliest label and its probability."""
        del encoded, examples
        sure = softmax(scores).max(1)
        return [
            {"predicted": self.labels[n], "confidence": round(float(p), 4)}
            for n, p in zip(scores.argmax(1), sure, strict=True)
        ]

    def usual_scores(
        self, examples: Sequence[Classification], predictions: Sequence[Prediction], language: str
    ) -> dict[str, float]:
        """Accuracy and macro F1; for MRPC and QQP also F1 of their last class, which means "the same" (GLUE)."""
        del language
        gold, predicted = [example.label for example in examples], [one["predicted"] for one in predictions]
        found = {"accuracy": accuracy(gold, predicted), "macro_f1": macro_f1(gold, predicted)}
        if self.task in WITH_F1:
            found["f1"] = f1(gold, predicted, self.labels[-1])
        return _shares(found)

    def gold(self, example: Classification) -> str:
        """The label."""
        return example.label


class RegressionKind(TextKind):
    """A value."""

    name, suffix = "regression", "ForSequenceClassification"
    score_names = ("pearson", "spearman")

    @property
    def outputs(self) -> int:
        """One."""
        return 1

    @property
    def loss(self) -> Loss:
        """Squared error."""
        return value_loss

    def encode(self, examples: Sequence[Regression], tokenizer: Tokenizer, threads: int = 1) -> Encoded:
        """Labels are values."""
        labels = np.array([example.value for example in examples], np.float32)
        return Encoded.of(self.rows(examples, tokenizer, threads), labels)

    def predictions(self, scores: Scores, encoded: Encoded, examples: Sequence[Any]) -> list[Prediction]:
        """The value."""
        del encoded, examples
        return [{"predicted": round(float(value), 4)} for value in scores[:, 0]]

    def usual_scores(
        self, examples: Sequence[Regression], predictions: Sequence[Prediction], language: str
    ) -> dict[str, float]:
        """Both correlations (GLUE, STS-B)."""
        del language
        gold = [example.value for example in examples]
        predicted = [float(one["predicted"]) for one in predictions]
        return _shares({"pearson": pearson(gold, predicted), "spearman": spearman(gold, predicted)})

    def gold(self, example: Regression) -> float:
        """The value."""
        return example.value


class TaggingKind(Kind):
    """A tag for each word: of spans in IOB2, or plain."""

    name, suffix = "tagging", "ForTokenClassification"

    @property
    def score_names(self) -> tuple[str, ...]:
        """F1 of whole names; of plain tags the share of words that is right."""
        return ("f1", "precision", "recall") if are_spans(self.labels) else ("accuracy", "macro_f1")

    @property
    def loss(self) -> Loss:
        """Cross-entropy at first tokens."""
        return class_loss

    def model(self, encoder: Encoder, dropout: float) -> nn.Module:
        """A head on every token."""
        return TokenClassifier(encoder, self.outputs, dropout)

    def encode(self, examples: Sequence[Tagging], tokenizer: Tokenizer, threads: int = 1) -> Encoded:
        """Labels are tags of first tokens."""
        place = {label: number for number, label in enumerate(self.labels)}
        tags = [[place[tag] for tag in example.tags] for example in examples]
        return encode_sentences([one.words for one in examples], tags, tokenizer, self.recipe.longest, threads)

    def predictions(self, scores: Scores, encoded: Encoded, examples: Sequence[Tagging]) -> list[Prediction]:
        """The tags."""
        found = tags_of(scores, encoded, [len(one.words) for one in examples], self.labels)
        return [{"predicted": tags} for tags in found]

    def usual_scores(
        self, examples: Sequence[Tagging], predictions: Sequence[Prediction], language: str
    ) -> dict[str, float]:
        """F1, precision and recall of whole names (CoNLL); of plain tags accuracy and macro F1 over all words."""
        del language
        if not are_spans(self.labels):
            gold = [tag for one in examples for tag in one.tags]
            predicted = [tag for one in predictions for tag in one["predicted"]]
            return _shares({"accuracy": accuracy(gold, predicted), "macro_f1": macro_f1(gold, predicted)})
        found = span_scores([one.tags for one in examples], [one["predicted"] for one in predictions])
        return _shares({"f1": found.f1, "precision": found.precision, "recall": found.recall})

    def gold(self, example: Tagging) -> list[str]:
        """The tags."""
        return list(example.tags)

    def text(self, example: Tagging) -> dict[str, Any]:
        """The words."""
        return {"words": list(example.words)}


class SpanKind(Kind):
    """An answer in a context."""

    name, suffix = "span", "ForQuestionAnswering"
    score_names = ("f1", "exact_match")

    @property
    def outputs(self) -> int:
        """First and last."""
        return 2

    @property
    def loss(self) -> Loss:
        """Cross-entropy over a row's tokens."""
        return span_loss

    def model(self, encoder: Encoder, dropout: float) -> nn.Module:
        """A head on every token, without dropout, as in Hugging Face's and the papers' code."""
        del dropout
        return TokenClassifier(encoder, 2, 0.0)

    def encode(self, examples: Sequence[Question], tokenizer: Tokenizer, threads: int = 1) -> Encoded:
        """Labels are first and last tokens."""
        del threads  # characters are given one text at a time
        recipe = self.recipe
        return encode_questions(
            [one.question for one in examples],
            [one.context for one in examples],
            [[(start, start + len(text)) for text, start in one.answers] for one in examples],
            tokenizer,
            Windows(recipe.longest, recipe.stride, recipe.longest_question),
        )

    def predictions(self, scores: Scores, encoded: Encoded, examples: Sequence[Question]) -> list[Prediction]:
        """The text of the best answer, its first character, and its score.

        Where there may be none, also the best ``answer`` in any case, and how much higher ``no_answer`` scores.
        """
        found = answers_of(scores, encoded, [one.context for one in examples], self.recipe.longest_answer)
        return [self._prediction(one) for one in found]

    def _prediction(self, answer: Answer) -> Prediction:
        score = round(answer.score, 4) if answer.text else None
        predicted: Prediction = {"predicted": answer.text, "start": answer.start, "score": score}
        threshold = self.recipe.no_answer_threshold
        if threshold is None:
            return predicted
        no_answer = round(answer.none - answer.score, 4) if answer.text else NEVER
        if no_answer > threshold:
            predicted |= {"predicted": "", "start": None}
        return predicted | {"answer": answer.text, "no_answer": no_answer}

    def usual_scores(
        self, examples: Sequence[Question], predictions: Sequence[Prediction], language: str
    ) -> dict[str, float]:
        """F1 and exact match by the rule of SQuAD and XQuAD, or by MLQA's of the language."""
        predicted = {example.id: one["predicted"] for example, one in zip(examples, predictions, strict=True)}
        if self.recipe.no_answer_threshold is not None:
            return self._scores_with_none(examples, predictions, self.recipe.no_answer_threshold)
        if self.task == "mlqa":
            return _shares(mlqa_scores(predicted, examples, language))
        return _shares(squad_scores(predicted, examples))

    def _scores_with_none(
        self, examples: Sequence[Question], predictions: Sequence[Prediction], threshold: float
    ) -> dict[str, float]:
        """By the rule of SQuAD 2.0. What answers without a score of none (a baseline) always answers."""
        both = list(zip(examples, predictions, strict=True))
        texts: dict[str, str] = {example.id: str(one.get("answer", one["predicted"])) for example, one in both}
        none = {example.id: one.get("no_answer", threshold) for example, one in both}
        found = squad2_scores(texts, none, examples, threshold)
        thresholds = {name: value for name, value in found.items() if name.endswith("_threshold")}
        return _shares({name: value for name, value in found.items() if name not in thresholds}) | thresholds

    def gold(self, example: Question) -> list[str]:
        """All answers."""
        return [text for text, _ in example.answers]

    def text(self, example: Question) -> dict[str, Any]:
        """Question and context."""
        return {"question": example.question, "context": example.context}


def _shares(percent: dict[str, float]) -> dict[str, float]:
    """From 0 to 1: what is stored; tables and reports write percent."""
    return {name: value / 100 for name, value in percent.items()}


KINDS: dict[str, type[Kind]] = {kind.name: kind for kind in (ClassificationKind, RegressionKind, TaggingKind, SpanKind)}
