"""An identifier of a user's: a function of some texts that returns (code, probability) for each, or a class of such."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from corpus.language.labels import check_names
from pipeline.errors import XlmrError
from pipeline.plug_ins import calling, load_callable

Floats = npt.NDArray[np.float32]


class OwnIdentifier:
    """Calls the user's function. Of a class, one instance is made a process."""

    def __init__(self, import_string: str) -> None:
        self._import_string = import_string
        self._function = load_callable(import_string)
        self._known: set[str] = set()

    def identify(self, texts: Sequence[str]) -> tuple[list[str], Floats]:
        """The likeliest language of each text (no newline inside) and its probability, rounded to 2 places.

        Errors: XlmrError for what the function raises, for what is no pair of a code and a number from 0 to 1, and for
        a code that cannot be a folder's name.
        """
        if not texts:
            return [], np.empty(0, np.float32)
        with calling(self._import_string):
            pairs = [(str(code), float(probability)) for code, probability in self._function(list(texts))]
        if len(pairs) != len(texts):
            raise XlmrError(
                f"{self._import_string}: returns {len(pairs):,} answers for {len(texts):,} texts",
                "return (code, probability) for each, in their order",
            )
        codes, probabilities = [code for code, _ in pairs], [probability for _, probability in pairs]
        if not all(math.isfinite(one) and 0 <= one <= 1 for one in probabilities):
            raise XlmrError(
                f"{self._import_string}: returns a probability that is not from 0 to 1", "divide by the sum"
            )
        if new := set(codes) - self._known:
            check_names(new, f"{self._import_string}: the code")
            self._known |= new
        return codes, np.array(probabilities, np.float32).round(2)

    def likeliest(self, texts: Sequence[str], count: int) -> list[list[tuple[str, float]]]:
        """The language of each text: such a function says one. Errors: XlmrError if more are asked for."""
        if count > 1:
            raise XlmrError(f"{self._import_string}: says one language a text", "leave out --top")
        codes, scores = self.identify(texts)
        return [[(code, score)] if code else [] for code, score in zip(codes, scores.tolist(), strict=True)]
