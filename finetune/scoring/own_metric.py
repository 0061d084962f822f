"""A metric of a user's: a function of the right answers and the predictions that returns a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from finetune.choices import METRICS
from pipeline.errors import XlmrError
from pipeline.plug_ins import calling, load_callable


class OwnMetric:
    """Calls the user's function. Of a class, one instance is made a run."""

    def __init__(self, choice: str) -> None:
        self._import_string = METRICS.import_string(choice)
        self._function: Callable[..., Any] = load_callable(self._import_string)

    def score(self, gold: Sequence[Any], predicted: Sequence[Any]) -> float:
        """Its number for the test examples of a language. Errors: XlmrError for what it raises, or for no number."""
        with calling(self._import_string):
            found = float(self._function(list(gold), list(predicted)))
        if not math.isfinite(found):
            raise XlmrError(f"{self._import_string}: returns {found}", "return a number for any predictions")
        return found
