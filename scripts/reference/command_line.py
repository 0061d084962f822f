"""Every command with its parameters, from the parser of the command line."""

from __future__ import annotations

import re

from pipeline.cli import build_app
from pipeline.dag import Dag

EXIT_CODES = """
**Exit codes**: 0 done, 1 failed, 2 wrong usage or configuration.
An error is one line on stderr; `--debug` adds the traceback.
"""


def command_line_page() -> str:
    """All commands, those of packages included, in the order of the help."""
    text: str = build_app(Dag.default()).generate_docs(heading_level=1)
    _, rest = text.split("\n", 1)
    usage, rest = rest.split("## Table of Contents", 1)
    _, rest = re.split(r"\n(?=\*\*Commands\*\*)", rest, maxsplit=1)
    return f"# Command line\n{usage}{EXIT_CODES}\n{_with_anchors(rest)}"


def _with_anchors(text: str) -> str:
    """The generator links to ``#xlmr-corpus-fetch``: headings get these anchors where their own would differ."""
    return re.sub(
        r"^(#+) (xlmr(?: [\w-]+)*)$", lambda m: f"{m[1]} {m[2]} {{#{m[2].replace(' ', '-')}}}", text, flags=re.M
    )
