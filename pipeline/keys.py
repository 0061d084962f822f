"""Which settings count for a stage's key: those that can change its result and differ from their default.

Section -> a nested mapping without the settings of what is switched off (``Section.inert``), those that never change a
result (``affects_result=False``), and those at their default. So a setting that a later version adds changes no key,
and a default that a later version changes has to raise the stage's version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipeline.config import Section, affects_result, fingerprint, flatten, plain

FORMAT = 2
"""Part of every key. 1 counted settings at their default, and those of what is switched off."""


def key_settings(section: BaseModel) -> dict[str, Any]:
    """The live settings that differ from their default, as plain JSON values; sections without any are left out."""
    return _counted(section, frozenset(section.inert() if isinstance(section, Section) else ()))


def live_settings(section: BaseModel) -> dict[str, Any]:
    """All settings that can change the result as they are set, those at their default too, by dotted name."""
    inert = frozenset(section.inert() if isinstance(section, Section) else ())
    return dict(flatten(_counted(section, inert, with_defaults=True)))


def live_settings_of(values: Mapping[str, Any], model: type[Section]) -> dict[str, Any]:
    """The same of the settings in a manifest, under the names that they have now; all of them if the model changed."""
    values = _with_new_names(values, model, {})
    section = _as_section(values, model)
    return live_settings(section) if section else dict(flatten(values))


def changed_settings(before: Mapping[str, Any], section: Section) -> Iterator[str]:
    """What differs between an earlier fingerprint and the settings now, a line each; nothing that is inert."""
    names: dict[str, str] = {}
    before = _with_new_names(before, type(section), names)
    now, then = fingerprint(section), _as_section(before, type(section))
    counted = dict(flatten(key_settings(section))), dict(flatten(key_settings(then) if then else before))
    old, new = dict(flatten(before)), dict(flatten(now))
    if then is not None:  # settings that the earlier version did not know had their defaults
        old = dict(flatten(fingerprint(then)))
    for name in sorted(counted[0].keys() | counted[1].keys()):
        if name not in new:
            yield f"{name} is gone"
        elif name not in old:
            yield f"{name} is new"
        elif counted[0].get(name, new[name]) != counted[1].get(name, old[name]):
            yield f"{name} {old[name]} → {new[name]}"
        elif name in names:
            yield f"{names[name]} has the name {name} now"


def _with_new_names(
    values: Mapping[str, Any], model: type[BaseModel], names: dict[str, str], old_prefix: str = "", prefix: str = ""
) -> dict[str, Any]:
    """The values by the names that their settings have now; ``names`` gets new dotted name -> old dotted name."""
    renamed = model.renamed if issubclass(model, Section) else {}
    found: dict[str, Any] = {}
    for old, value in values.items():
        name = renamed.get(old, old)
        kind = field.annotation if (field := model.model_fields.get(name)) else None
        if name != old:
            names[f"{prefix}{name}"] = f"{old_prefix}{old}"
        if isinstance(value, Mapping) and isinstance(kind, type) and issubclass(kind, BaseModel):
            found[name] = _with_new_names(value, kind, names, f"{old_prefix}{old}.", f"{prefix}{name}.")
        else:
            found[name] = value
    return found


def _counted(section: BaseModel, inert: frozenset[str], *, with_defaults: bool = False) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        if name in inert or not affects_result(field):
            continue
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            own = value.inert() if isinstance(value, Section) else ()
            inner = _counted(value, frozenset((*own, *_below(name, inert))), with_defaults=with_defaults)
            if inner:
                values[name] = inner
        elif (shown := plain(value)) != _default(field) or with_defaults:
            values[name] = shown
    return values


def _below(name: str, dotted: Iterable[str]) -> Iterator[str]:
    start = f"{name}."
    return (inner.removeprefix(start) for inner in dotted if inner.startswith(start))


def _default(field: FieldInfo) -> Any:
    default = field.get_default(call_default_factory=True, validated_data={})
    return default if default is PydanticUndefined else plain(default)


def _as_section(values: Mapping[str, Any], model: type[Section]) -> Section | None:
    """The section that had these settings; None where they are not those of ``model`` any more."""
    sections: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        try:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                sections[name] = kind.model_validate(values.get(name, {}))
            elif name in values:
                sections[name] = values[name]
        except ValueError:
            return None
    return model.model_construct(**sections)
