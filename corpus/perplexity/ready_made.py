"""Takes trained models of others, as cc_net's, from a folder: tests them and links them into the output.

They are hard-linked, or referred to from another file system; at a remote address they are fetched.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from corpus.language.labels import LABEL
from corpus.perplexity.score import NGRAMS_SUFFIX, SENTENCEPIECE_SUFFIX, SentencePieceModel, load_ngrams, try_models
from pipeline.errors import XlmrError
from pipeline.shards import ShardReport
from pipeline.storage import expand, is_local

LEAST_KNOWN = 0.5
"""Share of the tokens that must be words of the n-grams. Measured over the models of 43 languages of the embedded text:
0.94 and more where both belong together, 0.41 and less where they do not (Galician with Spanish)."""


@dataclass(frozen=True)
class ReadyMade:
    """The two files of one language, at any address."""

    language: str
    sentencepiece: str
    ngrams: str


def patterns(folder: str) -> list[str]:
    """What the files of ``folder`` are called."""
    return [f"{folder.rstrip('/')}/*{suffix}" for suffix in (SENTENCEPIECE_SUFFIX, NGRAMS_SUFFIX)]


def ready_made_models(folder: str) -> dict[str, ReadyMade]:
    """The models of a folder by language. Errors: XlmrError for a language that has only one of its two files."""
    sentencepiece, ngrams = (
        {PurePosixPath(address).name.removesuffix(suffix): address for address in expand(pattern)}
        for pattern, suffix in zip(patterns(folder), (SENTENCEPIECE_SUFFIX, NGRAMS_SUFFIX), strict=True)
    )
    missing = [f"{language}{NGRAMS_SUFFIX}" for language in sorted(sentencepiece.keys() - ngrams.keys())]
    missing += [f"{language}{SENTENCEPIECE_SUFFIX}" for language in sorted(ngrams.keys() - sentencepiece.keys())]
    if missing:
        raise XlmrError(f"{folder}: {', '.join(missing)} missing", "each language needs both files: add or remove one")
    for language in sentencepiece:
        if not LABEL.fullmatch(language):
            raise XlmrError(
                f"{sentencepiece[language]}: {language!r} is not a language code", "name it <code>.sp.model"
            )
    return {
        language: ReadyMade(language, sentencepiece[language], ngrams[language]) for language in sorted(sentencepiece)
    }


def take_language(models: ReadyMade, workspace: Path) -> ShardReport:
    """Put both files into the workspace. Errors: XlmrError if one cannot be loaded or they do not belong together."""
    sentencepiece = workspace / f"{models.language}{SENTENCEPIECE_SUFFIX}"
    ngrams = workspace / f"{models.language}{NGRAMS_SUFFIX}"
    _take(models.sentencepiece, sentencepiece)
    _take(models.ngrams, ngrams)
    try:
        try_models(sentencepiece, ngrams)
    except XlmrError as error:  # of the copy in the workspace: the person knows the file by its own name
        problem = error.problem.replace(str(ngrams), models.ngrams).replace(str(sentencepiece), models.sentencepiece)
        raise XlmrError(problem, error.fix) from None
    known = SentencePieceModel(sentencepiece).share_known_by(load_ngrams(ngrams))
    if known < LEAST_KNOWN:
        raise XlmrError(
            f"{models.ngrams} knows {known:.0%} of the tokens of {models.sentencepiece}: they are of different models",
            "take both files from one place",
        )
    return ShardReport({"bytes": ngrams.stat().st_size, "tokens_known": round(known, 3)})


def _take(address: str, path: Path) -> None:
    if not is_local(address):
        import fsspec

        filesystem, remote = fsspec.core.url_to_fs(address)
        filesystem.get_file(remote, str(path))
        return
    source = Path(address).resolve()
    try:
        os.link(source, path)
    except OSError:  # another file system, or another owner
        path.symlink_to(source)
