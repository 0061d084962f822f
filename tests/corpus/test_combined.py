"""The identifiers of the built-in combination together: CLD2 is asked where the others are not sure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from corpus.language.combination.combined import SURE, Combined
from corpus.language.models.cld2 import Cld2
from corpus.language.models.coded_model import CodedModel
from corpus.language.models.own_model import OwnModel

TEXTS = [
    "Das Wetter ist heute schön, und wir gehen zusammen in den Wald spazieren.",
    "Windows 8.1",
    "dobar dan",
    "Le temps est beau aujourd'hui et nous allons nous promener ensemble dans la forêt.",
]


@pytest.fixture
def combined() -> Combined:
    return Combined(CodedModel("lid.176.ftz", "cc100"), OwnModel("built-in"))


@pytest.mark.parametrize("with_prior", [True, False])
def test_cld2_is_asked_where_the_others_are_not_sure(combined, monkeypatch, with_prior):
    seen: list[str] = []
    probabilities = Cld2.probabilities

    def watched(self: Cld2, texts: Sequence[str]):
        seen.extend(texts)
        return probabilities(self, texts)

    monkeypatch.setattr(Cld2, "probabilities", watched)
    mixed = combined.probabilities(TEXTS, with_prior)
    assert seen == ["Windows 8.1", "dobar dan"]
    monkeypatch.setattr("corpus.language.combination.combined.SURE", 2)
    of_all = combined.probabilities(TEXTS, with_prior)
    assert seen[2:] == TEXTS
    assert np.allclose(mixed[1:3], of_all[1:3], atol=1e-5)
    assert (mixed.argmax(1) == of_all.argmax(1)).all()
    assert (mixed[[0, 3]].max(1) > SURE - 0.05).all()
    assert not np.allclose(mixed[0], of_all[0], atol=1e-7)


def test_no_text(combined):
    assert combined.probabilities([]).shape == (0, len(combined.codes))
