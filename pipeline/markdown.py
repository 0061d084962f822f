"""Markdown that stages write: tables, and the YAML head of a card of Hugging Face's hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

FENCE = "---\n"
"""Before and after a head."""


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table; columns of numbers stand at the right. Cells stay one line of text, whatever is in them."""
    numeric = [all(isinstance(row[n], int | float | None) for row in rows) for n in range(len(headers))]
    lines = [headers, ["--:" if number else "---" for number in numeric], *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:,}" if isinstance(value, int | float) else str(value)
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def yaml_head(values: Mapping[str, Any]) -> str:
    """The head of a card. Codes such as "no" are words of YAML 1.1: they are quoted."""
    import yaml

    return f"{FENCE}{yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)}{FENCE}"
