"""Tools ``xlmr corpus identify``, ``lid-report`` and ``train-lid``. Light until one of them is called."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

from cyclopts import Parameter
from pydantic import ValidationError

from corpus.language.model_file import BUILT_IN_IDENTIFIER, BUILT_IN_OWN_MODEL
from corpus.language.settings import AS_THEY_ARE, CC100, FASTTEXT, NO_ANSWER, LanguageId
from corpus.language.text_columns import form_of, read_rows
from corpus.language.training.settings import IdentifierTraining
from pipeline.errors import UsageError, XlmrError
from pipeline.options import Flag, Json
from pipeline.packed import unpacking

if TYPE_CHECKING:
    from corpus.language.identifier import Ranking


_NAMED = 10
"""Labels that a warning names."""
TEXTS_AT_ONCE = 1_000
CHARACTERS_AT_ONCE = 1_000_000
MAX_CHARACTERS = 10_000_000
"""Of one text that are looked at: more does not change an answer, and a file may be one endless line."""


@dataclass(frozen=True)
class WhichIdentifier:
    """The identifier that a tool asks.

    Parameters
    ----------
    model
        A fastText model file, or lid.176.ftz.
    labels
        as_they_are, cc100, or a table of labels; cc100 with --own-model, else as_they_are, if not given.
    own_model
        A model of train-lid to combine it with, built-in, or '' for none; built-in, if not given, with lid.176.ftz and
        cc100.
    identifier
        One of your own in place of these models, as my.identifier:identify.
    """

    model: str = BUILT_IN_IDENTIFIER
    labels: str | None = None
    own_model: str | None = None
    identifier: str = FASTTEXT

    def settings(self) -> LanguageId:
        """As settings of a run. Errors: UsageError for those that exclude each other."""
        own_model = self.own_model
        if own_model is None:
            best = self.identifier == FASTTEXT and self.model == BUILT_IN_IDENTIFIER and self.labels in (None, CC100)
            own_model = BUILT_IN_OWN_MODEL if best else ""
        labels = self.labels or (CC100 if own_model else AS_THEY_ARE)
        try:
            return LanguageId(identifier=self.identifier, model=self.model, labels=labels, own_model=own_model)
        except ValidationError as error:
            raise UsageError(error.errors()[0]["msg"].removeprefix("Value error, "), "see --help") from None


_DEFAULT = WhichIdentifier()


def identify(
    *files: Path,
    paragraphs: Flag = False,
    whole: Flag = False,
    column: str = "",
    top: int = 1,
    as_json: Json = False,
    which: Annotated[WhichIdentifier, Parameter(name="*")] = _DEFAULT,
) -> None:
    """Say which language each line is in: code and score, tab-separated; und and 0.00 where there is no answer.

    Parameters
    ----------
    files
        Text files, plain or compressed (.gz .xz .bz2 .zst); standard input if none is given, or for -.
    paragraphs
        A paragraph is what stands between empty lines; say its language, not each line's.
    whole
        Say the language of each file.
    column
        The files are tables (.csv and .tsv with a header, .jsonl, .parquet), and the texts are in this column.
    top
        How many languages to say of each text, likeliest first, each with its score.
    as_json
        A JSON record a text: where it is, language, score; with --top, the list of languages and scores as well.
    """
    if paragraphs + whole + bool(column) > 1:
        raise UsageError("--paragraphs, --whole and --column exclude each other", "give one of them")
    if top < 1:
        raise UsageError(f"--top {top}: is no number of languages", "give 1 or more")
    from corpus.language.identifier import load_identifier

    found_by = load_identifier(which.settings())
    texts = _cells(files, column) if column else _texts(files, paragraphs=paragraphs, whole=whole)
    for batch in _batches(texts):
        lines = [text for _, _, text in batch]
        if top > 1:
            rankings = found_by.likeliest(lines, top)
        else:
            languages, scores = found_by.identify(lines)
            rankings = [[found] if found[0] else [] for found in zip(languages, scores.tolist(), strict=True)]
        for (file, line, _), ranking in zip(batch, rankings, strict=True):
            sys.stdout.write(_answer(file, line, ranking, top) if as_json else _answer_line(ranking))
        sys.stdout.flush()


def _answer_line(ranking: Ranking) -> str:
    return "\t".join(f"{language}\t{score:.2f}" for language, score in ranking or [(NO_ANSWER, 0.0)]) + "\n"


def _answer(file: str, line: int, ranking: Ranking, top: int) -> str:
    rounded = [{"language": language, "score": round(score, 2)} for language, score in ranking]
    first = rounded[0] if rounded else {"language": NO_ANSWER, "score": 0.0}
    return json.dumps({"file": file, "line": line, **first} | ({"top": rounded} if top > 1 else {})) + "\n"


def lid_report(
    file: Path,
    *,
    label: str = "label",
    text: str = "text",
    as_json: Json = False,
    which: Annotated[WhichIdentifier, Parameter(name="*")] = _DEFAULT,
) -> None:
    """Measure an identifier on labelled texts: by language, by length, and what it confuses.

    Parameters
    ----------
    file
        A table with a column of languages and one of texts: .csv or .tsv with a header, .jsonl, .parquet.
    label
        The column with the language of each text. Codes of the table of labels, or names that it translates.
    text
        The column with the texts.
    as_json
        The report as one JSON object.
    """
    from corpus.checks import known_codes
    from corpus.language import lid_report as reports
    from corpus.language.characters.splitters import split
    from corpus.language.identifier import load_identifier
    from corpus.language.labels import load_table

    settings = which.settings()
    found_by = load_identifier(settings)
    table = load_table(settings.labels)
    truth: list[str] = []
    predicted: list[str] = []
    scores: list[float] = []
    lengths: list[int] = []
    for batch in _batches(_labelled(file, label, text)):
        codes = [table.get(stated, stated) for stated, _, _ in batch]
        texts = [words for _, _, words in batch]
        # A label zh has no script: it is right for the script that the text is in.
        halves = split(codes, texts) if settings.labels == CC100 else codes
        truth += [half if code == "zh" else code for code, half in zip(codes, halves, strict=True)]
        languages, likelihoods = found_by.identify(texts)
        predicted += languages
        scores += likelihoods.tolist()
        lengths += map(len, texts)
    if not truth:
        raise UsageError(f"{file}: has no labelled text", "give a row a text")
    known = known_codes(settings)
    if never := [] if known is None else sorted(set(truth) - known):
        print(
            f"warning: {file}: labels that this identifier never gives: {' '.join(never[:_NAMED])}"
            f"{' …' if len(never) > _NAMED else ''}; --label names the column of codes, --labels a table of them",
            file=sys.stderr,
        )
    report = reports.lid_report(truth, predicted, scores, lengths)
    print(json.dumps(report) if as_json else "\n".join(reports.as_text(report)))


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
    from corpus.language.training.train import train

    path = train(text, out, settings or IdentifierTraining(), base, labels, calibration)
    from corpus.language.models.model_card import read_card

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


def _cells(files: Sequence[Path], column: str) -> Iterator[LocatedText]:
    if not files:
        raise UsageError("--column: needs a file", "give a .csv, .tsv, .jsonl or .parquet file")
    for file in files:
        for number, (cell,) in read_rows(file, form_of(file), _lines(file), [column]):
            yield str(file), number, _one_line(cell)


def _labelled(file: Path, label: str, text: str) -> Iterator[tuple[str, int, str]]:
    """Label, line and text of each row. Errors: XlmrError for a row that lacks one of the cells."""
    for number, cells in read_rows(file, form_of(file), _lines(file), [label, text]):
        stated, words = (_one_line(cell) for cell in cells)
        if not stated or not words:
            missing = text if stated else label
            raise XlmrError(f"{file}, row {number} has no {missing!r}", "fill it, or remove the row")
        yield stated, number, words


def _one_line(cell: str) -> str:
    """Identifiers take texts without line breaks."""
    return " ".join(cell[:MAX_CHARACTERS].splitlines()).strip()


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
    except FileNotFoundError:
        raise UsageError(f"{file}: no such file", "give text files, or - for standard input") from None
    except IsADirectoryError:
        raise UsageError(f"{file}: is a folder", f"give the files in it, as {file}/*.txt") from None


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
