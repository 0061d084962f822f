"""What is said to the person beside a command's result: on stderr, not at all with ``--quiet``, in colour on terminals.

The result itself is printed to stdout. Errors are always printed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

QUIET = "XLMR_QUIET"
"""Set in the environment by ``--quiet``, so that processes that a command starts are quiet too."""

BOLD, RED = "1", "1;31"
"""Styles, as the numbers of a terminal's escape sequence."""


def be_quiet() -> None:
    """Say nothing but results and errors from now on, in this process and those that it starts."""
    os.environ[QUIET] = "1"


def is_quiet() -> bool:
    """Whether ``--quiet`` was given."""
    return os.environ.get(QUIET, "") not in {"", "0"}


def say(line: str, style: str = "") -> None:
    """Print a line about what is done, unless it is to be quiet."""
    if not is_quiet():
        print(styled(line, style, sys.stderr), file=sys.stderr, flush=True)


def styled(text: str, style: str, output: TextIO) -> str:
    """The text in a style where ``output`` is a terminal, plain elsewhere and where NO_COLOR is set."""
    if not style or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not output.isatty():
        return text
    return f"\x1b[{style}m{text}\x1b[0m"


def print_json(records: Iterable[Mapping[str, Any]]) -> None:
    """Print a result as one JSON object a line, as they come."""
    for record in records:
        print(json.dumps(record, ensure_ascii=False), flush=True)
