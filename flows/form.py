"""What the form of a flow asks for, and the configuration that its answers amount to.

A run file is chosen from ``configs/`` (``XLMR_CONFIGS`` names another folder). Settings are given as on the command
line and are checked, with the same one-line errors, before anything starts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.config import Section
from pipeline.dag import Dag
from pipeline.errors import UsageError
from pipeline.run_settings import PROJECT_NAME
from pipeline.secrets import SECRET_WORDS

STUDIES = "studies"
"""Run files of this folder are parts of a study, no runs by themselves."""


@cache
def dag() -> Dag:
    """The DAG of all packages."""
    return Dag.default()


def folder_of_configurations() -> Path:
    """Where the run files are that a form offers."""
    return Path(os.environ.get("XLMR_CONFIGS", "configs"))


def run_files(folder: Path) -> list[str]:
    """Their names as a form shows them: ``demo``, ``finetune/mlqa``. Errors: UsageError if there is none."""
    found = [path.relative_to(folder).with_suffix("") for path in [*folder.glob("*.yaml"), *folder.glob("*/*.yaml")]]
    names = sorted(name.as_posix() for name in found if name.parts[0] != STUDIES)
    if not names:
        raise UsageError(f"{folder}: no run file is there", "start where configs/ is, or set XLMR_CONFIGS")
    return names


def _choice(name: str, values: Iterable[str]) -> type[StrEnum]:
    return StrEnum(name, [(value, value) for value in values])  # type: ignore[return-value]


if TYPE_CHECKING:

    class Configuration(StrEnum):
        """A run file."""
else:
    Configuration = _choice("Configuration", run_files(folder_of_configurations()))


@cache
def stage_choice(flow: str) -> type[StrEnum]:
    """The stages that the form of a flow offers: those of its package, and all stages for ``full``."""
    package = flow in {stage.package for stage in dag().stages.values()}
    return _choice(f"{flow.capitalize()}Stage", dag().select(flow) if package else dag().stages)


SECRET_IN_FORM = "a password, token or key: docs/flows.md, Secrets, says where it belongs"
Override = Annotated[str, Field(json_schema_extra={"not": {"description": SECRET_IN_FORM, "pattern": SECRET_WORDS}})]
"""A setting of a form. The server stores parameters before a run begins, so it refuses a secret by this pattern. The
form's message repeats the whole of what is not allowed, by name: the description first.
"""

Project = Annotated[str, Field(json_schema_extra={"pattern": f"{PROJECT_NAME}|^$"})]
"""The name of a run, or nothing."""


def resolve(configuration: str, project: str, overrides: Sequence[str]) -> Section:
    """The whole checked configuration. Errors: UsageError, one line, for what is wrong with a setting or its value."""
    path = folder_of_configurations() / f"{configuration}.yaml"
    lines = [line for field in overrides for line in field.splitlines()]
    words = [word for line in lines for word in words_of(line)]
    if project:
        words.append(f"--run.project={project}")
    return dag().load_config(path, words)


def one_a_line(words: Sequence[str]) -> list[str]:
    """The settings among a command's words, as ``overrides`` of a flow has them."""
    rest = list(words)
    lines = []
    while rest:
        word = rest.pop(0)
        lines.append(f"{word} {rest.pop(0)}" if "=" not in word and rest else word)
    return lines


def words_of(line: str) -> list[str]:
    """One setting as the command line takes it; ``section.field = VALUE`` needs no dashes in a form."""
    line = re.sub(r"^\s*([^\s=]+)\s*=\s*", r"\1=", line).strip()
    if not line:
        return []
    name, *value = line.split(maxsplit=1) if "=" not in line.split(maxsplit=1)[0] else [line]
    return [name if name.startswith("--") else f"--{name}", *value]
