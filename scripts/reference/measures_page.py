"""The numbers by which runs are compared, and those of metrics.jsonl."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from pipeline.dag import Dag
from scripts.reference.markdown import inline, table

OPENING = """# Metrics

Names of the numbers that `xlmr report A B`, studies and their files use: stage and name, as
`pretrain.train.validation_loss`. Where a number is known of each language, the comparison shows it by language too.
What stands in braces is filled in: a stage, an initialisation, a baseline, a metric.
"""


def measures_page() -> str:
    """The measures of each package, in the order of its module."""
    written = [OPENING]
    for package in Dag.default().packages:
        if package.measures:
            module = import_module(package.measures.partition(":")[0])
            summary = inline((module.__doc__ or "").strip())
            written.append(f"\n## {package.name}\n\n{summary}\n\n" + table(("name", "is"), measures_in(module)))
    return "".join(written)


def measures_in(module: ModuleType) -> Iterator[tuple[str, str]]:
    """(name, title) of each Measure that a module makes."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        named = sorted(_named_texts(function))
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Measure":
                known = {name: text for line, name, text in named if line <= call.lineno}
                stage, name, title = (_text(module, argument, known) for argument in call.args[:3])
                yield f"`{stage}.{name}`", title


def _named_texts(function: ast.FunctionDef) -> Iterator[tuple[int, str, str]]:
    """(line, name, text) of each text that is given a name in a function."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from (
                (node.lineno, one.id, node.value.value)
                for one in ast.iter_child_nodes(node)
                if isinstance(one, ast.Name)
            )


def _text(module: ModuleType, node: ast.expr, known: dict[str, str]) -> str:
    """The text that an expression stands for; what is only known at run time in braces."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(module, one, known) for one in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(module, node.value, known)
    if isinstance(node, ast.Name):
        value = known.get(node.id, getattr(module, node.id, None))
        return value if isinstance(value, str) else f"{{{node.id}}}"
    return "{…}"
