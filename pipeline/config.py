"""Configuration: pydantic sections, one a package, composed into one model; a YAML file is a complete run.

Order of precedence: defaults < YAML < environment (``XLMR_CORPUS__FETCH__CRAWL``) < command line
(``--corpus.fetch.crawl``). Unknown keys are errors that name the nearest known one. Names of settings may have dashes
on the command line and are of any case in the environment; a key of a table, as a language, is written as it is.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo

from pipeline.errors import UsageError
from pipeline.formatting import shown
from pipeline.secrets import find_secret, redact_option
from pipeline.store.path import is_stored
from pipeline.yaml_text import YamlError, read_yaml

Model = TypeVar("Model", bound=BaseModel)

ENVIRONMENT_PREFIX = "XLMR_"

LONGEST_TEXT = 4096
"""Bytes of a text: the longest path that Linux takes."""
LONGEST_NAME = 255
"""Bytes of one name in a path. Source: the limit of ext4, XFS and NTFS."""
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]+:/")
"""How an address begins; pathlib has made one slash of two."""


class Section(BaseModel):
    """A group of settings. Frozen, and closed: a key that it does not know is an error.

    Numbers are finite. A text has no NUL, is UTF-8 and no longer than a path may be; ``~/`` at its start is the home
    folder. A setting of type Path takes no address (``s3://…``).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    renamed: ClassVar[Mapping[str, str]] = {}
    """Earlier name of a setting -> its name now; the earlier one is an error that says the new one."""

    @field_validator("*")
    @classmethod
    def _check_texts(cls, value: Any) -> Any:
        return _checked(value)

    def inert(self) -> Collection[str]:
        """Fields that change nothing with these settings, because they belong to what is switched off.

        Names of fields, or dotted names of fields within them. They are left out of the keys of stages.
        """
        return ()


def _checked(value: Any) -> Any:
    """The value, whose texts and paths are such that the system can take them. Errors: ValueError."""
    if isinstance(value, str):
        return _checked_text(value)
    if is_stored(value):
        return value  # its setting takes addresses
    if isinstance(value, Path):
        return Path(local_path(_checked_text(str(value))))
    if isinstance(value, dict):
        return {_checked(key): _checked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_checked, value))
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("number should be under 2^63")
    return value


def _checked_text(text: str) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("text should be UTF-8") from None
    if "\0" in text:
        raise ValueError("text should have no NUL character")
    if size > LONGEST_TEXT:
        raise ValueError(f"text should have at most {LONGEST_TEXT:,} bytes, not {size:,}")
    return _at_home(text)


def _at_home(text: str) -> str:
    return os.path.expanduser(text) if text.startswith("~/") else text  # noqa: PTH111 - a Path would lose a final slash


def local_path(path: str) -> str:
    """A path on this machine, ``~/`` written out. Errors: ValueError for an address and what no file system takes."""
    if _ADDRESS.match(path) or "::" in path:
        raise ValueError("a path on this machine is meant, no address: copy or mount what is there")
    path = _at_home(path)
    if path.startswith("~"):
        raise ValueError("only ~/ is understood, the own home folder: write the whole path")
    if any(len(name.encode()) > LONGEST_NAME for name in path.split("/")):
        raise ValueError(f"a name in a path should have at most {LONGEST_NAME} bytes")
    return path


LocalPath = Annotated[str, AfterValidator(local_path)]
"""A text that names a file or folder on this machine, and nothing at an address."""


class TakesAddress:
    """The mark of a text that names files of this machine or at any address that fsspec reads."""


FileAddress = Annotated[str, TakesAddress()]
"""A path or pattern on this machine, or an address; the settings' reference says so."""
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""Of a generator of random numbers: what NumPy, PyTorch and SentencePiece all take."""


def setting(
    default: Any = ...,
    description: str = "",
    *,
    source: str = "our choice",
    affects_result: bool = True,
    **bounds: Any,
) -> Any:
    """A field with its description and where its value comes from (paper, cc_net, our choice).

    ``affects_result=False`` keeps it out of the stage's key: workers, intervals, log levels.
    """
    extra: dict[str, Any] = {"source": source, "affects_result": affects_result}
    return Field(default, description=description, json_schema_extra=extra, **bounds)


def affects_result(field: FieldInfo) -> bool:
    """Whether a setting can change the result of the stages that read it."""
    extra = field.json_schema_extra
    return not (isinstance(extra, Mapping) and extra.get("affects_result") is False)


def fingerprint(section: BaseModel) -> dict[str, Any]:
    """The settings that change the result, as plain JSON values."""
    values: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        if not affects_result(field):
            continue
        value = getattr(section, name)
        values[name] = fingerprint(value) if isinstance(value, BaseModel) else plain(value)
    return values


def plain(value: Any) -> Any:
    """The value as JSON has it: sections and tables as mappings, paths as text."""
    if isinstance(value, BaseModel):
        return fingerprint(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a nested mapping as (dotted name, value)."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{name}.")
        else:
            yield name, value


def load_config(model: type[Model], path: Path, words: Sequence[str] = ()) -> Model:
    """Read a YAML file, lay the environment and the command line over it, and check the whole.

    ``words`` are ``--section.field VALUE`` or ``--section.field=VALUE``; values are read as YAML.
    Errors: UsageError, one line that names the file, or where else it was said, and the nearest known name.
    """
    values = _read_yaml(path)
    origins: dict[tuple[str, ...], str] = {(): str(path)}
    for dotted, value in _environment():
        names = spell(model, dotted, str.lower)
        _note_origin(origins, values, names, "environment")
        _set(values, names, _as_list(model, names, value))
    for names, value in overrides(model, words):
        _note_origin(origins, values, names, "command line")
        _set(values, names, value)
    _refuse_secrets(values, origins)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UsageError(_explain(model, error, origins)) from None


def read_section(model: type[Model], path: Path) -> Model:
    """A YAML file that is no configuration of a run, checked. Errors: UsageError, one line that names the file."""
    values = _read_yaml(path)
    _refuse_secrets(values, {(): str(path)})
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UsageError(_explain(model, error, {(): str(path)})) from None


def _refuse_secrets(values: Mapping[str, Any], origins: Mapping[tuple[str, ...], str]) -> None:
    """Errors: UsageError for a setting that holds a secret; the line does not repeat its value."""
    for names, instead in find_secret(values):
        raise UsageError(
            f"{_origin(names, origins)}: {_plain('.'.join(names))}: holds a secret, and settings are stored and shown",
            f"take it out, and set in the environment (with Prefect: from a Secret block) {instead}",
        )


def _note_origin(origins: dict[tuple[str, ...], str], values: Any, names: Sequence[str], origin: str) -> None:
    """Note where the setting at ``names`` is given, and each section above it that ``values`` does not have yet."""
    for n, name in enumerate(names, 1):
        values = values.get(name) if isinstance(values, dict) else None
        if values is None or n == len(names):
            origins[tuple(names[:n])] = origin


def _origin(names: Sequence[str], origins: Mapping[tuple[str, ...], str]) -> str:
    """Where the setting at ``names`` was given."""
    return next(origins[tuple(names[:n])] for n in range(len(names), -1, -1) if tuple(names[:n]) in origins)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        loaded = read_yaml(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such configuration", "look in configs/") from None
    except (YamlError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not readable as YAML ({error})", "correct the file") from None
    except IsADirectoryError:
        raise UsageError(f"{path}: is a folder", "name a YAML file, as configs/demo.yaml") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise UsageError(f"{path}: holds no sections", "write 'section:' and its settings under it")
    return loaded


def _environment() -> Iterator[tuple[str, Any]]:
    for name, text in sorted(os.environ.items()):
        if name.startswith(ENVIRONMENT_PREFIX) and "__" in name:
            yield name.removeprefix(ENVIRONMENT_PREFIX).replace("__", "."), _value(text)


def overrides(model: type[BaseModel], words: Sequence[str]) -> Iterator[tuple[list[str], Any]]:
    """(parts of the setting's name, value) for each setting among the words of a command."""
    for dotted, value in parse_overrides(words):
        names = spell(model, dotted, lambda word: word.replace("-", "_"))
        yield names, _as_list(model, names, value)


class UnknownOptionError(UsageError):
    """A word that is neither an option of the command nor a setting."""

    def __init__(self, word: str, fix: str = "settings are given as --section.field VALUE") -> None:
        self.word = word
        super().__init__(f"{redact_option(word)}: not understood", fix)

    def with_nearest(self, options: Collection[str]) -> UnknownOptionError:
        """The same error; where an option of the command is much like the word, its fix names it."""
        names = {option.lstrip("-"): option for option in options}  # two words are not alike for their dashes
        nearest = difflib.get_close_matches(self.word.partition("=")[0].lstrip("-"), names, 1)
        return UnknownOptionError(self.word, f"did you mean {names[nearest[0]]}?") if nearest else self


def parse_overrides(words: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """(dotted name as it was written, value) for each ``--section.field VALUE`` or ``--section.field=VALUE``."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, text = word.partition("=")
        if not name.startswith("--") or "." not in name:
            raise UnknownOptionError(word)
        if not equals:
            if not rest:
                raise UsageError(f"{word}: has no value", "settings are given as --section.field VALUE")
            text = rest.pop(0)
        yield name[2:], _value(text)


def spell(model: type[BaseModel], dotted: str, as_field: Callable[[str], str]) -> list[str]:
    """The names of a dotted name, those that name a section's field through ``as_field``.

    Keys of tables are the person's own words and stay as they are: zh-Hans is no zh_Hans.
    """
    spelled: list[str] = []
    kind: Any = model
    for name in dotted.split("."):
        spelled.append(name if _table_of(kind) else as_field(name))
        kind = _kind_below(kind, spelled[-1])
    return spelled


def _table_of(kind: Any) -> Any:
    """The table (dict) that a value of this type may be, or None."""
    return next((c for c in (kind, *get_args(kind)) if get_origin(c) in (dict, Mapping)), None)


def _kind_below(kind: Any, name: str) -> Any:
    """The type of what ``name`` names in a table or section of type ``kind``; None where it names nothing."""
    if table := _table_of(kind):
        return get_args(table)[1]
    candidates = (kind, *get_args(kind))
    section = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
    field = section.model_fields.get(name) if section else None
    return field.annotation if field else None


def _as_list(model: type[BaseModel], names: Sequence[str], value: Any) -> Any:
    """A single word where the setting at ``names`` takes a list: ``my,gu`` and ``my`` are lists of words.

    What YAML made a list already stays as it is, and so does an empty word, which is no value of a list.
    """
    kind: Any = model
    for name in names:
        kind = _kind_below(kind, name)
    takes_list = any(get_origin(c) in (list, tuple) for c in (kind, *get_args(kind)))
    if not takes_list or value is None or isinstance(value, list | dict):
        return value
    return [_value(word.strip()) for word in value.split(",") if word.strip()] if isinstance(value, str) else [value]


def _value(text: str) -> Any:
    if not text:  # an empty word, where YAML would read that nothing is said
        return text
    try:
        return read_yaml(text)
    except YamlError:
        return text


def _set(values: dict[str, Any], names: Sequence[str], value: Any) -> None:
    *parents, leaf = names
    for parent in parents:
        child = values.setdefault(parent, {})
        if not isinstance(child, dict):
            child = values[parent] = {}
        values = child
    values[leaf] = value


def _explain(model: type[BaseModel], error: ValidationError, origins: Mapping[tuple[str, ...], str]) -> str:
    """One line; ``origins`` tells which settings were given elsewhere than in the file, which is the origin of ()."""
    errors = [(_setting_at(model, found["loc"]), found) for found in error.errors()]
    location, first = errors[0]
    messages = dict.fromkeys(found["msg"].removeprefix("Value error, ") for where, found in errors if where == location)
    others = len({tuple(where) for where, _ in errors}) - 1
    origin = _origin(location, origins)
    dotted = _plain(".".join(location))
    more = f" (and {others} more)" if others else ""
    if first["type"] == "extra_forbidden":
        section = _section_at(model, location[:-1])
        if section is not None and (name := section.renamed.get(location[-1])):
            return f"{origin}: {dotted} is not a setting any more{more}; its name is {name} now"
        known = list(section.model_fields) if section else []
        near = difflib.get_close_matches(location[-1], known, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
        return f"{origin}: {dotted} is not a setting{more}; {hint}"
    is_section = _section_at(model, location) is not None  # what was given is the whole of it then
    given = "" if first["type"] == "missing" or is_section else f", got {shown(first['input'])}"
    problem = " or ".join(f"{message[0].lower()}{message[1:]}" for message in messages)
    return f"{origin}: {dotted}: {problem}{given}{more}"


def _setting_at(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The name at an error's location, which has a part more where a setting takes values of several types."""
    names = [str(one) for one in location]
    for place, name in enumerate(names[:-1]):
        section = _section_at(model, names[:place])
        field = section.model_fields.get(name) if section else None
        types = set(get_args(field.annotation)) - {NoneType} if field else set()
        if len(types) > 1 and field and get_origin(field.annotation) in (Union, UnionType):
            return names[: place + 1] + names[place + 2 :]
    return names


def _plain(name: str) -> str:
    """A person's name for a setting as it fits into a line: no line break, not too long."""
    return (name if name.isprintable() else repr(name)[1:-1])[:LONGEST_NAME]


def _section_at(model: type[BaseModel], location: Sequence[str]) -> type[Section] | None:
    """The section that a dotted name leads to; None where it leads to a setting or nowhere."""
    for name in location:
        field = model.model_fields.get(name)
        candidates = (field.annotation, *get_args(field.annotation)) if field else ()
        nested = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not nested:
            return None
        model = nested[0]
    return model if issubclass(model, Section) else None
