"""A rule of a user's: a function of some documents that says of each whether it is kept, or why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from corpus.filters.text import DocumentText
from pipeline.errors import XlmrError
from pipeline.plug_ins import calling, load_callable

MOST_REASONS = 1000
"""Different reasons of one rule: each is counted by itself, in the manifest too."""

Answer = bool | str | None
Function = Callable[[list[DocumentText]], Iterable[Answer]]


class OwnRule:
    """Calls the user's function on documents. Of a class, one instance is made a process."""

    def __init__(self, import_string: str) -> None:
        self._import_string = import_string
        self._name = import_string.rpartition(":")[2]
        self._function: Function = load_callable(import_string)
        self._reasons: set[str] = set()

    def reasons(self, texts: Sequence[DocumentText]) -> list[str | None]:
        """For each document None, or the reason that it is dropped for: ``<rule>``, or ``<rule>: <what it says>``.

        Errors: XlmrError for what the function raises, and for what is no answer.
        """
        if not texts:
            return []
        with calling(self._import_string):
            answers = list(self._function(list(texts)))
        if len(answers) != len(texts):
            raise XlmrError(
                f"{self._import_string}: returns {len(answers):,} answers for {len(texts):,} documents",
                "return one for each, in their order",
            )
        return list(map(self._reason, answers))

    def _reason(self, answer: Any) -> str | None:
        if answer is None:
            return None
        if isinstance(answer, bool | np.bool_):
            return None if answer else self._name
        if not isinstance(answer, str):
            raise XlmrError(
                f"{self._import_string}: returns {type(answer).__name__} for a document",
                "return True or None to keep it, False or the reason as text to drop it",
            )
        reason = f"{self._name}: {' '.join(answer.split())}"
        self._reasons.add(reason)
        if len(self._reasons) > MOST_REASONS:
            raise XlmrError(
                f"{self._import_string}: gives more than {MOST_REASONS:,} different reasons",
                "leave numbers and names out of them: documents are counted by reason",
            )
        return reason
