"""The tools ``xlmr corpus score`` and ``xlmr corpus train-lm``: perplexities, and models, without a run."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.errors import UsageError, XlmrError
from pipeline.manifest import usable_manifest
from pipeline.options import Flag
from pipeline.packed import unpacking

if TYPE_CHECKING:
    from corpus.perplexity.cutoff_table import Cutoffs


STANDARD_INPUT = "-"
CHUNK_BYTES = 1 << 18
"""What is read and scored at once: less, where a pipe has no more yet."""


def score(
    *files: str,
    models: Path,
    language: str | None = None,
    cutoffs: Path | None = None,
    paragraphs: Flag = False,
    json: Flag = False,
    memory: int | None = None,
) -> None:
    """Print the perplexity of each line: perplexity, tokens, bucket if there are cut-offs, the text; by tabs.

    Without --language, each document's own is found first, and stands before the rest. A text that nothing is left of,
    or whose language has no model, has no perplexity; its bucket is all.

    Parameters
    ----------
    files
        Text in UTF-8, a document a line, at any address, compressed or not; standard input if none or -.
    models
        A folder with CODE.sp.model and CODE.arpa.bin of each language, as corpus.language_models makes it.
    language
        The language of all of it.
    cutoffs
        Name buckets by this table: what corpus.cutoffs made, {"de": [310.5, 620.1], …} in JSON, or cc_net's cutoff.csv.
    paragraphs
        A line is a paragraph, a blank line ends a document; the document's perplexity stands before each paragraph's.
    json
        JSON lines; with --paragraphs one a document.
    memory
        Bytes of models to hold; 1 GiB if not given.
    """
    from corpus.perplexity.cutoff_table import read_cutoffs
    from corpus.perplexity.settings import MODEL_MEMORY

    scorer = TextScorer(models, language, read_cutoffs(cutoffs) if cutoffs else None, memory or MODEL_MEMORY)
    try:
        for documents in read_documents(files or (STANDARD_INPUT,), paragraphs):
            for scored in scorer.score(documents):
                print(scored.as_json(paragraphs) if json else scored.as_row(paragraphs, scorer.columns))
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@dataclass(frozen=True)
class Scored:
    """A text: its language, its perplexity (None where it has none), its tokens and bucket; or a document of texts."""

    language: str
    perplexity: float | None
    tokens: int
    bucket: str | None
    text: str = ""
    parts: tuple[Scored, ...] = ()

    def as_json(self, paragraphs: bool) -> str:
        """One line."""
        shown = {**self._values(), "paragraphs": [part._values() for part in self.parts]}
        return json.dumps(shown if paragraphs else self.parts[0]._values(), ensure_ascii=False)

    def _values(self) -> dict[str, Any]:
        values = {"language": self.language, "perplexity": self.perplexity, "tokens": self.tokens}
        if self.bucket is not None:
            values["bucket"] = self.bucket
        return values if self.parts else {**values, "text": self.text}

    def as_row(self, paragraphs: bool, columns: Sequence[str]) -> str:
        """One line a text; with ``paragraphs`` they start with the document's perplexity and end in a blank line."""
        rows = []
        for part in self.parts:
            cells = [_number(self.perplexity)] if paragraphs else []
            shown = {**part._values(), "perplexity": _number(part.perplexity)}
            rows.append("\t".join([*cells, *(str(shown[column]) for column in columns)]))
        return "\n".join([*rows, ""] if paragraphs else rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


class TextScorer:
    """Scores documents, each a list of texts, in the language that is given or found.

    Errors: XlmrError where the folder has no models, or none of the language.
    """

    def __init__(self, models: Path, language: str | None, cutoffs: Cutoffs | None, memory_bytes: int) -> None:
        from corpus.perplexity.score import languages_with_models, name_of_model

        self._folder = models
        self._there = set(languages_with_models(models))
        if not self._there:
            raise XlmrError(f"{models}: has no language models", "give a folder with CODE.sp.model and CODE.arpa.bin")
        if language is not None and name_of_model(language, self._there) is None:
            raise XlmrError(f"{models}: has no model of {language}", f"there are {' '.join(sorted(self._there))}")
        self._language = language
        self._cutoffs = cutoffs
        self._memory_bytes = memory_bytes
        manifest = usable_manifest(models)
        self._ours = manifest is not None and not manifest.faults(models)  # else they are tried before they are used
        self._tried: set[str] = set()
        optional = (("language", language is None), ("perplexity", True), ("tokens", True), ("bucket", bool(cutoffs)))
        self.columns = [*(name for name, there in optional if there), "text"]

    def score(self, documents: Sequence[list[str]]) -> list[Scored]:
        """In the order given."""
        by_language: dict[str, list[int]] = defaultdict(list)
        for number, language in enumerate(self._languages(documents)):
            by_language[language].append(number)
        scored: dict[int, Scored] = {}
        for language, numbers in by_language.items():
            answers = self._score_in(language, [documents[number] for number in numbers])
            scored.update(zip(numbers, answers, strict=True))
        return [scored[number] for number in range(len(documents))]

    def _languages(self, documents: Sequence[list[str]]) -> list[str]:
        if self._language is not None:
            return [self._language] * len(documents)
        from corpus.language.identifier import load_identifier
        from corpus.language.settings import LanguageId

        return load_identifier(LanguageId()).identify(["".join(texts) for texts in documents])[0]

    def _score_in(self, language: str, documents: Sequence[list[str]]) -> Iterator[Scored]:
        import numpy as np

        from corpus.perplexity.score import load_language_model, name_of_model, perplexity_of, try_language

        texts = list(chain.from_iterable(documents))
        scores, tokens = np.zeros(len(texts)), np.zeros(len(texts), np.int32)
        name = name_of_model(language, self._there)
        if name is not None:
            if not self._ours and name not in self._tried:
                try_language(self._folder, name)
                self._tried.add(name)
            scores, tokens = load_language_model(self._folder, name, self._memory_bytes).score_batch(texts)
        values = perplexity_of(scores, tokens).tolist()
        counts = tokens.tolist()
        start = 0
        for document in documents:
            here = slice(start, start := start + len(document))
            parts = map(self._scored, [language] * len(document), values[here], counts[here], document)
            lines = np.array([np.count_nonzero(tokens[here])], np.int32)
            whole = perplexity_of(scores[here].sum(keepdims=True), tokens[here].sum(keepdims=True), lines)
            yield self._scored(language, float(whole[0]), sum(counts[here]), "", tuple(parts))

    def _scored(self, language: str, value: float, tokens: int, text: str, parts: tuple[Scored, ...] = ()) -> Scored:
        from corpus.perplexity.cutoff_table import cutoffs_of

        perplexity = None if math.isnan(value) else value
        bucket = None if self._cutoffs is None else bucket_of(perplexity, cutoffs_of(language, self._cutoffs))
        return Scored(language, perplexity, tokens, bucket, text, parts)


def bucket_of(perplexity: float | None, cutoffs: tuple[float, float] | None) -> str:
    """Source: cc_net perplexity.py, PerplexityBucket."""
    if perplexity is None or cutoffs is None:
        return "all"
    head, middle = cutoffs
    return "head" if perplexity < head else "middle" if perplexity < middle else "tail"


def read_documents(files: Iterable[str], paragraphs: bool) -> Iterator[list[list[str]]]:
    """The documents of files, one file after the other, each a list of texts; as many at once as are there, in bounds.

    A line is a document; with ``paragraphs`` it is a part of one, and a blank line ends it.
    """
    for name in files:
        document: list[str] = []
        for lines in _read_lines(name):
            documents = [] if paragraphs else [[line] for line in lines]
            for line in lines if paragraphs else ():
                if line.strip():
                    document.append(line)
                elif document:
                    documents.append(document)
                    document = []
            yield documents
        if document:
            yield [document]


def _read_lines(name: str) -> Iterator[list[str]]:
    with _open(name) as stream:
        rest = bytearray()
        while chunk := stream.read1(CHUNK_BYTES):
            cut = chunk.rfind(b"\n")
            if cut < 0:
                rest += chunk
                continue
            yield _lines(bytes(rest) + chunk[:cut])
            rest = bytearray(chunk[cut + 1 :])
        if rest:
            yield _lines(bytes(rest))


def _lines(text: bytes) -> list[str]:
    return [line.removesuffix("\r") for line in text.decode("utf-8", "replace").split("\n")]


@contextmanager
def _open(name: str) -> Iterator[Any]:
    if name == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    import fsspec

    with unpacking(name), fsspec.open(name, "rb", compression="infer") as stream:
        yield stream if hasattr(stream, "read1") else io.BufferedReader(stream)


def train_lm(  # noqa: PLR0913 - a command's options
    text: str,
    out: Path,
    *,
    language: str | None = None,
    documents: int | None = None,
    wikipedia_field: Literal["opening_text", "text"] | None = None,
    vocab_size: int | None = None,
    prune: tuple[int, ...] | None = None,
    structure: Literal["probing", "trie", "quantised trie"] | None = None,
    sort_memory: str | None = None,
) -> None:
    """Train one language's SentencePiece and 5-gram model, as corpus.language_models does.

    Parameters
    ----------
    text
        A Wikipedia CirrusSearch dump, or .txt, .jsonl, .parquet or .arrow with documents; or a pattern of such files.
    out
        The folder that gets CODE.sp.model and CODE.arpa.bin.
    language
        The code; from the file's name, or its records, if not given.
    documents
        Documents at the most.
    wikipedia_field
        What is read of an article: opening_text or text.
    vocab_size
        Tokens; fewer where there is little text.
    prune
        Leave out n-grams seen no more often than this, by order: --prune 0 0 1.
    structure
        probing, trie or quantised trie.
    sort_memory
        Memory of lmplz, as 8G.
    """
    from pydantic import ValidationError

    from corpus.language.labels import LABEL
    from corpus.perplexity.settings import LanguageModels, text_pattern
    from corpus.perplexity.train import files_by_language, publish_models
    from pipeline.storage import expand

    given = {
        "documents": documents, "wikipedia_field": wikipedia_field, "vocab_size": vocab_size,
        "prune": prune, "structure": structure, "sort_memory": sort_memory,
    }  # fmt: skip
    try:
        settings = LanguageModels(text=text, **{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}") from None
    if language is not None and not LABEL.fullmatch(language):
        raise UsageError(f"{language!r} is not a language code", "give one as de or zh-Hans")
    named = expand(text_pattern(text))
    files = {language: named} if language else files_by_language(named)
    if len(files) > 1:
        raise UsageError(f"{text}: files of {len(files)} languages: {' '.join(files)}", "name one, by --language")
    for code, addresses in files.items():
        counts = publish_models(settings, code, addresses, out)
        print(f"{out}/{code}: {counts['documents']:,} documents, {counts['tokens']:,} tokens")
        if counts.get("long_lines"):
            print(f"{counts['long_lines']:,} long lines were learnt from in parts", file=sys.stderr)
