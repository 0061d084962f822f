"""Language identification with a fastText model: text in, label and score out, in batches."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus.language.model_file import model_path
from pipeline.errors import XlmrError

LABEL = re.compile(r"[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*")
"""What a language may be called: labels become folder names, so a model does not choose them freely."""

_PREFIX = "__label__"


class LanguageIdentifier:
    """A fastText model file. Errors: XlmrError for a file that is not there or is no fastText model."""

    def __init__(self, path: Path) -> None:
        import fasttext

        fasttext.FastText.eprint = lambda *words, **options: None  # it greets on stderr
        try:
            self._model = fasttext.load_model(str(path))
        except ValueError as error:
            raise XlmrError(f"{path}: not a fastText model ({error})", "check corpus.language_id.model") from None

    def identify(self, texts: Sequence[str]) -> tuple[list[str], npt.NDArray[np.float32]]:
        """The likeliest language of each text (no newline inside) and its score, rounded to 2 places as cc_net does.

        A text in which the model knows nothing gets the empty label and score 0.
        """
        if not texts:
            return [], np.empty(0, np.float32)
        labels, scores = self._model.predict(list(texts), k=1)
        names = [label[0].removeprefix(_PREFIX) if len(label) else "" for label in labels]
        values = np.array([score[0] if len(score) else 0.0 for score in scores], np.float32)
        for name in set(names):
            if name and not LABEL.fullmatch(name):
                raise XlmrError(f"the identifier says {name!r}, which cannot be a language's name", "use another model")
        return names, values.round(2)


@lru_cache(maxsize=2)
def load_identifier(name: str) -> LanguageIdentifier:
    """The identifier of a setting, loaded once a process."""
    return LanguageIdentifier(model_path(name))
