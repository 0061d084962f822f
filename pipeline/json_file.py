"""JSON files read against the type that they must have: every value has its type, or one line names file and key.

The type is a pydantic model, or a dataclass whose fields pydantic can check. ``read_json_as`` reads what others may
have written, ``read_record`` files of our own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError

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
    key = ".".join(str(one) for one in first["loc"])
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


CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False)
"""For ``__pydantic_config__`` of a dataclass: keys that it does not know are errors, and numbers are finite."""


class DamagedFileError(XlmrError):
    """A file of our own that is not as it was written."""


def _inside(name: str) -> str:
    """A file's name inside its folder. Errors: ValueError for one that would lead out of it."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise ValueError("should be the name of a file inside the folder")
    return name


InnerPath = Annotated[str, AfterValidator(_inside)]
"""The path of a file relative to the folder that it is in, with slashes."""


def read_record(kind: type[Read], path: Path, fix: str) -> Read:
    """The dataclass ``kind`` out of a JSON file.

    Errors: DamagedFileError naming the file, the key and ``fix``; OSError where there is no file.
    """
    return parse_record(kind, path.read_bytes(), str(path), fix)


def parse_record(kind: type[Read], text: bytes, source: str, fix: str) -> Read:
    """The dataclass ``kind`` out of JSON. Errors: DamagedFileError naming ``source``, the key and ``fix``."""
    try:
        record: Read = _checks_of(kind).validate_json(text, strict=True)  # type: ignore[arg-type]
    except ValidationError as error:
        raise DamagedFileError(f"{source}: {explain(error)}", fix) from None
    return record


@cache
def _checks_of(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
