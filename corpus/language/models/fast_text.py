"""A fastText classifier, read from its file and worked out on whole batches with numpy: the same answers as fastText's.

fastText looks at every character of every word that it meets. Here a batch is split into words by Arrow; the n-grams
of each distinct word that was not met before are hashed once, for all words together; a text is the sum of its words.
Labels come out of one matrix product, so that the probabilities of all labels cost no more than the likeliest one.

Source: facebookresearch/fastText at 1142dc4 (dictionary.cc, fasttext.cc, loss.cc, productquantizer.cc).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import csr_matrix
from scipy.special import expit

from corpus.language.models.fast_text_file import END_OF_LINE, LABEL_PREFIX, FastTextFile, read_fast_text
from corpus.language.models.word_cache import WordCache
from corpus.language.models.word_hashes import Hashes, WordNumbers, hash_words, word_bytes

Floats = npt.NDArray[np.float32]

_END = END_OF_LINE.decode()
ROUNDING = 5e-5
"""More than the probabilities here and fastText's ever differ by: 6e-6 was the most over 10,000 web pages."""

FAR_BELOW = -50
"""exp of this is still far from the smallest float32."""
GUARD = np.float32(1e-5)
"""What fastText adds to a probability before it takes the logarithm (utils, std_log)."""

_FNV_OFFSET = np.uint32(2166136261)
_FNV_PRIME = np.uint32(16777619)


class FastText:
    """A supervised fastText model with hierarchical softmax or softmax, quantised or not.

    Errors: XlmrError for a file that is not there, is no such model, or uses word n-grams.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = read_fast_text(path)
        self.labels: list[str] = [label.removeprefix(LABEL_PREFIX) for label in self._file.labels]
        self._words = WordNumbers(len(self._file.words))
        self._words.put(hash_words(self._file.words), np.arange(len(self._file.words)))
        self._cache = WordCache(self._file.input.shape[1])
        self._paths = csr_matrix(_tree_paths(self._file.label_counts).T) if self._file.loss == "hs" else None

    def predict(self, texts: Sequence[str]) -> tuple[list[str], Floats]:
        """The likeliest label of each text (no newline inside) and its probability; '' and 0 where nothing is known."""
        return self._best(*self._likelihoods(texts))

    def _best(self, likely: Floats, known: npt.NDArray[np.bool_]) -> tuple[list[str], Floats]:
        best = likely.argmax(1)
        values = np.where(known, likely[np.arange(len(best)), best], 0).astype(np.float32)
        return [self.labels[i] if there else "" for i, there in zip(best.tolist(), known.tolist(), strict=True)], values

    def predict_rounded(self, texts: Sequence[str]) -> tuple[list[str], Floats]:
        """``predict`` with 2 decimals, equal to fastText's to the last one.

        The sums here are made in another order, and differ by less than ``ROUNDING``. A text that is so near to the
        edge between two hundredths, or between two labels, that this could show is put to fastText itself.
        """
        labels, values, _ = self.predict_all(texts)
        return labels, values

    def predict_all(self, texts: Sequence[str]) -> tuple[list[str], Floats, Floats]:
        """``predict_rounded``, and the probability of each label for each text: [texts, labels]."""
        likely, known = self._likelihoods(texts)
        labels, values = self._best(likely, known)
        hundredths = 100 * values.astype(np.float64)
        second = np.partition(likely, -2, axis=1)[:, -2] if likely.shape[1] > 1 else np.zeros(len(values))
        edge = np.abs(hundredths - np.floor(hundredths) - 0.5) < 100 * ROUNDING
        unsure = np.flatnonzero((edge | (values - second < ROUNDING)) & known)
        if len(unsure):
            predicted, scores = self._oracle.predict([_text_as_read(texts[int(i)]) for i in unsure], k=1)
            for place, label, score in zip(unsure.tolist(), predicted, scores, strict=True):
                labels[place], values[place] = label[0].removeprefix(LABEL_PREFIX), score[0]
        return labels, values.round(2), likely

    @cached_property
    def _oracle(self) -> Any:
        import fasttext

        fasttext.FastText.eprint = lambda *words, **options: None  # it greets on stderr
        return fasttext.load_model(str(self._path))

    def probabilities(self, texts: Sequence[str] | pa.LargeStringArray) -> Floats:
        """The probability of each label for each text: [texts, labels], in the order of ``labels``."""
        return self._likelihoods(texts)[0]

    def _likelihoods(self, texts: Sequence[str] | pa.LargeStringArray) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """[texts, labels], a column after the other in memory; and whether the model knows anything of the text."""
        hidden, known = self._hidden(texts)
        scores = self._file.output @ hidden.T  # [labels, texts]
        if self._paths is None:
            peak = scores.max(0, initial=-np.inf)
            # Nothing is taken off where it need not be: where all scores are far below 0 all would be 0 else.
            scores -= np.where(peak < FAR_BELOW, peak, np.maximum(peak, 0))
            likely = np.exp(scores, out=scores)
            likely /= likely.sum(0)
            likely += GUARD
            return likely.T, known
        turns = np.empty((2 * len(scores), len(hidden)), np.float32)
        left, right = turns[: len(scores)], turns[len(scores) :]
        np.subtract(1, expit(scores, out=right), out=left)
        # fastText's own guard against log 0 (utils, std_log): it shows in the second decimal of a sure answer.
        turns += GUARD
        likely = self._paths @ np.log(turns, out=turns)
        return np.exp(likely, out=likely).T, known

    def _hidden(self, texts: Sequence[str] | pa.LargeStringArray) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """The mean of the rows of all words and n-grams of each text [texts, dim], and whether there were any."""
        split = pc.ascii_split_whitespace(_as_read(texts))
        coded = split.flatten().dictionary_encode()
        sums, counts = self._sum_words(coded.dictionary)
        ends = split.offsets.to_numpy()[1:]
        ids = coded.indices.to_numpy()
        total = _bag(ids, ends, sums)
        number = np.add.reduceat(np.append(counts[ids], 0), np.append(0, ends[:-1])) * (np.diff(ends, prepend=0) > 0)
        if self._file.end_of_line is not None:  # fastText ends every line with it
            total, number = total + self._file.input[self._file.end_of_line], number + 1
        total /= np.maximum(number, 1)[:, None]
        return total, number > 0

    def _sum_words(self, words: pa.LargeStringArray) -> tuple[Floats, Floats]:
        """For each word the sum of its rows [words, dim], and how many they are [words]."""
        hashes = hash_words(words)
        places = self._cache.places(hashes)
        missing = np.flatnonzero(places < 0)
        sums, counts = self._cache.rows(places)
        if len(missing):
            new, new_hashes = words.take(pa.array(missing)), hashes[missing]
            sums[missing], counts[missing] = fresh = self._sum_new_words(new, new_hashes)
            self._cache.put(new_hashes, np.diff(word_bytes(new)[1]), *fresh)
        return sums, counts

    def _sum_new_words(self, words: pa.LargeStringArray, hashes: Hashes) -> tuple[Floats, Floats]:
        sums, counts = _sum_ngrams(words, self._file)
        places = self._words.find(hashes)
        known = places >= 0
        sums[known] += self._file.input[places[known]]
        counts[known] += 1
        nothing = pc.or_(pc.equal(words, ""), pc.starts_with(words, LABEL_PREFIX)).to_numpy(zero_copy_only=False)
        sums[nothing], counts[nothing] = 0, 0
        return sums, counts


def _as_read(texts: Sequence[str] | pa.LargeStringArray) -> pa.LargeStringArray:
    """What fastText reads of texts: up to a word that is its own end of line, NUL as a space."""
    if isinstance(texts, pa.LargeStringArray):
        return texts
    array = pa.array(texts, pa.large_string())
    if not pc.any(pc.or_(pc.match_substring(array, "\0"), pc.match_substring(array, _END))).as_py():
        return array
    return pa.array(map(_text_as_read, texts), pa.large_string())


def _text_as_read(text: str) -> str:
    """``_as_read`` of one text."""
    if "\0" in text:
        text = text.replace("\0", " ")
    if _END not in text:
        return text
    words = text.split(" ")
    return " ".join(words[: words.index(_END)]) if _END in words else text


def _tree_paths(counts: Sequence[int]) -> Floats:
    """Which turns lead to each label: [2 · labels, labels]; row n is a left turn at node n, row labels + n a right one.

    The tree is Huffman's over the labels' counts, which come in falling order. Source: loss.cc, buildTree.
    """
    size = len(counts)
    count = [*counts, *([10**15] * (size - 1))]
    parent, is_right = [-1] * (2 * size - 1), [False] * (2 * size - 1)
    leaf, node = size - 1, size
    for new in range(size, 2 * size - 1):
        pair = []
        for _ in range(2):
            if leaf >= 0 and count[leaf] < count[node]:
                pair.append(leaf)
                leaf -= 1
            else:
                pair.append(node)
                node += 1
        count[new] = count[pair[0]] + count[pair[1]]
        parent[pair[0]] = parent[pair[1]] = new
        is_right[pair[1]] = True
    paths = np.zeros((2 * size, size), np.float32)
    for label in range(size):
        at = label
        while parent[at] != -1:
            paths[parent[at] - size + size * is_right[at], label] = 1
            at = parent[at]
    return paths


def _sum_ngrams(words: pa.LargeStringArray, file: FastTextFile) -> tuple[Floats, Floats]:
    """For each word: the sum of the rows of its n-grams [words, dim], and how many they are [words]."""
    text, starts = _in_brackets(words)
    characters = np.flatnonzero((text & 0xC0) != 0x80).astype(np.int32)  # where they begin: UTF-8
    widths = np.diff(characters, append=np.int32(len(text))).astype(np.int8)
    owner = np.repeat(np.arange(len(words), dtype=np.int32), np.diff(np.searchsorted(characters, starts)))
    signed = text.view(np.int8).astype(np.int32).view(np.uint32)  # fastText hashes signed bytes
    sums = np.zeros((len(words), file.input.shape[1]), np.float32)
    counts = np.zeros(len(words), np.float32)
    hashes = np.full(len(characters), _FNV_OFFSET)
    for n in range(1, file.longest + 1):
        inside = len(characters) - n + 1
        if inside <= 0:
            break
        hashes = _fold(hashes[:inside], signed, characters[n - 1 :], widths[n - 1 :])
        if n < file.shortest:
            continue
        whole = owner[n - 1 :] == owner[:inside]
        if n == 1:
            whole &= (characters != starts[owner]) & (characters != starts[owner + 1] - 1)  # the brackets
        numbers = (hashes[whole] % np.uint32(file.buckets)).astype(np.int32)
        of = owner[:inside][whole]
        if file.ngram_rows is None:
            rows = numbers + np.int32(len(file.words))
        else:
            kept = np.flatnonzero(file.ngram_rows[numbers] >= 0)
            rows, of = file.ngram_rows[numbers[kept]], of[kept]
        number = np.bincount(of, minlength=len(words))
        counts += number
        sums += _bag(rows, np.cumsum(number), file.input)
    return sums, counts


def _in_brackets(words: pa.LargeStringArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The UTF-8 of ``<word>`` for all words one after the other; and where each begins: [words + 1]."""
    letters, ends = word_bytes(words)
    starts = ends + 2 * np.arange(len(words) + 1)
    text = np.empty(starts[-1], np.uint8)
    bracket = np.zeros(len(text), bool)
    bracket[starts[:-1]] = bracket[starts[1:] - 1] = True
    text[~bracket] = letters
    text[starts[:-1]], text[starts[1:] - 1] = ord("<"), ord(">")
    return text, starts


def _fold(
    hashes: npt.NDArray[np.uint32],
    signed: npt.NDArray[np.uint32],
    characters: npt.NDArray[np.int32],
    widths: npt.NDArray[np.int8],
) -> npt.NDArray[np.uint32]:
    """FNV-1a of one more character for each hash."""
    folded = (hashes ^ signed[characters]) * _FNV_PRIME
    for byte in range(1, 4):
        longer = np.flatnonzero(widths > byte)
        if not len(longer):
            break
        folded[longer] = (folded[longer] ^ signed[characters[longer] + byte]) * _FNV_PRIME
    return folded


def _bag(rows: npt.NDArray[np.integer], ends: npt.NDArray[np.int64], table: Floats) -> Floats:
    """Sums of rows of ``table``: group i holds those up to ``ends[i]``."""
    starts = np.concatenate([[0], ends])
    counts = csr_matrix((np.ones(len(rows), np.float32), rows, starts), shape=(len(ends), len(table)), copy=False)
    return counts @ table
