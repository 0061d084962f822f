"""JSON files read against the type that they must have: every value has its type, or one line names file and key.

The type is a pydantic model, or a dataclass whose fields pydantic can check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from pipeline.errors import XlmrError

Read = TypeVar("Read")

SHOWN = 60
"""Characters of a wrong value that an error repeats."""


def read_json_as(kind: type[Read], path: Path, fix: str = "") -> Read:
    """The file's value as ``kind``. Types are strict: a number in quotes is none.

    Errors: XlmrError naming the file, the first key that is missing or wrong, and ``fix``.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise XlmrError(f"{path}: no such file", fix) from None
    except OSError as error:
        raise XlmrError(f"{path}: not readable ({error.strerror})", fix) from None
    try:
        read: Read = TypeAdapter(kind).validate_json(content, strict=True)
    except ValidationError as error:
        raise XlmrError(f"{path}: {explain(error)}", fix) from None
    return read


def explain(error: ValidationError) -> str:
    """One line: the first key that is wrong, what is wrong with it, and how many more there are."""
    first, *others = error.errors(include_url=False)
    key = ".".join(str(part) for part in first["loc"])
    more = f" (and {len(others)} more)" if others else ""
    problem = first["msg"].removeprefix("Value error, ")
    if first["type"] == "json_invalid":
        return f"not readable as JSON ({problem.removeprefix('Invalid JSON: ')})"
    if first["type"] in {"missing", "missing_argument"}:
        return f"{key} is missing{more}"
    if first["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        return f"{key} is not known{more}"
    given = "" if first["type"] == "value_error" else f", got {shown(first['input'])}"
    return f"{key + ': ' if key else ''}{problem[0].lower()}{problem[1:]}{given}{more}"


def shown(value: Any) -> str:
    """A value as an error repeats it: on one line, and cut where it is long."""
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str | bytes):
        text = "an object" if isinstance(value, Mapping) else "a list"
    else:
        text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
