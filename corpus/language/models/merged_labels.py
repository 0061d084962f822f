"""Labels of a model that are one code: their probabilities are added."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

Floats = npt.NDArray[np.float32]


class MergedLabels:
    """``names``: the code of each label of a model, in its order. ``codes``: each of these once, sorted."""

    def __init__(self, names: Sequence[str]) -> None:
        self.codes = sorted(set(names))
        places = np.searchsorted(self.codes, names), np.arange(len(names))
        self._merge = csr_matrix((np.ones(len(names), np.float32), places), (len(self.codes), len(names)))

    def sums(self, probabilities: Floats) -> Floats:
        """[texts, labels] to [texts, codes]."""
        merged: Floats = self._merge @ probabilities.T
        return merged.T
