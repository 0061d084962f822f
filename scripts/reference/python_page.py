"""Every public function and class of each package: signature and docstring."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from typing import Any

from scripts.reference.markdown import from_docstring

PACKAGES = ("corpus", "tokenizer", "pretrain", "finetune", "pipeline")

OPENING = """# Python: functions and classes

What each package offers from its top level. [Python](../python.md) introduces them with examples.
"""


def python_page() -> str:
    """The functions, then the classes with their methods, of each package."""
    return OPENING + "".join(_package(name) for name in PACKAGES)


def _package(name: str) -> str:
    package = import_module(name)
    return f"\n## {name}\n" + "".join(_object(f"{name}.{one}", getattr(package, one)) for one in package.__all__)


def _object(name: str, value: Any) -> str:
    written = f"\n### {name}\n\n```python\n{_signature(name, value)}\n```\n\n{from_docstring(inspect.getdoc(value))}\n"
    if inspect.isclass(value):
        written += "".join(_member(name, member, of) for member, of in _members(value))
    return written


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """Its own public methods, properties and constants, in the order in which they are written; its fields are in the
    signature.
    """
    left_out = {*getattr(kind, "__dataclass_fields__", ()), "model_config"}
    for name, value in vars(kind).items():
        if not name.startswith("_") and name not in left_out:
            yield name, value.__func__ if isinstance(value, classmethod | staticmethod) else value


def _member(owner: str, name: str, value: Any) -> str:
    signature = f"{name} = {value!r}"
    if inspect.isfunction(value):
        signature = _signature(name, value)
    elif isinstance(value, property | cached_property):
        signature = name
    described = from_docstring(value.__doc__) if signature == name or inspect.isfunction(value) else ""
    return f"\n#### {owner.rpartition('.')[2]}.{name}\n\n```python\n{signature}\n```\n\n{described}\n"


def _signature(name: str, value: Any) -> str:
    signature = inspect.signature(value)
    parameters = list(_with_marks([one for one in signature.parameters.values() if one.name not in {"self", "cls"}]))
    returned = signature.return_annotation
    kind = "" if returned is inspect.Signature.empty or inspect.isclass(value) else f" -> {_annotation(returned)}"
    short = f"{name}({', '.join(parameters)}){kind}"
    if len(short) <= 90:
        return short
    lines = "".join(f"    {one},\n" for one in parameters)
    return f"{name}(\n{lines}){kind}"


def _annotation(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _with_marks(parameters: list[inspect.Parameter]) -> Iterator[str]:
    """The parameters as they are written; a star stands before those that are given by name alone."""
    starred = False
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        starred = starred or one.kind is one.VAR_POSITIONAL
        mark = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
        typed = "" if one.annotation is one.empty else f": {_annotation(one.annotation)}"
        yield mark + one.name + typed + ("" if one.default is one.empty else f" = {one.default!r}")
