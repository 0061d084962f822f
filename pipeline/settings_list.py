"""Every setting with its type, default, range, description and source: as text, as a page of Markdown, as JSON schema.

configuration model -> a flat list of settings. ``xlmr settings`` prints it; docs/settings.md is its Markdown.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import AfterValidator, BaseModel, WrapValidator
from pydantic.fields import FieldInfo

from pipeline.config import TakesAddress, affects_result, local_path, plain
from pipeline.errors import UsageError
from pipeline.plug_ins import choices

_NAMES = {bool: "true or false", int: "integer", float: "number", str: "text", Any: "any"}
_BOUNDS = ((Ge, "ge", "≥ {}"), (Gt, "gt", "> {}"), (Le, "le", "≤ {}"), (Lt, "lt", "< {}"))


@dataclass(frozen=True)
class SettingDescription:
    """One setting. ``counts``: another value makes the stages that read it stale."""

    name: str
    type: str
    default: str
    range: str
    description: str
    source: str
    counts: bool


@dataclass(frozen=True)
class SettingGroup:
    """A section of the configuration, by its dotted name, and the settings that stand in it itself."""

    name: str
    summary: str
    settings: tuple[SettingDescription, ...]


def list_settings(model: type[BaseModel], prefix: str = "") -> list[SettingGroup]:
    """The sections in the order of the configuration, those within one after it.

    Errors: UsageError where ``prefix`` is no section or setting.
    """
    found = [
        SettingGroup(group.name, group.summary, tuple(s for s in group.settings if _is_in(s.name, prefix)))
        for group in _groups(model, "", counts=True)
    ]
    found = [group for group in found if group.settings]
    if not found:
        names = [name for group in _groups(model, "", counts=True) for name in (group.name, *_names_in(group))]
        nearest = difflib.get_close_matches(prefix, names, 1)
        fix = f"did you mean {nearest[0]}?" if nearest else f"sections are {', '.join(model.model_fields)}"
        raise UsageError(f"{prefix}: no such section or setting", fix)
    return found


def _names_in(group: SettingGroup) -> list[str]:
    return [setting.name for setting in group.settings]


def as_text(groups: list[SettingGroup]) -> Iterator[str]:
    """Lines for a terminal."""
    for group in groups:
        yield f"{group.name}: {group.summary}"
        for one in group.settings:
            bounds = f", {one.range}" if one.range else ""
            yield f"  {one.name}  ({one.type}{bounds}) = {one.default}"
            yield f"      {one.description}"
            yield f"      source: {one.source}{'' if one.counts else '; makes nothing stale'}"
        yield ""


def as_markdown(groups: list[SettingGroup]) -> Iterator[str]:
    """Lines of a page."""
    yield "# Settings"
    yield ""
    yield (
        "Written by `xlmr settings --markdown`. A setting of the YAML file can be given as `--section.field VALUE` or "
        "as `XLMR_SECTION__FIELD` in the environment. **Key** says whether another value makes the stages that read "
        "the setting stale; a setting of what is switched off makes nothing stale. `xlmr settings --json-schema` "
        "prints the JSON schema of a whole file, for editors."
    )
    yield ""
    yield (
        "A `path` is one on this machine; an address as `s3://…` is refused. A `path or address` may lie anywhere that "
        "fsspec reads: at object storage, at a server; but `run.directory` only where objects can be written."
    )
    for group in groups:
        yield f"\n## {group.name}\n\n{group.summary}\n"
        yield "| setting | type | default | description | source | key |"
        yield "| --- | --- | --- | --- | --- | --- |"
        for one in group.settings:
            kind = f"{one.type}, {one.range}" if one.range else one.type
            name = one.name.removeprefix(f"{group.name}.")
            cells = (f"`{name}`", kind, f"`{one.default}`", one.description, one.source, "yes" if one.counts else "no")
            yield f"| {' | '.join(map(_cell, cells))} |"


def _groups(model: type[BaseModel], name: str, *, counts: bool) -> Iterator[SettingGroup]:
    summary = " ".join((model.__doc__ or "").partition("\n\n")[0].split())
    inner, settings = [], []
    for field_name, field in model.model_fields.items():
        dotted = f"{name}.{field_name}" if name else field_name
        counted = counts and affects_result(field)
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            inner.append((kind, dotted, counted))
        else:
            settings.append(_describe(dotted, field, counted))
    yield SettingGroup(name or "run", summary, tuple(settings))
    for kind, dotted, counted in inner:
        yield from _groups(kind, dotted, counts=counted)


def _describe(name: str, field: FieldInfo, counts: bool) -> SettingDescription:
    extra = field.json_schema_extra
    source = str(extra.get("source", "")) if isinstance(extra, dict) else ""
    default = plain(field.get_default(call_default_factory=True, validated_data={}))
    counted = counts and not name.startswith("run.")
    shown = _yaml(default)
    return SettingDescription(
        name, _type(field.annotation, field.metadata), shown, _range(field), field.description or "", source, counted
    )


def _type(kind: Any, metadata: Sequence[Any] = ()) -> str:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _type(inner[0], kind.__metadata__)
    if named := _path_type(kind, metadata):
        return named
    if kind is str and (names := choices(kind, metadata)) is not None:
        return " or ".join([*([f"one of {', '.join(names)}"] if names else []), "module:name"])
    if origin in (Union, UnionType):
        names = [_type(one) for one in inner if one is not type(None)]
        return " or ".join([*names, *(["null"] if type(None) in inner else [])])
    if origin is Literal:
        return f"one of {', '.join(_yaml(value) for value in inner)}"
    if origin in (tuple, list):
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return f"table of {_type(inner[1])} by {_type(inner[0])}"
    return _NAMES.get(kind, getattr(kind, "__name__", str(kind)))


def _path_type(kind: Any, metadata: Sequence[Any]) -> str:
    """What a setting that names files takes; empty for another."""
    if kind is Path:
        return "path or address" if any(isinstance(one, WrapValidator) for one in metadata) else "path"
    if kind is str and any(isinstance(one, TakesAddress) for one in metadata):
        return "path or address"
    is_local = kind is str and any(isinstance(one, AfterValidator) and one.func is local_path for one in metadata)
    return "path" if is_local else ""


def _range(field: FieldInfo) -> str:
    found = []
    for constraint in field.metadata:
        found += [
            text.format(_yaml(getattr(constraint, name)))
            for kind, name, text in _BOUNDS
            if isinstance(constraint, kind)
        ]
        if isinstance(constraint, MinLen):
            found.append(f"at least {constraint.min_length}")
        if pattern := getattr(constraint, "pattern", None):
            found.append(f"as {pattern}")
    return ", ".join(found)


def _yaml(value: Any) -> str:
    """A value as it is written in the YAML file."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value or "''"
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_yaml(item)}' for key, item in value.items())}}}"
    return str(value)


def _is_in(name: str, prefix: str) -> bool:
    return not prefix or name == prefix or name.startswith(f"{prefix}.")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;") if "`" not in text else text.replace("|", "\\|")
