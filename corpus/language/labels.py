"""Maps a model's labels to codes by a table from label to code, built in for CC100's codes or from a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import yaml

from corpus.language.settings import AS_THEY_ARE, CC100
from pipeline.errors import XlmrError
from pipeline.storage import read_json

LABEL = re.compile(r"[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*")
"""What a language may be called: labels become folder names, so a model does not choose them freely."""

NO_LANGUAGE = "zxx"
"""The label of names and code: what an identifier learns them as, and never an answer."""


@lru_cache(maxsize=4)
def load_table(name: str) -> Mapping[str, str]:
    """The table of ``language_id.labels``: label -> code; a label that it lacks stays as it is, '' drops its texts.

    Errors: XlmrError for a file that is no table, or a code that cannot be a language's name.
    """
    if name == AS_THEY_ARE:
        return {}
    path = Path(__file__).with_name("cc100.tsv") if name == CC100 else Path(name)
    table = _read(path)
    check_names(table.values(), f"{path}: the code")
    return table


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise XlmrError(
            f"{path}: no such table of labels", f"corpus.language_id.labels: {AS_THEY_ARE}, {CC100}, a file"
        )
    if path.suffix == ".json":
        values = read_json(path)
    elif path.suffix in (".yaml", ".yml"):
        values = _read_yaml(path)
    else:
        lines = (line.partition("\t") for line in _text(path).split("\n") if line[:1] not in ("", "#"))
        values = {label: code for label, _, code in lines}
    if not isinstance(values, dict) or not all(isinstance(part, str) for pair in values.items() for part in pair):
        raise XlmrError(f"{path}: is not a table of labels", "write a label and its code, both text, for each language")
    return values


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise XlmrError(f"{path}: not UTF-8 ({error})", "write it in UTF-8") from None


def _read_yaml(path: Path) -> object:
    try:
        return yaml.safe_load(_text(path))
    except yaml.YAMLError as error:
        raise XlmrError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from None


def check_names(names: Iterable[str], who: str) -> None:
    """Refuse what cannot be a language's name; '' means none and is allowed. Errors: XlmrError."""
    for name in names:
        if name and not LABEL.fullmatch(name):
            raise XlmrError(f"{who} {name!r} cannot be a language's name", "use another model or table of labels")
