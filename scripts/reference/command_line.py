"""Every command with its parameters, from the parser of the command line."""

from __future__ import annotations

import re
from textwrap import dedent

from cyclopts import App

from pipeline.cli import build_app
from pipeline.dag import Dag

EXIT_CODES = """
**Exit codes**: 0 done, 1 failed, 2 wrong usage or configuration.
An error is one line on stderr; `--debug` adds the traceback.
"""


def command_line_page() -> str:
    """All commands, those of packages included, in the order of the help, with the examples of their help pages."""
    app = build_app(Dag.default())
    text: str = app.generate_docs(heading_level=1)
    _, rest = text.split("\n", 1)
    usage, rest = rest.split("## Table of Contents", 1)
    _, rest = re.split(r"\n(?=\*\*Commands\*\*)", rest, maxsplit=1)
    overview, *sections = re.split(r"^(?=#+ xlmr)", rest, flags=re.MULTILINE)
    return f"# Command line\n{usage}{EXIT_CODES}\n{overview}" + "".join(_section(app, section) for section in sections)


def _section(app: App, section: str) -> str:
    """One command. The generator links to ``#xlmr-corpus-fetch``, so its heading has this anchor."""
    heading, rest = section.split("\n", 1)
    level, *words = heading.split()
    for word in words[1:]:
        app = app[word]
    anchor = "-".join(words)
    written = f"{level} {' '.join(words)} {{#{anchor}}}\n{_with_brackets(rest).rstrip()}\n\n"
    examples = (app.help_epilogue or "").partition("Examples:\n")[2].partition("\n\n")[0]
    if not examples:
        return written
    return f"{written}**Examples**:\n\n```sh\n{dedent(examples)}\n```\n\n"


def _with_brackets(text: str) -> str:
    """What stands in angle brackets is text, not HTML, outside of code."""
    return re.sub(r"<(?=\w+>)", "&lt;", text)
