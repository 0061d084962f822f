"""Finding and reading a task's files: where each may lie, in which encoding; a fault is one line with file and row."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from finetune.data.examples import Where
from finetune.data.settings import TaskSettings
from pipeline.errors import XlmrError
from pipeline.storage import is_local

UTF8 = ("utf-8-sig",)
UTF8_OR_LATIN1 = ("utf-8-sig", "latin-1")
"""Old files: whole as UTF-8 if they can be read so (copies were converted), else latin-1 as published."""

Files = dict[str, dict[str, str]]
"""Split (train, dev, test) -> language -> address."""

COMPRESSIONS = ("", ".gz", ".xz", ".bz2")


def exists(address: str) -> bool:
    """Whether a file is at this fsspec address."""
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(address)
    return bool(filesystem.isfile(path))


def find_file(folder: str, names: Sequence[str]) -> str | None:
    """The address of the first of ``names`` that lies in ``folder``, plain or compressed."""
    candidates = [f"{folder.rstrip('/')}/{name}{compression}" for name in names for compression in COMPRESSIONS]
    return next((address for address in candidates if exists(address)), None)


def need_file(folder: str, names: Sequence[str], published: str) -> str:
    """As ``find_file``. Errors: XlmrError that says where the file is published when none of ``names`` is there."""
    found = find_file(folder, names)
    if found is None:
        raise XlmrError(
            f"{folder.rstrip('/')}/{names[0]}: no such file",
            f"nothing is fetched for you; it is published in {published}",
        )
    return found


def languages_asked(settings: TaskSettings, split: str) -> tuple[str, ...]:
    """The languages of ``split`` that were asked for; empty is all."""
    asked: tuple[str, ...] = getattr(settings, f"{split}_languages")
    return asked


def split_files(
    settings: TaskSettings,
    split: str,
    names: Mapping[str, Sequence[str]],
    published: str | Mapping[str, str],
) -> dict[str, str]:
    """Language -> its file; ``names`` says for each language what it may be called in the folder.

    What was asked for must be there; if nothing was, all that is there. Errors: XlmrError.
    """
    asked = languages_asked(settings, split)
    source = {lg: published if isinstance(published, str) else published.get(lg, "") for lg in names}
    if asked:
        ask_languages(settings.name, split, asked, list(names))
        return {lg: need_file(settings.folder, names[lg], source[lg]) for lg in asked}
    found = {lg: find_file(settings.folder, some) for lg, some in names.items()}
    there = {lg: file for lg, file in found.items() if file is not None}
    if not there:
        first = next(iter(names))
        need_file(settings.folder, names[first], source[first])
    return there


def folders_in(folder: str) -> list[str]:
    """The names of the folders in a folder, sorted; none if it is not there."""
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(folder)
    names = filesystem.ls(path, detail=False) if filesystem.isdir(path) else []
    return sorted(PurePosixPath(name).name for name in names if filesystem.isdir(name))


def languages_of(pattern: str) -> dict[str, str]:
    """Language -> address, of a pattern with ``{language}``; sorted by language.

    Errors: XlmrError when no file fits, or two files are of one language (plain and compressed).
    """
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(pattern)
    sign = re.escape("{language}")
    wanted = re.compile(
        re.escape(path).replace(sign, "(?P<language>[A-Za-z][A-Za-z0-9_-]*)", 1).replace(sign, "(?P=language)") + "$"
    )
    found: dict[str, str] = {}
    for name in sorted(filesystem.glob(path.replace("{language}", "*"))):
        if match := wanted.match(name):
            language = match["language"]
            address = pattern.replace("{language}", language)
            found[language] = address if is_local(pattern) else filesystem.unstrip_protocol(name)
    if not found:
        raise XlmrError(f"{pattern}: no such file", "{language} stands for the language in the name")
    return found


def read_text(address: str, encodings: Sequence[str] = UTF8) -> str:
    """The whole file, in the first of ``encodings`` that fits it. Errors: XlmrError naming the file."""
    import fsspec

    try:
        with fsspec.open(address, "rb", compression="infer") as handle:
            content: bytes = handle.read()
    except FileNotFoundError:
        raise XlmrError(f"{address}: no such file", "check the path") from None
    except (EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise XlmrError(f"{address}: not readable ({error})", "it must be whole, and compressed as named") from None
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError as error:
            fault = error
        except LookupError:
            raise XlmrError(f"{address}: there is no encoding {encoding!r}", "utf-8 and latin-1 are usual") from None
    row = content.count(b"\n", 0, fault.start) + 1
    raise XlmrError(f"{address}, row {row}: not {fault.encoding}", "name the file's encoding")


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """(row from 1, line). Only a line feed ends a line: texts hold U+0085 and U+2028, old files end in CR LF."""
    for row, line in enumerate(text.split("\n"), 1):
        yield row, line.removesuffix("\r")


def tab_rows(
    address: str,
    text: str,
    *,
    header: bool = True,
    quotes: bool = False,
    separator: str = "\t",
    short: list[int] | None = None,
) -> Iterator[tuple[int, Mapping[str, str]]]:
    """(row, its cells by column name) of a table; without a header columns are named 1, 2, …

    A quotation mark is a letter like others unless ``quotes``. A row with another number of cells is an error, but
    where ``short`` is given, rows with too few are left out and their numbers added to it. Errors: XlmrError.
    """
    names: list[str] = []
    cells_of = _quoted_rows(address, text, separator) if quotes else _plain_rows(text, separator)
    for row, cells in cells_of:
        if not names:
            names = cells if header else [str(number) for number in range(1, len(cells) + 1)]
            if header:
                continue
        if len(cells) != len(names):
            if short is not None and len(cells) < len(names):
                short.append(row)
                continue
            raise XlmrError(f"{address}, row {row}: {len(cells)} cells under {len(names)} columns", "mend the row")
        yield row, dict(zip(names, cells, strict=True))


def _plain_rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    blank: list[int] = []
    for row, line in lines_of(text):
        if not line:
            blank.append(row)  # at the end of a file they are nothing, between rows they are rows without cells
            continue
        yield from ((number, [""]) for number in blank)
        blank.clear()
        yield row, line.split(separator)


def _quoted_rows(address: str, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=separator, strict=True)
    start = 1
    try:
        for cells in reader:
            if cells and cells != [""]:
                yield start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        raise XlmrError(f"{address}, row {start}: {error}", "say quotes: false if quotation marks are text") from None


def json_rows(address: str, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(row, its object) of a file with a JSON object a line. Errors: XlmrError with file and row."""
    for row, line in lines_of(text):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as error:
            raise XlmrError(f"{address}, row {row}: not JSON ({error})", "mend the row") from None
        if not isinstance(values, dict):
            raise XlmrError(f"{address}, row {row}: not a JSON object", 'rows look like {"text": …, "label": …}')
        yield row, values


def cell(values: Mapping[str, Any], column: str, where: Where, *, empty: bool = False) -> str:
    """The text of a column. Errors: XlmrError where the row has no such column, or nothing in it unless ``empty``."""
    value = values.get(column)
    if empty and value == "":
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        found = ", ".join(name for name in values if name) or "nothing"
        raise XlmrError(f"{where}: column {column!r} has no text", f"the row has {found}")
    return value


def known_label(label: str, labels: Sequence[str], where: Where) -> str:
    """``label``, which must be one of ``labels``. Errors: XlmrError naming file and row."""
    if label not in labels:
        raise XlmrError(f"{where}: label {label!r} is not known", f"labels are {', '.join(labels)}")
    return label


def ask_languages(task: str, split: str, asked: Sequence[str], there: Sequence[str]) -> tuple[str, ...]:
    """The languages to read: those asked for, or all. Errors: XlmrError for one that the split does not have."""
    for language in asked:
        if language not in there:
            raise XlmrError(f"{task}: language {language!r} has no {split} data", f"there is {', '.join(there)}")
    return tuple(asked) or tuple(there)
