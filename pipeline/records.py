"""JSON files that become dataclasses: every key is checked once, where the file is read; one line names what is off.

Light: pydantic makes the checks from the types that the dataclass has anyway.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError

from pipeline.errors import XlmrError
from pipeline.json_file import explain

Record = TypeVar("Record")

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


def read_record(kind: type[Record], path: Path, fix: str) -> Record:
    """The dataclass ``kind`` out of a JSON file.

    Errors: DamagedFileError naming the file, the key and ``fix``; OSError where there is no file.
    """
    text = path.read_bytes()
    try:
        record: Record = _checks_of(kind).validate_json(text, strict=True)  # type: ignore[arg-type]
    except ValidationError as error:
        raise DamagedFileError(f"{path}: {explain(error)}", fix) from None
    return record


@cache
def _checks_of(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
