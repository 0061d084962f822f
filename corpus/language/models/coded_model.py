"""A fastText model under the codes of a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from corpus.language.labels import check_names, load_table
from corpus.language.model_file import model_path
from corpus.language.models.fast_text import FastText
from corpus.language.models.merged_labels import MergedLabels

Floats = npt.NDArray[np.float32]


class CodedModel:
    """A fastText model under the codes of a table: labels of one code are one, their probabilities added."""

    def __init__(self, model: str, labels: str) -> None:
        table = load_table(labels)
        self._model = FastText(model_path(model))
        self._merged = MergedLabels([table.get(label, label) for label in self._model.labels])
        self.codes = self._merged.codes
        check_names(self.codes, f"{model}: the label")

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """[texts, codes]."""
        return self._merged.sums(self._model.probabilities(texts))
