"""Tool ``xlmr pretrain retrieval``: how often a page's nearest neighbour in another language is its own translation.

Models and a corpus -> a share for each model. No label is read: it says whether languages are aligned, not whether
their texts are understood. Pages are found by their addresses, as in stage pretrain.comparable.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from corpus.output.corpus_folder import find_corpus
from pipeline.errors import UsageError
from pipeline.options import Json
from pretrain.api import PretrainedModel, load
from pretrain.comparable.pages import find_groups, read_pages
from pretrain.comparable.settings import ComparableSettings

FEWEST = 20
"""Pages that two languages must have in common: among fewer, a guess is often right."""

Texts = Mapping[str, Mapping[int, str]]
"""Language -> group -> text."""


@dataclass(frozen=True)
class Retrieval:
    """Means over ordered pairs of languages: of vectors as they are, of those without language means, and at random."""

    model: str
    found: float
    found_without_means: float
    at_random: float
    pairs: int


def retrieval(
    *models: Path,
    corpus: Path,
    tokenizer: Path | None = None,
    pages: int = 200,
    as_json: Json = False,
) -> None:
    """Say how often a page's nearest neighbour among the pages of another language is its own translation.

    Parameters
    ----------
    models
        Folders that pretrain.export or Hugging Face wrote, checkpoints, or folders of a training.
    corpus
        Corpus, the folder of a run, or its YAML file.
    tokenizer
        Folder or file of the tokenizer, where it does not lie beside the weights.
    pages
        Pages at most, those in most languages first.
    as_json
        A JSON record a model.
    """
    if not models:
        raise UsageError("no model is named", "name the folder of one or more")
    texts = comparable_texts(find_corpus(corpus), pages)
    for folder in models:
        measured = measure(str(folder), load(folder, tokenizer), texts)
        print(json.dumps(asdict(measured)) if as_json else _line(measured), flush=True)


def comparable_texts(corpus: Path, pages: int) -> Texts:
    """The texts of the groups with most languages; of a language's pages of a group the first."""
    groups = find_groups(corpus, ComparableSettings(most_pages=pages))
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for batch in read_pages(corpus, groups):
        for group, language, text in batch:
            if group >= 0:
                found[language].setdefault(group, text)
    return found


def measure(name: str, model: PretrainedModel, texts: Texts) -> Retrieval:
    """The shares of one model. Errors: UsageError where no two languages have enough pages in common."""
    vectors = {language: model.encode(list(own.values())) for language, own in texts.items()}
    shares = np.array(list(_shares(vectors, texts)))
    if not len(shares):
        raise UsageError(f"no two languages have {FEWEST} pages in common", "raise --pages, or name a larger corpus")
    found, without_means, at_random = (round(float(value), 4) for value in shares.mean(0))
    return Retrieval(name, found, without_means, at_random, len(shares))


def _pairs(texts: Texts) -> list[tuple[str, str]]:
    return [(a, b) for a, b in permutations(texts, 2) if len(texts[a].keys() & texts[b].keys()) >= FEWEST]


def _shares(vectors: Mapping[str, NDArray[np.float32]], texts: Texts) -> Iterator[tuple[float, float, float]]:
    place = {language: {group: n for n, group in enumerate(own)} for language, own in texts.items()}
    without = {language: own - own.mean(0) for language, own in vectors.items()}
    for a, b in _pairs(texts):
        both = sorted(texts[a].keys() & texts[b].keys())
        rows = [place[a][group] for group in both], [place[b][group] for group in both]
        yield (
            _nearest_is_own(vectors[a][rows[0]], vectors[b][rows[1]]),
            _nearest_is_own(without[a][rows[0]], without[b][rows[1]]),
            1 / len(both),
        )


def _nearest_is_own(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Share of rows of ``one`` whose nearest row of ``other``, by cosine, has the same number."""
    first, second = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) for rows in (one, other))
    return float(np.mean((first @ second.T).argmax(1) == np.arange(len(one))))


def _line(found: Retrieval) -> str:
    return (
        f"{found.model}: {found.found:.1%} of pages find their translation, {found.found_without_means:.1%} with each"
        f" language's mean taken out, {found.at_random:.1%} at random ({found.pairs} pairs of languages)"
    )
