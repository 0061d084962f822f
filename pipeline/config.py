"""Configuration: pydantic sections, one a room, composed into one model; a YAML file is a complete run.

Order of precedence: defaults < YAML < environment (``XLMR_CORPUS__FETCH__CRAWL``) < command line
(``--corpus.fetch.crawl``). Unknown keys are errors that name the nearest known one. Names of settings may have dashes
on the command line and are of any case in the environment; a key of a table, as a language, is written as it is.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import UsageError

Model = TypeVar("Model", bound=BaseModel)

ENVIRONMENT_PREFIX = "XLMR_"


class Section(BaseModel):
    """A group of settings. Frozen, and closed: a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


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


def fingerprint(section: BaseModel) -> dict[str, Any]:
    """The settings that change the result, as plain JSON values."""
    values: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, Mapping) and extra.get("affects_result") is False:
            continue
        value = getattr(section, name)
        values[name] = fingerprint(value) if isinstance(value, BaseModel) else _plain(value)
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return fingerprint(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a nested mapping as (dotted name, value)."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{name}.")
        else:
            yield name, value


def load_config(model: type[Model], path: Path, overrides: Sequence[str] = ()) -> Model:
    """Read a YAML file, lay the environment and the command line over it, and check the whole.

    ``overrides`` are the words ``--section.field VALUE`` or ``--section.field=VALUE``; values are read as YAML.
    Errors: UsageError, one line that names the file, or where else it was said, and the nearest known name.
    """
    values = _read_yaml(path)
    origins: dict[tuple[str, ...], str] = {(): str(path)}
    for dotted, value in _environment():
        parts = spell(model, dotted, str.lower)
        _set(values, parts, value)
        origins[tuple(parts)] = "environment"
    for dotted, value in parse_overrides(overrides):
        parts = spell(model, dotted, lambda part: part.replace("-", "_"))
        _set(values, parts, value)
        origins[tuple(parts)] = "command line"
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UsageError(_explain(model, error, origins)) from None


class _Loader(yaml.SafeLoader):
    """YAML whose words are what people mean by them: 16:32 is a choice of shards, not 992; no is Norwegian.

    A setting that is true or false takes yes, no, on and off all the same.
    """


_TAG = "tag:yaml.org,2002:"
_NARROWER = {f"{_TAG}int": r"(?!.*:)", f"{_TAG}float": r"(?!.*:)", f"{_TAG}bool": r"(?=[tTfF])"}
"""What a word must be like besides, to be taken for a number or for true or false."""
_Loader.yaml_implicit_resolvers = {
    first: [(tag, re.compile(f"{_NARROWER.get(tag, '')}(?:{p.pattern})", p.flags)) for tag, p in found]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such configuration", "look in configs/") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        first_line = " ".join(str(error).split())
        raise UsageError(f"{path}: not readable as YAML ({first_line})") from None
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


def parse_overrides(words: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """(dotted name as it was written, value) for each ``--section.field VALUE`` or ``--section.field=VALUE``."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, text = word.partition("=")
        if not name.startswith("--") or "." not in name:
            raise UsageError(f"{word}: not understood", "settings are given as --section.field VALUE")
        if not equals:
            if not rest:
                raise UsageError(f"{word}: has no value", "settings are given as --section.field VALUE")
            text = rest.pop(0)
        yield name[2:], _value(text)


def spell(model: type[BaseModel], dotted: str, as_field: Callable[[str], str]) -> list[str]:
    """The parts of a dotted name, those that name a section's field through ``as_field``.

    Keys of tables are the person's own words and stay as they are: zh-Hans is no zh_Hans.
    """
    spelled: list[str] = []
    kind: Any = model
    for part in dotted.split("."):
        candidates = [kind, *get_args(kind)]
        table = next((c for c in candidates if get_origin(c) in (dict, Mapping)), None)
        if table is not None:
            kind = get_args(table)[1]
            spelled.append(part)
            continue
        section = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
        spelled.append(as_field(part))
        field = section.model_fields.get(spelled[-1]) if section else None
        kind = field.annotation if field else None
    return spelled


def _value(text: str) -> Any:
    if not text:  # an empty word, where YAML would read that nothing is said
        return text
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError:
        return text


def _set(values: dict[str, Any], parts: Sequence[str], value: Any) -> None:
    *parents, leaf = parts
    for parent in parents:
        child = values.setdefault(parent, {})
        if not isinstance(child, dict):
            child = values[parent] = {}
        values = child
    values[leaf] = value


def _explain(model: type[BaseModel], error: ValidationError, origins: Mapping[tuple[str, ...], str]) -> str:
    """One line; ``origins`` tells which settings were given elsewhere than in the file, which is the origin of ()."""
    first, *others = error.errors()
    location = [str(part) for part in first["loc"]]
    origin = next(origins[tuple(location[:n])] for n in range(len(location), -1, -1) if tuple(location[:n]) in origins)
    dotted = ".".join(location)
    more = f" (and {len(others)} more)" if others else ""
    if first["type"] == "extra_forbidden":
        known = _fields_at(model, location[:-1])
        near = difflib.get_close_matches(location[-1], known, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
        return f"{origin}: {dotted} is not a setting{more}; {hint}"
    is_section = bool(_fields_at(model, location))  # what was given is the whole of it then
    given = "" if first["type"] == "missing" or is_section else f", got {first['input']!r}"
    problem = first["msg"].removeprefix("Value error, ")
    return f"{origin}: {dotted}: {problem[0].lower()}{problem[1:]}{given}{more}"


def _fields_at(model: type[BaseModel], location: Sequence[str]) -> list[str]:
    for part in location:
        field = model.model_fields.get(part)
        if field is None:
            return []
        candidates = [field.annotation, *get_args(field.annotation)]
        nested = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not nested:
            return []
        model = nested[0]
    return list(model.model_fields)
