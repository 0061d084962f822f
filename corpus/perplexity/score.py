"""Perplexity of texts under a language's model: normalised, cut into tokens by SentencePiece, scored by KenLM.

Texts and tokens go through as UTF-8 bytes, which both libraries take and give without turning them into strings.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Container, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.perplexity.ngrams_file import check_ngrams
from corpus.perplexity.normalise import normalise_batch
from corpus.perplexity.settings import MODEL_MEMORY
from pipeline.child import run_script
from pipeline.errors import XlmrError

TRIAL = Path(__file__).with_name("trial_child.py")
TRIAL_SECONDS = 600.0
"""A trial of cc_net's largest model takes seconds from a disk; over a network its pages come one by one."""
SENTENCEPIECE_SUFFIX = ".sp.model"
NGRAMS_SUFFIX = ".arpa.bin"

Scores = npt.NDArray[np.float64]
TokenCounts = npt.NDArray[np.int32]

_BATCH_BYTES = 1 << 15
"""Bytes of lines whose tokens are in hand at once."""
_HEAP_PER_FILE_BYTE = 4
"""Memory of a SentencePiece model, in sizes of its file; measured, 2.5 to 4.3."""
_SPACES = " \xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""What Python's ``split`` splits at, but the controls, which are gone by then."""


def languages_with_models(folder: Path) -> list[str]:
    """The languages that have both files in ``folder``."""
    have = {path.name.removesuffix(NGRAMS_SUFFIX) for path in folder.glob(f"*{NGRAMS_SUFFIX}")}
    return sorted(name for name in have if (folder / f"{name}{SENTENCEPIECE_SUFFIX}").exists())


def name_of_model(language: str, there: Container[str]) -> str | None:
    """Under which name a language's models and cut-offs are ``there``; None where they are under none.

    Its own, or else that of the language without its script, as zh for zh-Hant: cc_net's models know no scripts.
    """
    return next((name for name in (language, language.partition("-")[0]) if name in there), None)


class SentencePieceModel:
    """A SentencePiece model that takes and gives bytes. Errors: XlmrError for a file that cannot be loaded."""

    def __init__(self, path: Path) -> None:
        import sentencepiece

        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise _unloadable(path, error) from None
        # cc_net counts the words of the joined tokens: as many as tokens, unless one holds a space of some kind.
        shown = self._processor.normalize("".join(f"a{space}" for space in _SPACES))
        self.count: Callable[[list[bytes]], int] = len if len(shown.split()) == 1 else _words
        self.bytes = path.stat().st_size * _HEAP_PER_FILE_BYTE

    def encode(self, lines: list[bytes]) -> list[list[bytes]]:
        """The tokens of each line."""
        tokens: list[list[bytes]] = self._processor.encode(lines, out_type=bytes, num_threads=1)
        return tokens

    def share_known_by(self, ngrams: Any) -> float:
        """The share of its tokens that a KenLM model has among its words."""
        size = self._processor.vocab_size()
        return sum(self._processor.id_to_piece(number) in ngrams for number in range(size)) / size


def _words(tokens: list[bytes]) -> int:
    return len(b" ".join(tokens).decode(errors="replace").split())


def _in_batches(lines: Sequence[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def load_ngrams(path: Path) -> Any:
    """A KenLM model, mapped: what is read of it is shared by the workers. Errors: XlmrError if it cannot be loaded."""
    import kenlm

    check_ngrams(path)
    options = kenlm.Config()
    options.load_method = kenlm.LoadMethod.LAZY
    options.show_progress = False
    try:
        return kenlm.Model(str(path), options)
    except (OSError, RuntimeError) as error:
        raise _unloadable(path, error) from None


def try_models(sentencepiece: Path, ngrams: Path) -> None:
    """Load both files of a language in a process of its own, and score with them.

    For files that somebody else made: where one is damaged, native code may crash, and takes no run with it there.
    Errors: XlmrError naming both.
    """
    check_ngrams(ngrams)
    order = {"sentencepiece": str(sentencepiece), "ngrams": str(ngrams)}
    try:
        run_script(TRIAL, order, {}, "provide complete files", TRIAL_SECONDS)
    except XlmrError as error:
        reason = error.problem.removeprefix(f"{TRIAL.stem}: ")
        raise XlmrError(f"{sentencepiece}, {ngrams.name}: cannot be used ({reason})", error.fix) from None


def try_language(folder: Path, language: str) -> None:
    """``try_models`` for a language's two files in ``folder``."""
    try_models(folder / f"{language}{SENTENCEPIECE_SUFFIX}", folder / f"{language}{NGRAMS_SUFFIX}")


def _unloadable(path: Path, error: Exception) -> XlmrError:
    reason = " ".join(str(error).split())
    return XlmrError(f"{path}: cannot be loaded ({reason})", "rerun corpus.language_models, or provide a complete file")


class LanguageModel:
    """The SentencePiece and KenLM models of one language."""

    def __init__(self, sentencepiece: SentencePieceModel, ngrams: Any) -> None:
        self._sentencepiece = sentencepiece
        self._ngrams = ngrams

    @classmethod
    def load(cls, folder: Path, language: str) -> LanguageModel:
        """Its two files in ``folder``. Errors: XlmrError for a file that cannot be loaded."""
        sentencepiece = SentencePieceModel(folder / f"{language}{SENTENCEPIECE_SUFFIX}")
        return cls(sentencepiece, load_ngrams(folder / f"{language}{NGRAMS_SUFFIX}"))

    def score_batch(self, texts: Sequence[str]) -> tuple[Scores, TokenCounts]:
        """The log10 score of each text as one line, ``</s>`` included, and the number of its tokens.

        0 and 0 for a text of which nothing is left. Source: cc_net perplexity.py.
        """
        scores: list[float] = []
        counts: list[int] = []
        for lines in _in_batches(normalise_batch(texts)):
            encoded = self._sentencepiece.encode(lines)
            counts += map(self._sentencepiece.count, encoded)
            scores += map(self._ngrams.score, map(b" ".join, encoded))
            del encoded  # the next batch takes its place, in the processor's cache too
        tokens = np.array(counts, np.int32)
        return np.where(tokens > 0, np.array(scores, np.float64), 0.0), tokens

    def perplexities(self, documents: Sequence[str]) -> npt.NDArray[np.float32]:
        """10^(−log10 score / (tokens + 1)) of each document, as one line, rounded to 1 decimal; NaN where it is empty.

        Source: cc_net perplexity.py.
        """
        return perplexity_of(*self.score_batch(documents)).astype(np.float32)


def perplexity_of(scores: Scores, tokens: TokenCounts, lines: npt.NDArray[np.int32] | None = None) -> Scores:
    """10^(−score / (tokens + lines)), rounded to 1 decimal; NaN where there are no tokens.

    ``lines``  how many lines that are not empty each score is the sum over, as each has its ``</s>``; 1 if not given.
    """
    lengths = tokens + (1 if lines is None else lines)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        exponents = -scores / lengths
        tenths = 10.0**exponents * 10
        values = np.where(tokens > 0, np.rint(tenths) / 10, np.nan)
    # NumPy's power and rounding may differ from Python's in the last bit: where that could show, Python has its say.
    unsure = (tokens > 0) & ((np.abs(tenths % 1 - 0.5) < 1e-4) | ~(tenths < 1e9))
    for place in np.flatnonzero(unsure).tolist():
        values[place] = round(10.0 ** float(exponents[place]), 1)
    return values


class ModelCache:
    """Loaded models. The least recently used are evicted when all of them would take more than the limit.

    The n-grams, which are mapped and cost a millisecond to map again, are evicted first; then the SentencePiece models,
    which lie in the heap.
    """

    def __init__(self) -> None:
        self._sentencepieces: OrderedDict[Path, SentencePieceModel] = OrderedDict()
        self._ngrams: OrderedDict[Path, tuple[Any, int]] = OrderedDict()

    @property
    def bytes(self) -> int:
        """Bytes mapped, and taken from the heap."""
        heap = sum(model.bytes for model in self._sentencepieces.values())
        return sum(size for _, size in self._ngrams.values()) + heap

    def __len__(self) -> int:
        return len(self._ngrams)

    def get(self, folder: Path, language: str, memory_bytes: int) -> LanguageModel:
        """A language's models; those in use stay whatever their size. Errors: XlmrError if they cannot be loaded."""
        sentencepiece_path = folder / f"{language}{SENTENCEPIECE_SUFFIX}"
        ngrams_path = folder / f"{language}{NGRAMS_SUFFIX}"
        if sentencepiece_path not in self._sentencepieces:
            self._sentencepieces[sentencepiece_path] = SentencePieceModel(sentencepiece_path)
        if ngrams_path not in self._ngrams:
            self._ngrams[ngrams_path] = load_ngrams(ngrams_path), ngrams_path.stat().st_size
        self._sentencepieces.move_to_end(sentencepiece_path)
        self._ngrams.move_to_end(ngrams_path)
        self._evict(memory_bytes)
        return LanguageModel(self._sentencepieces[sentencepiece_path], self._ngrams[ngrams_path][0])

    def _evict(self, memory_bytes: int) -> None:
        taken = self.bytes
        while taken > memory_bytes and len(self._ngrams) > 1:
            taken -= self._ngrams.popitem(last=False)[1][1]
        while taken > memory_bytes and len(self._sentencepieces) > 1:
            taken -= self._sentencepieces.popitem(last=False)[1].bytes


@cache
def _model_cache() -> ModelCache:
    return ModelCache()


def load_language_model(folder: Path, language: str, memory_bytes: int = MODEL_MEMORY) -> LanguageModel:
    """A language's models, shared by the whole process; the least recently used are evicted. See ``ModelCache``."""
    return _model_cache().get(folder, language, memory_bytes)
