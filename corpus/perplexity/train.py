"""Stage ``corpus.language_models``: a SentencePiece and a 5-gram for each language that has clean text.

One shard a language: documents → normalised → SentencePiece (unigram) → pieces → lmplz → build_binary.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from corpus.language.identifier import LABEL
from corpus.normalise import normalise_for_language_model
from corpus.perplexity.score import NGRAMS_SUFFIX, PIECES_SUFFIX
from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.errors import XlmrError
from pipeline.shards import ShardReport
from pipeline.stage import Inputs
from pipeline.storage import expand

if TYPE_CHECKING:
    from corpus.perplexity.settings import LanguageModels
    from corpus.stages import LanguageModelsStage

LONGEST_LINE = 1 << 16
"""Bytes of a document that SentencePiece learns from."""


def run(config: LanguageModelsStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Train the models of each language."""
    del inputs, output
    settings = config.language_models
    files = {language_of(address): address for address in expand(settings.text)}
    for tool in ("lmplz", "build_binary"):
        find_tool(tool)
    counts = context.map_shards(partial(train_language, settings), {lang: (lang, a) for lang, a in files.items()})
    return {"languages": len(counts), "by_language": counts}


def language_of(address: str) -> str:
    """The language that a file of clean text is named after: ``de.txt.xz`` is German."""
    language = PurePosixPath(address).name.partition(".")[0]
    if not LABEL.fullmatch(language):
        raise XlmrError(f"{address}: {language!r} is not a language code", "name the file <code>.txt, as de.txt")
    return language


def find_tool(name: str) -> str:
    """The path of a KenLM program: beside this Python or on the PATH. Errors: XlmrError with the mend."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(name)
    if found is None:
        raise XlmrError(f"{name}: the KenLM program is not installed", "make setup builds it")
    return found


def train_language(settings: LanguageModels, shard: tuple[str, str], workspace: Path) -> ShardReport:
    """Write ``<language>.sp.model`` and ``<language>.arpa.bin``."""
    language, address = shard
    scratch = workspace / ".scratch"
    scratch.mkdir()
    text = scratch / "text.txt"
    documents = _write_normalised(itertools.islice(read_clean(address), settings.documents), text)
    if documents == 0:
        raise XlmrError(f"{address}: holds no text", "put clean text there, a document a line, or remove the file")
    pieces_model = workspace / f"{language}{PIECES_SUFFIX}"
    _train_pieces(settings, text, pieces_model, address)
    pieces = _write_pieces(pieces_model, text, scratch / "pieces.txt")
    _train_ngrams(settings, scratch, workspace / f"{language}{NGRAMS_SUFFIX}", address)
    shutil.rmtree(scratch)
    return ShardReport({"documents": documents, "pieces": pieces})


def read_clean(address: str) -> Iterator[str]:
    """The documents of a file of clean text, a line each; compressed by its suffix, at any fsspec address."""
    import fsspec

    with fsspec.open(address, "rt", encoding="utf-8", compression="infer", newline="\n") as lines:
        try:
            for line in lines:
                if line := line.strip():
                    yield line
        except (UnicodeDecodeError, EOFError, OSError) as error:
            raise XlmrError(f"{address}: cannot be read ({error})", "put a whole file there") from None


def _write_normalised(documents: Iterable[str], path: Path) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as out:
        for document in documents:
            if line := normalise_for_language_model(document):
                out.write(line + "\n")
                count += 1
    return count


def _train_pieces(settings: LanguageModels, text: Path, model: Path, address: str) -> None:
    try:
        # Streams, not paths: a model that was given paths carries them, and would differ from folder to folder.
        with text.open(encoding="utf-8", newline="\n") as lines, model.open("wb") as out:
            _train(settings, lines, out)
    except (RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise XlmrError(
            f"{address}: no SentencePiece model can be made of it ({reason})", "give it more text"
        ) from None


def _train(settings: LanguageModels, lines: Iterable[str], out: IO[bytes]) -> None:
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line.rstrip("\n") for line in lines),
        model_writer=out,
        model_type="unigram",
        vocab_size=settings.vocabulary_size,
        hard_vocab_limit=False,  # little text makes fewer pieces
        character_coverage=settings.character_coverage,
        max_sentence_length=LONGEST_LINE,
        num_threads=1,  # workers are the parallelism; and the result does not depend on their number
        minloglevel=2,
    )


def _write_pieces(model: Path, text: Path, path: Path) -> int:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    count = 0
    with text.open(encoding="utf-8", newline="\n") as lines, path.open("w", encoding="utf-8") as out:
        while batch := [line.rstrip("\n") for line in itertools.islice(lines, 1000)]:
            for pieces in processor.encode(batch, out_type=str, num_threads=1):
                out.write(" ".join(pieces) + "\n")
                count += len(pieces)
    return count


def _train_ngrams(settings: LanguageModels, scratch: Path, binary: Path, address: str) -> None:
    arpa = scratch / "model.arpa"
    lmplz = [find_tool("lmplz"), "-o", str(settings.order), "-S", settings.sort_memory, "-T", str(scratch)]
    lmplz += ["--vocab_estimate", str(settings.vocabulary_size), "--discount_fallback"]
    with (scratch / "pieces.txt").open("rb") as pieces, arpa.open("wb") as out:
        _check(subprocess.run(lmplz, stdin=pieces, stdout=out, stderr=subprocess.PIPE, check=False), address)
    _check(
        subprocess.run([find_tool("build_binary"), str(arpa), str(binary)], capture_output=True, check=False), address
    )


def _check(done: subprocess.CompletedProcess[bytes], address: str) -> None:
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise XlmrError(f"{address}: {Path(done.args[0]).name} failed: {' '.join(last)}", "see its message")
