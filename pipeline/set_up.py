"""The commands that are used before a first run: ``xlmr init`` and ``xlmr doctor``. Imports nothing heavy."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from pipeline.dag import Dag
from pipeline.errors import UsageError, XlmrError
from pipeline.options import Json, Settings
from pipeline.terminal import print_json


def set_up_commands(dag: Dag) -> dict[str, Callable[..., None]]:
    """Command name -> function."""
    return {"init": _init(dag), "doctor": _doctor(dag)}


def _init(dag: Dag) -> Callable[..., None]:
    def init(config: Path, *settings: Settings) -> None:
        from pipeline.init import write_configuration

        write_configuration(dag, config, settings, _ask if sys.stdin.isatty() else None)
        print(config)

    init.__doc__ = f"""Write a commented configuration for files of your own. On a terminal, what is not given is asked.

        Options, beside every setting of the YAML file:
        {_options(dag)}

        Parameters
        ----------
        config
            The YAML file to write; it must not exist.
        """
    return init


def _ask(question: str) -> str:
    try:
        return input(question).strip()
    except EOFError:
        raise UsageError("the input ended before the last question", "give the answers as options") from None


def _options(dag: Dag) -> str:
    from pipeline.init import first_settings

    offered = [first for first in first_settings(dag, "") if first.flag]
    return "; ".join(f"--{first.flag} ({first.name})" for first in offered)


def _doctor(dag: Dag) -> Callable[..., None]:
    def doctor(folder: Path = Path(), *, as_json: Json = False) -> None:
        """Say what this machine has for xlmr, what is missing, and how to fix it. Exit code 1 if something is missing.

        A line begins with ok, missing, or absent: what only some commands need.

        Parameters
        ----------
        folder
            Where runs will be written; the free space there is checked.
        as_json
            A JSON object for each line.
        """
        from dataclasses import asdict

        from pipeline.doctor import examine

        if not folder.is_dir():
            raise XlmrError(f"{folder}: no such folder", "make it, or name another")
        found = examine(dag.packages, folder)
        if as_json:
            print_json(map(asdict, found))
        else:
            width = max(len(finding.name) for finding in found)
            for finding in found:
                print(finding.line(width))
        missing = [finding.name for finding in found if finding.state == "missing"]
        if missing:
            raise XlmrError(f"missing: {', '.join(missing)}", "the lines above say how to fix it")

    return doctor


def describe(import_string: str) -> str:
    """What a tool's docstring says before its parameters, read without importing what the tool needs."""
    module, _, name = import_string.partition(":")
    found = find_spec(module)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(import_string)
    tree = ast.parse(Path(found.origin).read_text("utf-8"))
    (tool,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    return (ast.get_docstring(tool) or "").partition("\n\nParameters\n")[0]
