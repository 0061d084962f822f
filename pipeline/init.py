"""``xlmr init``: writes a commented configuration for one's own files.

First settings that each package offers, answers from options or from a terminal -> a YAML file that loads.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import Section, overrides
from pipeline.dag import Dag
from pipeline.errors import UsageError
from pipeline.settings_list import list_settings
from pipeline.stage import FirstSetting

OF_RUN = (
    FirstSetting("run.project", "", None, "Name of the run?", "project"),
    FirstSetting("run.directory", "", "runs", "Folder of all runs?", "directory"),
    FirstSetting("run.until", "", "corpus", "Stage or package that the run ends with?", "until"),
)
WIDTH = 100


def first_settings(dag: Dag, until: str) -> list[FirstSetting]:
    """The settings of the core, and those of each package whose stages run. Errors: UsageError for an unknown stage."""
    runs = dag.ancestors(dag.select(until)) if until else set(dag.stages)
    offered = (first for package in dag.packages for first in package.first)
    return [*OF_RUN, *(first for first in offered if first.stage in runs)]


def write_configuration(dag: Dag, path: Path, words: Sequence[str], ask: Callable[[str], str] | None) -> None:
    """Write the file. ``words`` are options, ``ask`` puts a question to the person (None: nobody to ask).

    Errors: UsageError where a file is there already, an answer is missing, or the configuration is wrong.
    """
    if path.exists():
        raise UsageError(f"{path}: is there already", "name another file, or remove it")
    given = dict(_read(dag.config_model, _full_names(dag, words)))
    new = _Answers(dag, path, given, ask)
    if ask:
        new.check({})  # no answer could make up for a wrong option
    new.take(OF_RUN)
    until = str(new.values["run.until"] or "")
    new.take(first_settings(dag, until)[len(OF_RUN) :])
    offered = [first.name for first in first_settings(dag, until) if first.name in new.values]
    text = _text(dag.config_model, {name: new.values[name] for name in dict.fromkeys([*offered, *new.values])}, path)
    with _loaded(dag, path, text) as draft:
        draft.rename(path)


def _full_names(dag: Dag, words: Sequence[str]) -> list[str]:
    """``--crawl X`` as ``--corpus.fetch.crawl X``; whole names of settings are left as they are."""
    flags = {first.flag: first.name for first in first_settings(dag, "") if first.flag}
    found = []
    for word in words:
        flag, equals, rest = word.removeprefix("--").partition("=")
        known = flags.get(flag.replace("_", "-")) if word.startswith("--") else None
        found.append(f"--{known}{equals}{rest}" if known else word)
    return found


def _read(model: type[Section], words: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for names, value in overrides(model, words):
        yield ".".join(names), value


@dataclass
class _Answers:
    """The settings of the new file: those that are given, the person's answers, and what is offered."""

    dag: Dag
    path: Path
    values: dict[str, Any]
    ask: Callable[[str], str] | None

    def take(self, firsts: Sequence[FirstSetting]) -> None:
        """Add what was not given. Errors: UsageError for what has no value, where nobody is there to ask."""
        for first in firsts:
            if first.name in self.values:
                continue
            if first.derive:
                self.values[first.name] = first.derive(self.values)
                continue
            default = self.path.stem if first.name == "run.project" else first.value
            if self.ask and first.question:
                self.values |= self._answer(self.ask, first, default)
            elif default is None and first.question:
                raise UsageError(f"--{first.flag} is not given: {first.question}", f"add --{first.flag} …")
            else:
                self.values[first.name] = default

    def _answer(self, ask: Callable[[str], str], first: FirstSetting, default: Any) -> dict[str, Any]:
        """What the person says; asked again after an answer that the configuration does not take."""
        prompt = f"{first.question} [{_yaml(default)}] " if default is not None else f"{first.question} "
        problem = ""
        while True:
            said = ask(f"{problem}{prompt}")
            if not said and default is None:
                problem = "an answer is needed\n"
                continue
            try:
                answer = {first.name: default}
                if said:
                    answer = dict(_read(self.dag.config_model, [f"--{first.name}={said}"]))
                self.check(answer)
            except UsageError as error:
                problem = f"{error}\n"
            else:
                return answer

    def check(self, answer: dict[str, Any]) -> None:
        """Errors: UsageError for an answer that does not go with the settings before it, whatever is said later."""
        values = self.values | answer
        if until := values.get("run.until"):
            self.dag.select(str(until))
        offered = (one for one in first_settings(self.dag, "") if one.derive and one.name not in values)
        derived = {one.name: one.derive(values) for one in offered if one.derive}
        with _loaded(self.dag, self.path, _text(self.dag.config_model, values | derived, self.path)):
            pass


def _text(model: type[Section], values: dict[str, Any], path: Path) -> str:
    descriptions = {one.name: one.description for group in list_settings(model) for one in group.settings}
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *sections, last = name.split(".")
        inner = tree
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = value
    head = (
        f"# Written by xlmr init. What would run: xlmr plan {path}",
        f"# Run: xlmr run {path}",
        "# Every other setting has its default; xlmr settings SECTION lists them. Relative paths are of the folder in",
        "# which xlmr is started.",
    )
    return "\n".join([*head, *_lines(tree, descriptions, ""), ""])


def _lines(tree: dict[str, Any], descriptions: dict[str, str], name: str) -> Iterator[str]:
    indent = "  " * name.count(".") + ("  " if name else "")
    for key, value in tree.items():
        dotted = f"{name}.{key}" if name else key
        if isinstance(value, dict) and value and dotted not in descriptions:
            if not name:
                yield ""
            yield f"{indent}{key}:"
            yield from _lines(value, descriptions, dotted)
        else:
            comment = f"{indent}# "
            yield from textwrap.wrap(
                descriptions.get(dotted, ""), WIDTH, initial_indent=comment, subsequent_indent=comment
            )
            yield f"{indent}{key}: {_yaml(value)}"


def _yaml(value: Any) -> str:
    shown: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return shown.removesuffix("\n").removesuffix("\n...")


@contextmanager
def _loaded(dag: Dag, path: Path, text: str) -> Iterator[Path]:
    """A draft of the file beside it, in the block only. Errors: UsageError where it does not load."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        draft.write_text(text, encoding="utf-8")
        dag.load_config(draft)
        yield draft
    except UsageError as error:
        raise UsageError(error.problem.replace(str(draft), str(path)), error.fix) from None
    finally:
        draft.unlink(missing_ok=True)
