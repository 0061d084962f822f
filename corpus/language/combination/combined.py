"""The identifiers of a combination, asked together: a base, as lid.176; one of our own; and CLD2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from corpus.language.characters.scripts import WrittenLanguages
from corpus.language.combination.rule import Combination, Examples, VoterInput, all_codes, learn
from corpus.language.models.cld2 import Cld2
from corpus.language.models.coded_model import CodedModel
from corpus.language.models.own_model import OwnModel, code_of
from pipeline.errors import XlmrError

Floats = npt.NDArray[np.float32]
Model = CodedModel | OwnModel | Cld2

BASE, OWN, CLD2 = "base", "own", "cld2"
"""What a card calls the identifiers, in this order."""
SURE = 0.99
"""Where the others give a language so much, with their weights beside CLD2, its evidence would not make another one
likelier: with 0.95, 4 of 97,974 texts had another answer. But the document's rule weighs small differences too."""


class Combined:
    """The identifiers that the card of ``own`` names, as one.

    Errors: XlmrError where these have other labels than the rule was learnt with.
    """

    def __init__(self, base: CodedModel, own: OwnModel) -> None:
        self._rule = Combination.from_card(own.card["combination"])
        self.codes = self._rule.codes
        self._models = _models(base, own)
        self._voters = {voter.identifier: voter for voter in self._rule.voters}
        for name, voter in self._voters.items():
            if voter.labels != self._models[name].codes:
                raise XlmrError(f"the combination was learnt with other labels of {name}")

    def probabilities(self, texts: Sequence[str], with_prior: bool = True) -> Floats:
        """Of prepared texts: [texts, codes]; or as if no language had a prior.

        CLD2 is asked about texts that the others are not SURE of, half of a crawl's lines.
        """
        lengths, evidence = list(map(len, texts)), self.evidence(texts)
        likely = self._rule.mixed(evidence, lengths)
        unsure = np.flatnonzero(likely.max(1, initial=0) < SURE).tolist()
        if not with_prior:
            likely = self._rule.mixed(evidence, lengths, with_prior)
        if CLD2 in self._voters and len(unsure):
            third = self._evidence(CLD2, [texts[place] for place in unsure])
            every = [*(one[unsure] for one in evidence), third]
            likely[unsure] = self._rule.mixed(every, [lengths[place] for place in unsure], with_prior)
        return likely

    def evidence(self, texts: Sequence[str]) -> list[Floats]:
        """The log of the evidence of each fastText model for each language: [texts, codes] for each.

        CLD2 names one language or three, and nothing about the others: it cannot be asked whether it may mean one.
        """
        return [self._evidence(name, texts) for name in (BASE, OWN)]

    def _evidence(self, identifier: str, texts: Sequence[str]) -> Floats:
        return self._voters[identifier].evidence(self._models[identifier].probabilities(texts))


def learn_combination(
    base: CodedModel,
    own: OwnModel,
    with_cld2: bool,
    labelled: tuple[Sequence[str], Sequence[str]],
    prior_of: Mapping[str, float],
) -> Combination:
    """Learn the rule from languages and prepared texts, and the prior of each language."""
    truth, texts = labelled
    models = {name: model for name, model in _models(base, own).items() if name != CLD2 or with_cld2}
    codes = all_codes([model.codes for model in models.values()])
    # A label zh-Hans is text in zh, where no identifier tells them apart.
    named = [code if code in codes else code.partition("-")[0] for code in map(code_of, truth)]
    examples = Examples(named, list(map(len, texts)), WrittenLanguages(codes).allowed(texts))
    asked = [VoterInput(name, model.codes, model.probabilities(texts)) for name, model in models.items()]
    return learn(asked, examples, prior_of)


def _models(base: CodedModel, own: OwnModel) -> dict[str, Model]:
    return {BASE: base, OWN: own, CLD2: Cld2(all_codes([base.codes, own.codes]))}
