"""The packages of corpus.language: docs/architecture.md lists them in an order, and imports follow it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "corpus.language."
FOLDER = ROOT / "corpus" / "language"
MODULES = [path for path in sorted(FOLDER.rglob("*.py")) if path.name != "__init__.py"]


def rows() -> dict[str, int]:
    """``settings.py``, ``models/`` -> the row of the table that names it."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("| in `corpus/language/` | content |\n| --- | --- |\n")[2].partition("\n\n")[0]
    firsts = [line.split(" | ")[0] for line in table.splitlines()]
    return {name: number for number, first in enumerate(firsts) for name in re.findall(r"`([\w./]+)`", first)}


def place(path: str) -> str:
    """The name in the table of a module whose path in the folder is given."""
    first, below, _ = path.partition("/")
    return first + below


def imported(code: str) -> Iterator[str]:
    """The names in the table of what a module imports, at its top or in a function."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.startswith(PACKAGE):
                first = name.removeprefix(PACKAGE).partition(".")[0]
                yield f"{first}/" if (FOLDER / first).is_dir() else f"{first}.py"


def wrong(path: str, code: str) -> list[str]:
    """What a module imports from the rows below its own."""
    order, own = rows(), place(path)
    allowed = {name for name, row in order.items() if row < order[own] or (row == order[own] and name.endswith(".py"))}
    return sorted(set(imported(code)) - allowed - {own})


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_module_imports_what_the_table_has_above_it(path: Path) -> None:
    assert wrong(path.relative_to(FOLDER).as_posix(), path.read_text(encoding="utf-8")) == []


def test_the_table_names_all_that_is_there() -> None:
    assert rows().keys() == {place(path.relative_to(FOLDER).as_posix()) for path in MODULES}


def test_an_import_from_below_is_found() -> None:
    code = "import corpus.language.tools\n\ndef f():\n    from corpus.language import identifier\n"
    assert wrong("models/cld2.py", code) == ["identifier.py", "tools.py"]
    assert wrong("tools.py", code) == []
    assert wrong("models/cld2.py", "from corpus.language.models.fast_text import FastText\n") == []
