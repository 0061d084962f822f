"""Perplexity of texts under a language's model: normalised, cut into SentencePiece's pieces, a KenLM 5-gram over them.

Texts and pieces go through as UTF-8 bytes, which both libraries take and give without turning them into strings.
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
PIECES_SUFFIX = ".sp.model"
NGRAMS_SUFFIX = ".arpa.bin"

Scores = npt.NDArray[np.float64]
Pieces = npt.NDArray[np.int32]

_BATCH_BYTES = 1 << 15
"""Bytes of lines whose pieces are in hand at once."""
_HEAP_OF_PIECES = 4
"""Memory of a SentencePiece model, in sizes of its file; measured, 2.5 to 4.3."""
_SPACES = " \xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""What Python's ``split`` splits at, but the controls, which are gone by then."""


def languages_with_models(folder: Path) -> list[str]:
    """The languages that have both files in ``folder``."""
    have = {path.name.removesuffix(NGRAMS_SUFFIX) for path in folder.glob(f"*{NGRAMS_SUFFIX}")}
    return sorted(name for name in have if (folder / f"{name}{PIECES_SUFFIX}").exists())


def name_of_model(language: str, there: Container[str]) -> str | None:
    """Under which name a language's models and cut-offs are ``there``; None where they are under none.

    Its own, or else that of the language without its script, as zh for zh-Hant: cc_net's models know no scripts.
    """
    return next((name for name in (language, language.partition("-")[0]) if name in there), None)


class PiecesModel:
    """A SentencePiece model that takes and gives bytes. Errors: XlmrError for a file that cannot be loaded."""

    def __init__(self, path: Path) -> None:
        import sentencepiece

        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise _unloadable(path, error) from None
        # cc_net counts the words of the joined pieces: as many as pieces, unless one holds a space of some kind.
        shown = self._processor.normalize("".join(f"a{space}" for space in _SPACES))
        self.count: Callable[[list[bytes]], int] = len if len(shown.split()) == 1 else _words
        self.bytes = path.stat().st_size * _HEAP_OF_PIECES

    def encode(self, lines: list[bytes]) -> list[list[bytes]]:
        """The pieces of each line."""
        pieces: list[list[bytes]] = self._processor.encode(lines, out_type=bytes, num_threads=1)
        return pieces

    def share_known_by(self, ngrams: Any) -> float:
        """The share of its pieces that a KenLM model has among its words."""
        size = self._processor.vocab_size()
        return sum(self._processor.id_to_piece(number) in ngrams for number in range(size)) / size


def _words(pieces: list[bytes]) -> int:
    return len(b" ".join(pieces).decode(errors="replace").split())


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


def try_models(pieces: Path, ngrams: Path) -> None:
    """Load both files of a language in a process of its own, and score with them.

    For files that somebody else made: where one is damaged, native code may crash, and takes no run with it there.
    Errors: XlmrError naming both.
    """
    check_ngrams(ngrams)
    order = {"pieces": str(pieces), "ngrams": str(ngrams)}
    try:
        run_script(TRIAL, order, {}, "give whole files", TRIAL_SECONDS)
    except XlmrError as error:
        reason = error.problem.removeprefix(f"{TRIAL.stem}: ")
        raise XlmrError(f"{pieces}, {ngrams.name}: cannot be used ({reason})", error.fix) from None


def try_language(folder: Path, language: str) -> None:
    """``try_models`` for a language's two files in ``folder``."""
    try_models(folder / f"{language}{PIECES_SUFFIX}", folder / f"{language}{NGRAMS_SUFFIX}")


def _unloadable(path: Path, error: Exception) -> XlmrError:
    reason = " ".join(str(error).split())
    return XlmrError(f"{path}: cannot be loaded ({reason})", "run corpus.language_models again, or give a whole file")


class LanguageModel:
    """The SentencePiece and KenLM models of one language."""

    def __init__(self, pieces: PiecesModel, ngrams: Any) -> None:
        self._pieces = pieces
        self._ngrams = ngrams

    @classmethod
    def load(cls, folder: Path, language: str) -> LanguageModel:
        """Its two files in ``folder``. Errors: XlmrError for a file that cannot be loaded."""
        pieces = PiecesModel(folder / f"{language}{PIECES_SUFFIX}")
        return cls(pieces, load_ngrams(folder / f"{language}{NGRAMS_SUFFIX}"))

    def score_batch(self, texts: Sequence[str]) -> tuple[Scores, Pieces]:
        """The log10 score of each text as one line, ``</s>`` included, and the number of its pieces.

        0 and 0 for a text of which nothing is left. Source: cc_net perplexity.py.
        """
        scores: list[float] = []
        counts: list[int] = []
        for lines in _in_batches(normalise_batch(texts)):
            encoded = self._pieces.encode(lines)
            counts += map(self._pieces.count, encoded)
            scores += map(self._ngrams.score, map(b" ".join, encoded))
            del encoded  # the next batch takes its place, in the processor's cache too
        pieces = np.array(counts, np.int32)
        return np.where(pieces > 0, np.array(scores, np.float64), 0.0), pieces

    def perplexities(self, documents: Sequence[str]) -> npt.NDArray[np.float32]:
        """10^(−log10 score / (pieces + 1)) of each document, as one line, rounded to 1 decimal; NaN where it is empty.

        Source: cc_net perplexity.py.
        """
        return perplexity_of(*self.score_batch(documents)).astype(np.float32)


def perplexity_of(scores: Scores, pieces: Pieces, lines: npt.NDArray[np.int32] | None = None) -> Scores:
    """10^(−score / (pieces + lines)), rounded to 1 decimal; NaN where there are no pieces.

    ``lines``  how many lines that are not empty each score is the sum over, as each has its ``</s>``; 1 if not given.
    """
    lengths = pieces + (1 if lines is None else lines)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        exponents = -scores / lengths
        tenths = 10.0**exponents * 10
        values = np.where(pieces > 0, np.rint(tenths) / 10, np.nan)
    # NumPy's power and rounding may differ from Python's in the last bit: where that could show, Python has its say.
    unsure = (pieces > 0) & ((np.abs(tenths % 1 - 0.5) < 1e-4) | ~(tenths < 1e9))
    for place in np.flatnonzero(unsure).tolist():
        values[place] = round(10.0 ** float(exponents[place]), 1)
    return values


class ModelShelf:
    """Loaded models, of which the least recently used are let go when all together would take more than the limit.

    The n-grams, which are mapped and cost a millisecond to map again, go before the pieces, which lie in the heap.
    """

    def __init__(self) -> None:
        self._pieces: OrderedDict[Path, PiecesModel] = OrderedDict()
        self._ngrams: OrderedDict[Path, tuple[Any, int]] = OrderedDict()

    @property
    def bytes(self) -> int:
        """Bytes mapped, and taken from the heap."""
        return sum(size for _, size in self._ngrams.values()) + sum(model.bytes for model in self._pieces.values())

    def __len__(self) -> int:
        return len(self._ngrams)

    def get(self, folder: Path, language: str, memory_bytes: int) -> LanguageModel:
        """A language's models; those in use stay whatever their size. Errors: XlmrError if they cannot be loaded."""
        pieces_path, ngrams_path = folder / f"{language}{PIECES_SUFFIX}", folder / f"{language}{NGRAMS_SUFFIX}"
        if pieces_path not in self._pieces:
            self._pieces[pieces_path] = PiecesModel(pieces_path)
        if ngrams_path not in self._ngrams:
            self._ngrams[ngrams_path] = load_ngrams(ngrams_path), ngrams_path.stat().st_size
        self._pieces.move_to_end(pieces_path)
        self._ngrams.move_to_end(ngrams_path)
        self._let_go(memory_bytes)
        return LanguageModel(self._pieces[pieces_path], self._ngrams[ngrams_path][0])

    def _let_go(self, memory_bytes: int) -> None:
        taken = self.bytes
        while taken > memory_bytes and len(self._ngrams) > 1:
            taken -= self._ngrams.popitem(last=False)[1][1]
        while taken > memory_bytes and len(self._pieces) > 1:
            taken -= self._pieces.popitem(last=False)[1].bytes


@cache
def _shelf() -> ModelShelf:
    return ModelShelf()


def load_language_model(folder: Path, language: str, memory_bytes: int = MODEL_MEMORY) -> LanguageModel:
    """A language's models, shared by the whole process; the least recently used are let go. See ``ModelShelf``."""
    return _shelf().get(folder, language, memory_bytes)
