"""Tool ``xlmr finetune predict``: texts -> what a fine-tuned model of any kind says of them.

Texts are given as words of the command, or as rows of a file, which is answered block by block.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pipeline.errors import UsageError, XlmrError

if TYPE_CHECKING:
    from finetune.api import Asked, Predictor
    from finetune.predict_files import InputRow

Address = Annotated[str, Parameter(allow_leading_hyphen=True)]
"""A file, or - for standard input and output, which is no option."""


def predict(
    *text: str,
    model: Path,
    pair: str = "",
    context: str = "",
    input: Address = "",  # noqa: A002
    output: Address = "",
) -> None:
    """Say what the model makes of each text: its label, its value, its names, or the answer to it as a question.

    Parameters
    ----------
    text
        One text or several: questions, for a model that answers them; words with spaces between, for one that tags.
    model
        The model/ folder that a finetune stage wrote.
    pair
        The second text, for a model of pairs.
    context
        The text that answers are to be found in.
    input
        A file with a text a row instead: .tsv or .csv with a header, or .jsonl; - is standard input. Its column text
        is read, and pair or context where it has them. Every line is a row.
    output
        Where the rows are written with their predictions: .jsonl, .tsv or .csv; - is JSON lines to standard output.
        All rows are, in their order; those without an answer say why in error, and are counted. Until all are written
        the file's name ends in .partial.
    """
    if input and any(text):
        raise UsageError("texts are given, and --input too", "give the one or the other")
    if output and not input:
        raise UsageError("--output is for the rows of a file", "name it with --input")
    if input:
        from finetune.api import Predictor

        _answer_file(input, output, Predictor(model), pair, context)
    else:
        for line in lines_of(list(text), model, pair, context):
            print(line)


ANSWERS = {
    "classification": ("predicted", "confidence"),
    "regression": ("predicted",),
    "tagging": ("predicted",),
    "span": ("predicted", "start", "score"),
}
"""Kind of model -> what it says of a text; in a row without an answer these are empty."""


def lines_of(texts: Sequence[str], folder: Path, pair: str = "", context: str = "") -> list[str]:
    """A line for each text. Errors: UsageError, XlmrError."""
    predictions, kind = predictions_of(texts, folder, pair, context)
    return [_line(kind, text, one) for text, one in zip(texts, predictions, strict=True)]


def predictions_of(
    texts: Sequence[str], folder: Path, pair: str = "", context: str = ""
) -> tuple[list[dict[str, Any]], str]:
    """What the model says of each text, and its kind. Errors: UsageError, XlmrError."""
    if not any(text.strip() for text in texts):
        raise UsageError("no text is given", 'xlmr finetune predict "a text" --model FOLDER')
    from finetune.api import Asked, Predictor

    model = Predictor(folder)
    return model.answer([Asked(text, pair, context) for text in texts]), model.kind


@dataclass
class _Count:
    """Rows of a file, and those without an answer."""

    rows: int = 0
    without: int = 0
    first: str = ""

    def add(self, rows: Sequence[InputRow]) -> None:
        """The rows of a block, with the faults that were found in them."""
        self.rows += len(rows)
        faulty = [row for row in rows if row.fault]
        self.without += len(faulty)
        if faulty and not self.first:
            self.first = f"{faulty[0].location}: {faulty[0].fault}"

    def line(self) -> str:
        """What a person should know; empty where every row has an answer."""
        return f"{self.without} of {self.rows} rows have no answer (the first: {self.first})" if self.without else ""


def _answer_file(address: str, output: str, model: Predictor, pair: str, context: str) -> None:
    """Every row in, every row out. Errors: XlmrError where not one could be answered, or the rest cannot be read."""
    from finetune.predict_files import ERROR, writer

    count = _Count()
    with writer(output) if output else nullcontext() as write:
        for rows, asked in _asked(address, model.kind, pair, context):
            known = iter(model.answer([one for one in asked if one is not None]))
            none = dict.fromkeys(ANSWERS[model.kind])
            predictions = [none | {ERROR: row.fault} if row.fault else next(known) for row in rows]
            if write is not None:
                write(rows, predictions)
            else:
                _print(model.kind, asked, predictions)
            count.add(rows)
        if not count.rows:
            raise XlmrError(f"{address}: has no rows", "a table has a header and a text a row")
    if count.without == count.rows:
        raise XlmrError(count.line(), "a table has a header and a text a row")
    if count.without:
        print(count.line(), file=sys.stderr)


def _print(kind: str, asked: Sequence[Asked | None], predictions: Sequence[dict[str, Any]]) -> None:
    """A line for each row; an empty one where there is no answer."""
    for one, answer in zip(asked, predictions, strict=True):
        print("" if one is None else _line(kind, one.text, answer))


def _asked(address: str, kind: str, pair: str, context: str) -> Iterator[tuple[list[InputRow], list[Asked | None]]]:
    """The rows of a file by blocks, and what is asked of each; None, and the fault, where that is not there.

    A column that the first row has, all must have. Errors: XlmrError for a file that is not readable.
    """
    from finetune.api import Asked
    from finetune.data.rows import cell
    from finetune.predict_files import read_blocks

    wanted = {"classification": ("pair",), "regression": ("pair",), "span": ("context",)}.get(kind, ())
    given = {"pair": pair, "context": context}
    columns: list[str] = []
    for rows in read_blocks(address):
        if not columns and (first := next((row.values for row in rows if row.values), None)) is not None:
            columns = ["text", *(name for name in wanted if name in first)]
        asked: list[Asked | None] = []
        for place, row in enumerate(rows):
            try:
                found = None if row.fault else {name: cell(row.values, name, row.location) for name in columns}
            except XlmrError as error:
                found = None
                rows[place] = row._replace(fault=error.problem.removeprefix(f"{row.location}: "))
            values = {**given, **(found or {})}
            asked.append(None if found is None else Asked(values["text"], values["pair"], values["context"]))
        yield rows, asked


def _line(kind: str, text: str, prediction: dict[str, Any]) -> str:
    if kind == "classification":
        return f"{prediction['confidence']:.3f}  {prediction['predicted']}"
    if kind == "regression":
        return f"{prediction['predicted']:.3f}"
    if kind == "tagging":
        tagged = zip(text.split(), prediction["predicted"], strict=True)
        return " ".join(word if tag == "O" else f"[{word}|{tag}]" for word, tag in tagged)
    return f"{prediction['start']}  {prediction['predicted']}" if prediction["predicted"] else "no answer"
