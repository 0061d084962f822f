"""Scores in percent, 0 to 100, as the papers' tables print them; each equal to the published script of its task."""

from __future__ import annotations

from finetune.scoring.answers import AnswerScore, answer_scores, mlqa_scores, squad_scores
from finetune.scoring.classes import accuracy, f1, macro_f1, pearson, spearman
from finetune.scoring.no_answers import squad2_scores
from finetune.scoring.spans import SpanScores, span_f1, span_scores, spans_of

__all__ = [
    "AnswerScore",
    "SpanScores",
    "accuracy",
    "answer_scores",
    "f1",
    "macro_f1",
    "mlqa_scores",
    "pearson",
    "span_f1",
    "span_scores",
    "spans_of",
    "spearman",
    "squad2_scores",
    "squad_scores",
]
