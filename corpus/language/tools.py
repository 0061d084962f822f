"""The tools of this task: ``xlmr corpus identify`` and ``xlmr corpus train-lid``. Light until one of them is called."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, TextIO

from cyclopts import Parameter
from pydantic import ValidationError

from corpus.language.model_file import BUILT_IN_IDENTIFIER
from corpus.language.settings import AS_THEY_ARE, CC100, FASTTEXT, LanguageId
from corpus.language.train_settings import IdentifierTraining
from pipeline.errors import UsageError
from pipeline.packed import unpacking

Flag = Annotated[bool, Parameter(negative="")]

TEXTS_AT_ONCE = 1_000
CHARACTERS_AT_ONCE = 1_000_000
MAX_CHARACTERS = 10_000_000
"""Of one text that are looked at: more does not change an answer, and a file may be one endless line."""


def identify(
    *files: Path,
    paragraphs: Flag = False,
    whole: Flag = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    model: str = BUILT_IN_IDENTIFIER,
    labels: str | None = None,
    own_model: str = "",
    identifier: str = FASTTEXT,
) -> None:
    """Say which language each line is in: code and score, tab-separated.

    Parameters
    ----------
    files
        Text files, plain or compressed (.gz .xz .bz2 .zst); standard input if none is given, or for -.
    paragraphs
        A paragraph is what stands between empty lines; say its language, not each line's.
    whole
        Say the language of each file.
    as_json
        A JSON record a text: where it is, language, score.
    model
        A fastText model file, or lid.176.ftz.
    labels
        as_they_are, cc100, or a table of labels; cc100 with --own-model, else as_they_are, if not given.
    own_model
        A model of train-lid to combine it with, or built-in.
    identifier
        One of your own in place of these models, as my.identifier:identify.
    """
    if paragraphs and whole:
        raise UsageError("--paragraphs and --whole exclude each other", "give one of them")
    from corpus.language.identifier import load_identifier

    labels = labels or (CC100 if own_model else AS_THEY_ARE)
    try:
        settings = LanguageId(identifier=identifier, model=model, labels=labels, own_model=own_model)
    except ValidationError as error:
        raise UsageError(error.errors()[0]["msg"].removeprefix("Value error, "), "see --help") from None
    found_by = load_identifier(settings)
    for batch in _batches(_texts(files, paragraphs=paragraphs, whole=whole)):
        languages, scores = found_by.identify([text for _, _, text in batch])
        found = zip(batch, languages, scores.tolist(), strict=True)
        if as_json:
            for (file, line, _), language, score in found:
                print(json.dumps({"file": file, "line": line, "language": language, "score": round(score, 2)}))
        else:
            sys.stdout.write("".join(f"{language}\t{score:.2f}\n" for _, language, score in found))
        sys.stdout.flush()


def train_lid(
    text: str,
    out: Path,
    *,
    calibration: str = "",
    base: str = BUILT_IN_IDENTIFIER,
    labels: str = CC100,
    settings: Annotated[IdentifierTraining, Parameter(name="*")] | None = None,
) -> None:
    """Train an identifier of our own on labelled text, and learn how to combine it with another.

    Parameters
    ----------
    text
        A folder or pattern of files <language>.txt, plain or compressed: a paragraph a line, an empty line between
        documents.
    out
        Folder for the model and its card.
    calibration
        Labelled text of another source, which the combination is learnt from; half of what is held out, if not given.
    base
        The identifier that it is combined with.
    labels
        The table that names the labels of that one.
    """
    from corpus.language.train import train

    path = train(text, out, settings or IdentifierTraining(), base, labels, calibration)
    from corpus.language.model_card import read_card

    for size, measured in read_card(path)["held_out"].items():
        shares = ", ".join(f"{name} {figures['right']:.1%}" for name, figures in measured.items())
        print(f"{size} of text held out: {shares} right", file=sys.stderr)
    print(path)


LocatedText = tuple[str, int, str]
"""File, the number of the first line, text without newlines."""


def _texts(files: Sequence[Path], *, paragraphs: bool, whole: bool) -> Iterator[LocatedText]:
    for file in files or (Path("-"),):
        lines = enumerate(_lines(file), 1)
        if whole:
            yield str(file), 1, _joined(line for _, line in lines)
        elif paragraphs:
            yield from _paragraphs(str(file), lines)
        else:
            for number, line in lines:
                yield str(file), number, line[:MAX_CHARACTERS]


def _paragraphs(file: str, lines: Iterable[tuple[int, str]]) -> Iterator[LocatedText]:
    gathered: list[str] = []
    first = 1
    for number, line in lines:
        if line.strip():
            if not gathered:
                first = number
            gathered.append(line)
        elif gathered:
            yield file, first, _joined(gathered)
            gathered = []
    if gathered:
        yield file, first, _joined(gathered)


def _joined(lines: Iterable[str]) -> str:
    taken, characters = [], 0
    for line in lines:
        taken.append(line)
        characters += len(line) + 1
        if characters > MAX_CHARACTERS:
            break
    return " ".join(taken)[:MAX_CHARACTERS]


def _lines(file: Path) -> Iterator[str]:
    try:
        if str(file) == "-":
            sys.stdin.reconfigure(encoding="utf-8", errors="replace", newline="\n")  # type: ignore[union-attr]
            yield from _bounded(sys.stdin)
            return
        import fsspec

        # Lines end at a line feed alone: a carriage return inside one, of old Macs say, begins no other.
        how = {"compression": "infer", "encoding": "utf-8", "errors": "replace", "newline": "\n"}
        with unpacking(str(file)), fsspec.open(str(file), "rt", **how) as handle:
            yield from _bounded(handle)
    except (FileNotFoundError, IsADirectoryError):
        raise UsageError(f"{file}: no such file", "give text files, or - for standard input") from None


def _bounded(handle: TextIO) -> Iterator[str]:
    """Lines without their end; of one that is too long, its beginning."""
    inside = False
    for part in iter(lambda: handle.readline(MAX_CHARACTERS), ""):
        if not inside:
            yield part.rstrip("\r\n")
        inside = not part.endswith("\n")


def _batches(texts: Iterator[LocatedText]) -> Iterator[list[LocatedText]]:
    batch: list[LocatedText] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text[2])
        if len(batch) == TEXTS_AT_ONCE or characters > CHARACTERS_AT_ONCE:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
