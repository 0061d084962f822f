"""Finding a task's files: where each may lie, and its language. What is missing is one line that names it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from finetune.data.content import COMPRESSIONS
from finetune.data.settings import TaskSettings
from pipeline.errors import XlmrError
from pipeline.storage import is_local

Files = dict[str, dict[str, str]]
"""Split (train, dev, test) -> language -> address."""


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


def ask_languages(task: str, split: str, asked: Sequence[str], there: Sequence[str]) -> tuple[str, ...]:
    """The languages to read: those asked for, or all. Errors: XlmrError for one that the split does not have."""
    for language in asked:
        if language not in there:
            raise XlmrError(f"{task}: language {language!r} has no {split} data", f"there is {', '.join(there)}")
    return tuple(asked) or tuple(there)
