"""Stage ``corpus.language_models``: a SentencePiece and a 5-gram for each language, from clean text or ready-made.

One shard a language: documents → normalised → SentencePiece (unigram) → tokens → lmplz → build_binary.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from corpus.perplexity.normalise import normalise_batch
from corpus.perplexity.ready_made import ready_made_models, take_language
from corpus.perplexity.score import NGRAMS_SUFFIX, SENTENCEPIECE_SUFFIX, SentencePieceModel
from corpus.perplexity.settings import text_pattern
from corpus.perplexity.setup_kenlm import PROGRAMS, find_program
from corpus.perplexity.texts import language_of, read_texts
from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.errors import XlmrError
from pipeline.lines import cut
from pipeline.shards import ShardReport
from pipeline.stage import Inputs
from pipeline.storage import expand, publish

if TYPE_CHECKING:
    from corpus.perplexity.settings import LanguageModels
    from corpus.settings import LanguageModelsStage

DOCUMENTS_AT_ONCE = 1000
FEW_TOKENS = 1000
"""Our choice; the smallest of the embedded texts has 4,892."""
LONGEST_LINE = 1 << 16
"""Bytes; SentencePiece would pass over longer lines without a word, so it gets them in parts."""

STRUCTURES = {"probing": [], "trie": ["-a", "22", "trie"], "quantised trie": ["-q", "8", "-a", "22", "trie"]}
"""Options of build_binary: bits of a probability, and of a pointer's offset at the most."""


def run(config: LanguageModelsStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Train the models of each language, or take those of ``language_models.folder``."""
    del inputs, output
    settings = config.language_models
    if settings.folder is not None:
        models = ready_made_models(settings.folder)
        counts = context.map_shards(take_language, models)
    else:
        files = files_by_language(expand(text_pattern(settings.text))) if settings.text else {}
        counts = context.map_shards(partial(train_language, settings), {lang: (lang, a) for lang, a in files.items()})
        few = sorted(language for language, count in counts.items() if count["tokens"] < FEW_TOKENS)
        if few:
            context.warn(f"under {FEW_TOKENS:,} tokens of clean text, so perplexities are unreliable: {' '.join(few)}")
    return {"languages": len(counts), "by_language": dict(counts)}


def check(config: LanguageModelsStage) -> None:
    """Errors: XlmrError where models are to be trained and KenLM's programs are not there."""
    if config.language_models.folder is None and config.language_models.text:
        for tool in PROGRAMS:
            find_tool(tool)


def files_by_language(addresses: Iterable[str]) -> dict[str, list[str]]:
    """The files of clean text of each language, in their order."""
    files = defaultdict(list)
    for address in addresses:
        files[language_of(address)].append(address)
    return dict(files)


def find_tool(name: str) -> str:
    """The path of a KenLM program: beside this Python or on the PATH. Errors: XlmrError with the fix."""
    found = find_program(name)
    if found is None:
        raise XlmrError(f"{name}: the KenLM program is not installed", "xlmr setup-kenlm builds it")
    return found


def train_language(settings: LanguageModels, shard: tuple[str, Sequence[str]], workspace: Path) -> ShardReport:
    """Write ``<language>.sp.model`` and ``<language>.arpa.bin``, from the documents of these files."""
    language, addresses = shard
    named = ", ".join(addresses)
    for tool in PROGRAMS:
        find_tool(tool)
    scratch = workspace / ".scratch"
    scratch.mkdir()
    text = scratch / "text.txt"
    read = itertools.chain.from_iterable(read_texts(address, settings.wikipedia_field) for address in addresses)
    documents, long_lines = _write_normalised(itertools.islice(read, settings.documents), text)
    if documents == 0:
        raise XlmrError(f"{named}: holds no text", "put clean text there, a document a line, or remove the file")
    sentencepiece_model = workspace / f"{language}{SENTENCEPIECE_SUFFIX}"
    _train_sentencepiece(settings, text, sentencepiece_model, named)
    tokens = _write_tokens(sentencepiece_model, text, scratch / "tokens.txt")
    _train_ngrams(settings, scratch, workspace / f"{language}{NGRAMS_SUFFIX}", named)
    shutil.rmtree(scratch)
    if not long_lines:
        return ShardReport({"documents": documents, "tokens": tokens})
    cut_there = f"{named}: {long_lines:,} lines of more than {LONGEST_LINE:,} bytes are learnt from in parts"
    return ShardReport({"documents": documents, "tokens": tokens, "long_lines": long_lines}, [cut_there])


def publish_models(settings: LanguageModels, language: str, addresses: Sequence[str], folder: Path) -> Counts:
    """Train one language outside a run: its two files appear in ``folder`` when both are whole."""
    folder.mkdir(parents=True, exist_ok=True)
    workspace = Path(tempfile.mkdtemp(prefix=f".{language}.", dir=folder))
    try:
        report = train_language(settings, (language, addresses), workspace)
        for suffix in (SENTENCEPIECE_SUFFIX, NGRAMS_SUFFIX):
            publish(workspace / f"{language}{suffix}", folder / f"{language}{suffix}")
    finally:
        shutil.rmtree(workspace)
    return report.counts


def _write_normalised(documents: Iterator[str], path: Path) -> tuple[int, int]:
    """Write a line a document; how many there are, and how many of them are longer than ``LONGEST_LINE``."""
    count, long_lines = 0, 0
    with path.open("wb") as out:
        while batch := list(itertools.islice(documents, DOCUMENTS_AT_ONCE)):
            lines = [line for line in normalise_batch(batch) if line]
            out.writelines(line + b"\n" for line in lines)
            count += len(lines)
            long_lines += sum(len(line) > LONGEST_LINE for line in lines)
    return count, long_lines


def _train_sentencepiece(settings: LanguageModels, text: Path, model: Path, named: str) -> None:
    try:
        # Streams, not paths: a model that was given paths carries them, and would differ from folder to folder.
        with text.open("rb") as lines, model.open("wb") as out:
            _train(settings, (part for line in lines for part in cut(line.rstrip(b"\n"), LONGEST_LINE)), out)
    except (RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise XlmrError(f"{named}: no SentencePiece model can be trained on it ({reason})", "add more text") from None


def _train(settings: LanguageModels, lines: Iterator[bytes], out: IO[bytes]) -> None:
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines,
        model_writer=out,
        model_type="unigram",
        vocab_size=settings.vocab_size,
        hard_vocab_limit=False,  # little text makes fewer tokens
        character_coverage=settings.character_coverage,
        max_sentence_length=LONGEST_LINE,
        num_threads=1,  # workers are the parallelism; and the result does not depend on their number
        minloglevel=2,
    )


def _write_tokens(model: Path, text: Path, path: Path) -> int:
    processor = SentencePieceModel(model)
    count = 0
    with text.open("rb") as lines, path.open("wb") as out:
        while batch := [line.rstrip(b"\n") for line in itertools.islice(lines, DOCUMENTS_AT_ONCE)]:
            for tokens in processor.encode(batch):
                out.write(b" ".join(tokens) + b"\n")
                count += len(tokens)
    return count


def _train_ngrams(settings: LanguageModels, scratch: Path, binary: Path, named: str) -> None:
    arpa = scratch / "model.arpa"
    lmplz = [find_tool("lmplz"), "-o", str(settings.order), "-S", settings.sort_memory, "-T", str(scratch)]
    lmplz += ["--vocab_estimate", str(settings.vocab_size), "--discount_fallback"]
    if settings.prune:
        lmplz += ["--prune", *map(str, settings.prune)]
    with (scratch / "tokens.txt").open("rb") as tokens, arpa.open("wb") as out:
        _check(subprocess.run(lmplz, stdin=tokens, stdout=out, stderr=subprocess.PIPE, check=False), named)
    (scratch / "tokens.txt").unlink()
    build = [find_tool("build_binary"), "-T", f"{scratch}/", *STRUCTURES[settings.structure], str(arpa), str(binary)]
    _check(subprocess.run(build, capture_output=True, check=False), named)


def _check(done: subprocess.CompletedProcess[bytes], named: str) -> None:
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise XlmrError(f"{named}: {Path(done.args[0]).name} failed: {' '.join(last)}", "see its message")
