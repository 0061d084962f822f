"""What a user adds from outside, by an import string ``my.rules:no_dots`` or an entry point of a distribution.

A field that takes one is annotated with ``ImportString``, or with a ``Registry`` where it takes names of ours too. The
file that an import string leads to is then found in the settings (``source_files``), and its checksum is part of the
key of each stage that reads the setting. A file which that file imports is not.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import traceback
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from pipeline.config import Section, affects_result
from pipeline.errors import UsageError, XlmrError

_FORM = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_import_string(text: str) -> bool:
    """Whether it has the form ``module:name``."""
    return _FORM.fullmatch(text) is not None


@dataclass(frozen=True)
class Registry:
    """The names of one kind of thing, each with its import string; a user's import string is taken beside them.

    ``kind``   what it is, for messages: "masking strategy".
    ``names``  our names -> import strings.
    ``group``  entry points of this group in installed distributions are names too; '' where none are.

    As metadata of an ``Annotated[str, registry]`` it checks a setting, without importing anything.
    """

    kind: str
    names: Mapping[str, str] = field(default_factory=dict)
    group: str = ""

    def __hash__(self) -> int:
        return hash((self.kind, self.group))

    def known(self) -> list[str]:
        """The names that can be chosen now."""
        return [*self.names, *(name for name in _offered(self.group) if name not in self.names)]

    def check(self, name: str) -> str:
        """Errors: ValueError for what is neither a known name nor of the form ``module:name``."""
        if name in self.names or is_import_string(name) or name in _offered(self.group):
            return name
        choice = f"one of {', '.join(known)}, or " if (known := self.known()) else ""
        raise ValueError(f"{self.kind} should be {choice}an import string, as my.module:name")

    def import_string(self, name: str) -> str:
        """Where a chosen name leads to."""
        return self.names.get(name) or _offered(self.group).get(name, name)

    def is_own(self, name: str) -> bool:
        """Whether it is one of our names, whose changes raise the version of a stage instead."""
        return name in self.names

    def load(self, name: str) -> Any:
        """The object that a chosen name leads to. Errors: as ``load_plug_in``."""
        return load_plug_in(self.import_string(name))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))


ImportString = Annotated[str, Registry("it")]
"""A text ``module:name``."""


@cache
def _offered(group: str) -> dict[str, str]:
    """Name -> import string of the entry points of a group, as installed distributions offer them."""
    found = entry_points(group=group) if group else ()
    return {point.name: point.value for point in sorted(found, key=lambda point: point.name)}


def load_plug_in(import_string: str) -> Any:
    """The object that ``module:name`` names. Errors: UsageError; XlmrError where its module fails as it is imported."""
    module, _, name = import_string.partition(":")
    source_file(import_string)
    with calling(import_string):
        loaded = importlib.import_module(module)
    try:
        return getattr(loaded, name)
    except AttributeError:
        raise UsageError(f"{import_string}: {module} has no {name}", f"it is {loaded.__file__}") from None


def load_callable(import_string: str) -> Callable[..., Any]:
    """The function that ``module:name`` names; of a class, an instance, made without arguments.

    Errors: as ``load_plug_in``; XlmrError for what cannot be called.
    """
    loaded = load_plug_in(import_string)
    if inspect.isclass(loaded):
        with calling(import_string):
            loaded = loaded()
    if not callable(loaded):
        raise XlmrError(f"{import_string}: cannot be called", "name a function, or a class with __call__")
    function: Callable[..., Any] = loaded
    return function


def source_file(import_string: str) -> Path:
    """The file that holds the module, which is not imported. Errors: UsageError where Python finds none."""
    module = import_string.partition(":")[0]
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise UsageError(f"{import_string}: Python finds no module {module}", "put the folder it is in on PYTHONPATH")
    if not found.has_location or found.origin is None:
        raise UsageError(f"{import_string}: {module} has no file", "name a module that is a file")
    return Path(found.origin)


@contextmanager
def calling(import_string: str) -> Iterator[None]:
    """What a user's code raises in the block is one line that names it and the line of its file.

    Errors: XlmrError, from the exception, so that ``--debug`` shows the whole traceback.
    """
    try:
        yield
    except (XlmrError, KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except Exception as error:
        raise XlmrError(f"{import_string}: {type(error).__name__}: {error}{_place(import_string, error)}") from error


def _place(import_string: str, error: Exception) -> str:
    if isinstance(error, SyntaxError):
        return ""
    origin = str(source_file(import_string))
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == origin]
    return f" ({origin}, line {lines[-1]})" if lines else ""


def source_files(section: BaseModel) -> dict[Path, str]:
    """File -> dotted setting, for each import string of a user's among the live settings that can change a result."""
    return {source_file(string): name for name, string in _user_strings(section, frozenset())}


def _user_strings(section: BaseModel, inert: Collection[str]) -> Iterator[tuple[str, str]]:
    inert = {*inert, *(section.inert() if isinstance(section, Section) else ())}
    for name, info in type(section).model_fields.items():
        if name in inert or not affects_result(info):
            continue
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            below = {other.removeprefix(f"{name}.") for other in inert if other.startswith(f"{name}.")}
            yield from ((f"{name}.{inner}", string) for inner, string in _user_strings(value, below))
        for registry in _registries(info.annotation, info.metadata):
            yield from ((name, registry.import_string(one)) for one in _texts(value) if not registry.is_own(one))


def _registries(kind: Any, metadata: Sequence[Any] = ()) -> Iterator[Registry]:
    """The registries that the texts within a type are checked by."""
    yield from (mark for mark in metadata if isinstance(mark, Registry))
    if typing.get_origin(kind) is Annotated:
        yield from _registries(kind.__origin__, kind.__metadata__)
    else:
        for inner in typing.get_args(kind):
            yield from _registries(inner)


def choices(kind: Any, metadata: Sequence[Any] = ()) -> list[str] | None:
    """The names that a setting of this type can be chosen from; None where it takes no import string."""
    registry = next(_registries(kind, metadata), None)
    return registry.known() if registry else None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _texts(inner)


PACKAGES_VARIABLE = "XLMR_PACKAGES"
PACKAGES_GROUP = "xlmr.packages"


def outside_packages() -> list[str]:
    """Import strings of the packages that a user adds: of XLMR_PACKAGES, by commas, and of installed distributions.

    ``mine`` is short for ``mine.stages:PACKAGE``. Errors: UsageError for a word that is no name of a module.
    """
    named = [word.strip() for word in os.environ.get(PACKAGES_VARIABLE, "").split(",") if word.strip()]
    strings = [word if ":" in word else f"{word}.stages:PACKAGE" for word in named]
    for word, string in zip(named, strings, strict=True):
        if not is_import_string(string):
            raise UsageError(
                f"{PACKAGES_VARIABLE}: {word} is no name of a package", "write mine, or mine.stages:PACKAGE"
            )
    return list(dict.fromkeys([*strings, *_offered(PACKAGES_GROUP).values()]))
