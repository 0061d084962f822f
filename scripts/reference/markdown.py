"""Docstrings and tables as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar within a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def first_sentence(docstring: str | None) -> str:
    """What stands before the first blank line, as Markdown on one line."""
    return inline(" ".join((docstring or "").partition("\n\n")[0].split()))


def inline(text: str) -> str:
    """Names in double backticks as Markdown's code; brackets outside code as text."""
    parts = re.split(r"(``.+?``|`[^`]+`)", text)
    return "".join(f"`{part.strip('`')}`" if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


def from_docstring(docstring: str | None) -> str:
    """A docstring as Markdown: paragraphs, lists of ````name``  meaning``, examples as blocks of Python."""
    blocks = re.split(r"\n\s*\n", inspect.cleandoc(docstring or ""))
    return "\n\n".join(_block(block) for block in blocks if block.strip())


def _block(block: str) -> str:
    lines = block.splitlines()
    if lines[0].startswith(">>>"):
        return "```python\n" + block + "\n```"
    entry = re.compile(r"(``.+?``(?:, ``.+?``)*)\s{2,}(.*)")
    written: list[str] = []
    for line in lines:
        if match := entry.fullmatch(line):
            if written and not written[-1].startswith(("- ", "  ")):
                written.append("")
            written.append(f"- {inline(match[1])}: {inline(match[2])}")
        elif line.startswith("  ") and written and written[-1].startswith(("- ", "  ")):
            written.append(f"  {inline(line.strip())}")
        else:
            written.append(inline(line))
    return "\n".join(written)
