"""Questions and answers: contexts as overlapping windows, and answers read back as characters of the context itself.

Characters are kept from the tokenizer on, so that nothing is ever looked for in the text again (that wrecks Chinese).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from finetune.heads.encoding import Encoded, Rows, row_of
from finetune.heads.losses import Scores
from tokenizer.pieces import Ids, Tokenizer

Spans = list[tuple[int, int]]
"""[first, last + 1) character of each answer to a question."""


@dataclass(frozen=True)
class Windows:
    """How a context is cut: rows of ``longest`` tokens, each beginning ``stride`` tokens after the one before."""

    longest: int = 384
    stride: int = 128
    question: int = 64


@dataclass(frozen=True)
class Answer:
    """[start, end) in characters of the context, the text there, and first + last score.

    ``none``: the same sum of <s>, which stands for no answer; of several windows the least (BERT's code).
    """

    text: str
    start: int
    end: int
    score: float
    none: float = float("inf")


def encode_questions(
    questions: Sequence[str], contexts: Sequence[str], answers: Sequence[Spans], tokenizer: Tokenizer, windows: Windows
) -> Encoded:
    """Rows <s> question </s></s> window </s>. The target is the first answer's first and last token, or <s> twice.

    <s> stands for "not in this window", as in the windows of BERT's and MLQA's code.
    """
    known: dict[str, tuple[Ids, Rows]] = {}
    asked = tokenizer.encode_batch(list(questions))
    rows: list[Ids] = []
    labels: list[tuple[int, int]] = []
    examples: list[int] = []
    places: list[Rows] = []
    for number, (tokens, context, spans) in enumerate(zip(asked, contexts, answers, strict=True)):
        if context not in known:
            known[context] = tokenizer.encode_with_offsets(context)
        ids, characters = known[context]
        question = tokens[: windows.question]
        before, space = len(question) + 3, windows.longest - len(question) - 4
        first, last = tokens_of_span(characters, *spans[0]) if spans else (-1, -1)
        for start, end in window_borders(len(ids), space, windows.stride):
            rows.append(row_of(question, ids[start:end]))
            inside = start <= first <= last < end
            labels.append((before + first - start, before + last - start) if inside else (0, 0))
            examples.append(number)
            none = np.full((before, 2), -1)
            places.append(np.concatenate([none, characters[start:end], none[:1]]))
    flat = np.concatenate(places) if places else np.empty((0, 2), np.int64)
    return Encoded.of(rows, np.array(labels, np.int64).reshape(-1, 2), examples, flat)


def window_borders(tokens: int, space: int, stride: int) -> Iterator[tuple[int, int]]:
    """[start, end) of each window; the last one ends with the context. A context without tokens has one."""
    step = min(stride, space)  # nothing may be left out between two windows
    for start in range(0, max(tokens, 1), step):
        yield start, min(start + space, tokens)
        if start + space >= tokens:
            return


def tokens_of_span(characters: Rows, start: int, end: int) -> tuple[int, int]:
    """First and last token that hold some of the characters [start, end); (−1, −1) where none does.

    ``characters`` [tokens, 2] are what each token stands for; a token may stand for nothing (a lone ▁).
    """
    holds = (characters[:, 0] < end) & (characters[:, 1] > start) & (characters[:, 0] < characters[:, 1])
    found = np.flatnonzero(holds)
    return (int(found[0]), int(found[-1])) if len(found) else (-1, -1)


def answers_of(scores: Scores, encoded: Encoded, contexts: Sequence[str], longest: int = 30) -> list[Answer]:
    """The best answer of at most ``longest`` tokens for each question, over all of its windows.

    ``scores`` [tokens, 2] lie like ``encoded.tokens``: of being an answer's first and last token.
    """
    best = [Answer("", 0, 0, float("-inf")) for _ in contexts]
    for row, number in enumerate(encoded.examples):
        here = slice(encoded.offsets[row], encoded.offsets[row + 1])
        places = encoded.places[here]
        none = min(best[number].none, float(scores[here.start].sum()))
        best[number] = replace(best[number], none=none)
        found = best_span(scores[here], places[:, 0] < places[:, 1], longest)
        if found is not None and found[2] > best[number].score:
            first, last, score = found
            start, end = int(places[first, 0]), int(places[last, 1])
            best[number] = Answer(contexts[number][start:end], start, end, score, none)
    return best


def best_span(scores: Scores, allowed: NDArray[np.bool_], longest: int) -> tuple[int, int, float] | None:
    """(first, last, score) with the highest first + last score, of at most ``longest`` tokens; None where none is.

    scores [tokens, 2]; both ends must be ``allowed`` [tokens]. Of equal ones the shortest, then the earliest.
    """
    if not allowed.any():
        return None
    first = np.where(allowed, scores[:, 0], -np.inf)
    last = np.where(allowed, scores[:, 1], -np.inf)
    ends = np.concatenate([last, np.full(longest - 1, -np.inf, last.dtype)])
    sums = first + np.lib.stride_tricks.sliding_window_view(ends, len(first))  # [span - 1, first]
    span, start = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(start), int(start + span), float(sums[span, start])
