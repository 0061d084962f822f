"""Every message that a person may get, read from the source: what is wrong, and what to do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from scripts.reference.markdown import table

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pipeline", "corpus", "tokenizer", "pretrain", "finetune", "flows")
KINDS = {"XlmrError": "1", "UsageError": "2"}
"""Class of the error -> exit code."""

OPENING = """# Errors

Each message as xlmr prints it after `xlmr: `. What stands in braces is filled in: a file, a setting, a number.
The search of the browser finds a message by its fixed words.
"""


def errors_page() -> str:
    """The messages by package and folder, those that have the same words once."""
    written = [OPENING]
    for package in PACKAGES:
        found = dict.fromkeys(message for path in sorted((ROOT / package).rglob("*.py")) for message in messages(path))
        rows = [(f"`` {problem} ``", f"`` {fix} ``" if fix else "", code) for problem, fix, code in found]
        if rows:
            written.append(f"\n## {package}\n\n" + table(("what is wrong", "what to do", "exit code"), rows))
    return "".join(written)


def messages(path: Path) -> Iterator[tuple[str, str, str]]:
    """(problem, fix, exit code) of each error that a module raises with words of its own."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS and node.args):
            continue
        words = [_words(argument) for argument in node.args[:2]]
        if words[0] is not None:
            yield words[0], (words[1] if len(words) > 1 else "") or "", KINDS[node.func.id]


def _words(node: ast.expr) -> str | None:
    """The text of an argument; None where it has no fixed words."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if not isinstance(node, ast.JoinedStr):
        return None
    shown = "".join(str(one.value) if isinstance(one, ast.Constant) else _hole(one) for one in node.values)
    return shown if any(isinstance(one, ast.Constant) and str(one.value).strip(" :;,") for one in node.values) else None


def _hole(node: ast.expr) -> str:
    """What is filled in, by the last name in it: ``{path}`` for ``self.path``."""
    names = [one.attr if isinstance(one, ast.Attribute) else one.id for one in ast.walk(node)
             if isinstance(one, ast.Attribute | ast.Name)]  # fmt: skip
    return f"{{{names[0].strip('_') if names else '…'}}}"
