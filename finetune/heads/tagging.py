"""Words and tags: sentences as rows whose words' first tokens are tagged, and tags of words read back from scores.

A sentence that is too long for a row continues in the next, at a word, so that every word gets a tag.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from finetune.data.tags import OUTSIDE
from finetune.heads.encoding import IGNORED, Encoded, row_of
from tokenizer.pieces import Ids, Tokenizer


def encode_sentences(
    sentences: Sequence[Sequence[str]],
    tags: Sequence[Sequence[int]],
    tokenizer: Tokenizer,
    longest: int,
    threads: int = 1,
) -> Encoded:
    """Rows of whole words, each word tokenised alone; the tag stands at a word's first token (XLM-R, section 5.2).

    A word that has no token (a lone zero-width space) has no tag to learn; ``tags_of`` calls it O.
    """
    tokens_of = _tokens_of_words(sentences, tokenizer, threads)
    rows: list[Ids] = []
    labels: list[int] = []
    places: list[int] = []
    examples: list[int] = []
    for number, (words, wanted) in enumerate(zip(sentences, tags, strict=True)):
        found = [tokens_of[word][: longest - 2] for word in words]
        for start, end in parts([len(tokens) for tokens in found], longest - 2):
            rows.append(row_of(np.concatenate(found[start:end]) if end > start else np.empty(0, np.int32)))
            examples.append(number)
            labels.append(IGNORED)
            places.append(-1)
            for word in range(start, end):
                rest = len(found[word]) - 1
                if rest >= 0:
                    labels += [wanted[word], *[IGNORED] * rest]
                    places += [word, *[-1] * rest]
            labels.append(IGNORED)
            places.append(-1)
    return Encoded.of(rows, np.array(labels, np.int64), examples, np.array(places, np.int64))


def parts(lengths: Sequence[int], most: int) -> list[tuple[int, int]]:
    """[start, end) of the words of each row: as many as fit into ``most`` tokens. One empty row for no words."""
    found, start, filled = [], 0, 0
    for place, length in enumerate(lengths):
        if filled + length > most:
            found.append((start, place))
            start, filled = place, 0
        filled += length
    return [*found, (start, len(lengths))]


def tags_of(
    scores: NDArray[np.float32], encoded: Encoded, counts: Sequence[int], labels: Sequence[str]
) -> list[list[str]]:
    """The likeliest tag of each word; O, or of plain tags the first, of a word without tokens.

    ``scores`` [tokens, labels] lie like ``encoded.tokens``; ``counts`` are words.
    """
    tags = [[OUTSIDE if OUTSIDE in labels else labels[0]] * count for count in counts]
    best = scores.argmax(1)
    example = np.repeat(encoded.examples, encoded.lengths)
    for token in np.flatnonzero(encoded.places >= 0):
        tags[example[token]][encoded.places[token]] = labels[best[token]]
    return tags


def _tokens_of_words(sentences: Sequence[Sequence[str]], tokenizer: Tokenizer, threads: int) -> dict[str, Ids]:
    """The tokens of every different word, each tokenised once."""
    words = list(dict.fromkeys(word for sentence in sentences for word in sentence))
    return dict(zip(words, tokenizer.encode_batch(words, threads=threads), strict=True))
