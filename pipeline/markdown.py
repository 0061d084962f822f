"""Markdown that stages write: tables, and the YAML head of a card of Hugging Face's hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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


def settings_table(settings: Iterable[tuple[str, str, str]]) -> str:
    """Settings as a table: name, value, description."""
    return markdown_table(("setting", "value", "what it is"), [(f"`{name}`", *rest) for name, *rest in settings])


def card_of(head: Mapping[str, Any], sections: Iterable[str]) -> str:
    """A card of the hub: its YAML head, then its headings and paragraphs."""
    return yaml_head(head) + "\n" + "\n\n".join(sections) + "\n"


def hub_languages(tags: Iterable[str]) -> list[str]:
    """What a head has as ``language``: the two or three letters that codes and BCP-47 tags begin with."""
    return sorted({tag.partition("_")[0].partition("-")[0] for tag in tags})


def yaml_head(values: Mapping[str, Any]) -> str:
    """The head of a card. Codes such as "no" are words of YAML 1.1: they are quoted."""
    import yaml

    return f"{FENCE}{yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)}{FENCE}"
