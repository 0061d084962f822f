"""Perplexity of documents under a language's model: SentencePiece pieces, a KenLM 5-gram over them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus.normalise import normalise_for_language_model
from pipeline.errors import XlmrError

PIECES_SUFFIX = ".sp.model"
NGRAMS_SUFFIX = ".arpa.bin"


def languages_with_models(folder: Path) -> list[str]:
    """The languages that have both files in ``folder``."""
    have = {path.name.removesuffix(NGRAMS_SUFFIX) for path in folder.glob(f"*{NGRAMS_SUFFIX}")}
    return sorted(name for name in have if (folder / f"{name}{PIECES_SUFFIX}").exists())


class LanguageModel:
    """The SentencePiece and KenLM models of one language. Errors: XlmrError for a file that cannot be loaded."""

    def __init__(self, folder: Path, language: str) -> None:
        import kenlm
        import sentencepiece

        pieces, ngrams = folder / f"{language}{PIECES_SUFFIX}", folder / f"{language}{NGRAMS_SUFFIX}"
        options = kenlm.Config()
        options.load_method = kenlm.LoadMethod.LAZY  # mapped: workers share the pages
        options.show_progress = False
        try:
            self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(pieces))
            self._ngrams = kenlm.Model(str(ngrams), options)
        except (OSError, RuntimeError) as error:
            raise XlmrError(f"{ngrams}: cannot be loaded ({error})", "run corpus.language_models again") from None

    def perplexities(self, documents: Sequence[str]) -> npt.NDArray[np.float32]:
        """10^(−log10 score / (pieces + 1)) of each document, as one line, rounded to 1 decimal; NaN where it is empty.

        Source: cc_net perplexity.py.
        """
        normalised = [normalise_for_language_model(document) for document in documents]
        encoded = self._pieces.encode(normalised, out_type=str, num_threads=1)
        return np.array([self._perplexity(" ".join(pieces)) for pieces in encoded], np.float32)

    def _perplexity(self, line: str) -> float:
        if not line:
            return float("nan")
        score = self._ngrams.score(line, bos=True, eos=True)
        return round(10.0 ** (-score / (len(line.split()) + 1)), 1)


@lru_cache(maxsize=128)
def load_language_model(folder: Path, language: str) -> LanguageModel:
    """A language's models, loaded once a process; the least recently used are let go."""
    return LanguageModel(folder, language)
