"""The document helps its paragraphs: a prior from the rest of the document, which short paragraphs must overcome.

Of paragraph i with n letters that show a language (corpus/language/characters/letters.py), p(l) is the probability
that the identifier gives to language l. With the settings of ``document_prior`` in brackets,

    P(l) ∝ (share · R(l) + [declared] · D(l) + [base] · B(l)) · p(l)^(n / (n + [half]))

R(l) = Σ n(j) · P(l of j) over the other paragraphs j of the document; share makes their sum [characters] at most. D is
1 for the language that the page declares. B are the base rates of the crawl. P of the other paragraphs is first taken
from p alone, then by this rule once more. So a number has the languages of its document, and a long paragraph its own.

A language of another script than the paragraph's has p = 0, which counts as ``LEAST`` here: "Windows 8.1" is Russian
in a Russian page. The other way round, a text that is not Latin is given no language in whose script it is not.

A language whose base rate is under [rare_rate] is believed where the document has [rare_characters] in it and, asked
about them as one text, both models agree. Otherwise its share of P goes to no other language.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from corpus.language.characters.letters import own_letters
from corpus.language.identifier import CodedIdentifier
from corpus.language.prior.base_rates import OTHERS, load_base_rates
from corpus.language.prior.declared import declared_code
from corpus.language.settings import DocumentPrior

Floats = npt.NDArray[np.float32]
Booleans = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]
Answer = tuple[str, float]

LEAST = 1e-12
"""The least probability of an identifier that counts."""
AGREED_ON = 500
"""Characters of a document's text in a rare language that both models are asked about."""
ROUNDS = 2
"""Times that the rule is applied."""
IDENTIFIED_AT_ONCE = 32_768
DECIDED_AT_ONCE = 2_048
"""Paragraphs: what is in memory has all codes for each of them. A document is never cut."""


class _Decisions(NamedTuple):
    """The likeliest code of each paragraph, its score, and the rows of those with a rare one: place, all of P."""

    best: Places
    score: Floats
    rare: list[tuple[int, Floats]]


class DocumentLanguages:
    """The languages of the paragraphs of documents, by the rule above."""

    def __init__(self, identifier: CodedIdentifier, prior: DocumentPrior) -> None:
        self._identifier = identifier
        self._prior = prior
        self.codes = identifier.fine_codes
        self._place = {code: place for place, code in enumerate(self.codes)}
        rates = load_base_rates(prior.base_rates)
        shares = np.array([rates.get(code, OTHERS) for code in self.codes])
        self._rare: Booleans = shares < prior.rare_rate
        self._base = (prior.base * shares / shares.sum()).astype(np.float32)

    def identify(self, documents: Sequence[Sequence[str]], declared: Sequence[str]) -> list[list[Answer]]:
        """Of each paragraph of each document its code and score, rounded to 2 places; '' and 0 where there is none.

        ``declared``  the tag of the language that each document declares, '' for none.
        """
        answers: list[list[Answer]] = []
        for group in _groups(list(map(len, documents)), IDENTIFIED_AT_ONCE):
            answers += self._identify(documents[group], declared[group])
        return answers

    def _identify(self, documents: Sequence[Sequence[str]], declared: Sequence[str]) -> Iterator[list[Answer]]:
        texts = list(chain.from_iterable(documents))
        sizes = list(map(len, documents))
        starts = np.cumsum([0, *sizes])
        likely, letters = self._identifier.fine_probabilities(texts), own_letters(texts)
        fixed = self._declared(declared) + self._base
        decisions = _Decisions(np.zeros(len(texts), np.int64), np.zeros(len(texts), np.float32), [])
        for group in _groups(sizes, DECIDED_AT_ONCE):
            rows = slice(int(starts[group.start]), int(starts[group.stop]))
            owner = np.repeat(np.arange(group.stop - group.start), sizes[group])
            found = posteriors(
                likely[rows], letters.amount[rows], owner, fixed[group], self._prior.characters, self._prior.half
            )
            # A text that is not Latin is in no language of another script.
            best = found.argmax(1)
            there = letters.is_latin[rows] | (likely[rows][np.arange(len(best)), best] > 0)
            decisions.best[rows] = best
            decisions.score[rows] = np.where(there, found[np.arange(len(best)), best], 0)
            rare = np.flatnonzero(self._rare[best])
            written = found[rare] * (letters.is_latin[rows][rare, None] | (likely[rows][rare] > 0))
            decisions.rare.extend(zip((rows.start + rare).tolist(), written, strict=True))
        self._check_rare(decisions, texts, letters.amount, np.repeat(np.arange(len(documents)), sizes))
        codes = [self.codes[place] for place in decisions.best.tolist()]
        answers = (
            (code, score) if score > 0 and text else ("", 0.0)
            for code, score, text in zip(codes, decisions.score.round(2).tolist(), texts, strict=True)
        )
        return (list(islice(answers, size)) for size in sizes)

    def _declared(self, declared: Sequence[str]) -> Floats:
        """[documents, codes]: the characters of the languages that the documents declare."""
        found = np.zeros((len(declared), len(self.codes)), np.float32)
        for row, tag in enumerate(declared):
            place = self._place.get(declared_code(tag)) if tag else None
            if place is not None:
                found[row, place] = self._prior.declared
        return found

    def _check_rare(self, decisions: _Decisions, texts: Sequence[str], letters: Floats, owner: Places) -> None:
        """Give paragraphs that have a rare language without evidence the likeliest of the other languages."""
        if not decisions.rare:
            return
        rows = np.array([row for row, _ in decisions.rare])
        keys, key_of = np.unique(owner[rows] * len(self.codes) + decisions.best[rows], return_inverse=True)
        believed = np.bincount(key_of, letters[rows]) >= self._prior.rare_characters
        asked = np.flatnonzero(believed)
        joined = [" ".join(texts[row] for row in rows[key_of == key].tolist())[:AGREED_ON] for key in asked.tolist()]
        if joined:
            codes = [self.codes[place] for place in (keys[asked] % len(self.codes)).tolist()]
            believed[asked] = self._identifier.agreed(joined, codes)
        known = set(keys[believed].tolist())
        rare = np.flatnonzero(self._rare).tolist()
        for (row, found), there in zip(decisions.rare, believed[key_of].tolist(), strict=True):
            if not there:
                start = int(owner[row]) * len(self.codes)
                found[[place for place in rare if start + place not in known]] = 0
                decisions.best[row] = found.argmax()
                decisions.score[row] = found.max()


def posteriors(likely: Floats, letters: Floats, owner: Places, fixed: Floats, most: float, half: float) -> Floats:
    """P of the rule for each paragraph: [paragraphs, codes].

    ``likely``  p, [paragraphs, codes].       ``letters``  n, [paragraphs].
    ``owner``   the document of each paragraph, never decreasing and without a gap.
    ``fixed``   [declared] · D + [base] · B, in characters, [documents, codes].
    """
    weights = csr_matrix((letters, (owner, np.arange(len(owner)))), (len(fixed), len(owner)))
    sizes = (np.bincount(owner, letters, len(fixed))[owner] - letters).astype(np.float32)[:, None]
    share = np.minimum(1, np.float32(most) / np.maximum(sizes, np.float32(LEAST)))
    trust = letters / np.maximum(letters + np.float32(half), np.float32(LEAST))
    evidence = np.log(np.maximum(likely, np.float32(LEAST)))
    evidence *= trust[:, None]
    np.exp(evidence, out=evidence)
    found = _normalised(evidence.copy())
    for _ in range(ROUNDS):
        rest = (weights @ found)[owner]
        found *= letters[:, None]
        rest -= found
        np.maximum(rest, 0, out=rest)
        rest *= share
        rest += fixed[owner]
        found = _normalised(np.multiply(rest, evidence, out=rest))
    return found


def _normalised(values: Floats) -> Floats:
    values /= np.einsum("ij->i", values)[:, None]
    return values


def _groups(sizes: Sequence[int], most: int) -> Iterator[slice]:
    """Runs of documents with at most so many paragraphs, or one document with more."""
    start, space = 0, most
    for place, size in enumerate(sizes):
        if size > space and place > start:
            yield slice(start, place)
            start, space = place, most
        space -= size
    if sizes:
        yield slice(start, len(sizes))
