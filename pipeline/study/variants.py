"""The variants of a study: every named one at every point of the grid, each as a complete, checked configuration.

Beside it: which of their stages are the same, known without any file from outside being there.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import Section, flatten, plain
from pipeline.dag import Dag
from pipeline.errors import UsageError, XlmrError
from pipeline.keys import key_settings
from pipeline.storage import canonical_json
from pipeline.study.study_file import VARIANT, StudyFile


@dataclass(frozen=True)
class StudyVariant:
    """One run of the study. ``label`` is the series of its named variant; '' where the study has only a grid."""

    name: str
    label: str
    config: Section

    def value_of(self, what: str) -> float | str:
        """Of a setting, what stands on an axis: a number, the length of a list, or text; of ``variant`` the label."""
        if what == VARIANT:
            return self.label
        value: Any = self.config
        for name in what.split("."):
            value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
        value = plain(value)
        if isinstance(value, list):
            return float(len(value))
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def variants_of(dag: Dag, study: StudyFile, path: Path, words: Sequence[str] = ()) -> list[StudyVariant]:
    """All variants in the order of the file. ``words`` are settings of the command line, laid over each.

    Errors: UsageError that names file and variant, for a setting that is none or that two variants have alike.
    """
    found: list[StudyVariant] = []
    for name, label, settings in _combinations(study):
        merged = {**study.settings, **settings}
        try:
            config = dag.load_config(study.base, [*_as_words(merged), *words])
        except UsageError as error:
            problem = error.problem.removeprefix("command line: ")
            raise UsageError(f"{path}: variant {name}: {problem}", error.fix) from None
        found.append(StudyVariant(name, label, config))
    _check_axes(found, study, path)
    return found


def _combinations(study: StudyFile) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(name, label, settings) of each variant."""
    points = list(itertools.product(*study.grid.values()))
    for named in study.variants or [None]:
        for point in points:
            settings = dict(named.settings) if named else {}
            words = [named.name] if named else []
            for names, value in zip(study.grid, point, strict=True):
                each = [name.strip() for name in names.split(",")]
                settings |= dict.fromkeys(each, value)
                words.append(f"{each[0].rpartition('.')[2]} {_shown(value)}")
            yield ", ".join(words), (named.series or named.name) if named else "", settings


def _shown(value: Any) -> str:
    return str(len(value)) if isinstance(value, list) else str(value)


def _as_words(settings: Mapping[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        yield f"--{name}={json.dumps(value, ensure_ascii=False)}"


def _check_axes(found: Sequence[StudyVariant], study: StudyFile, path: Path) -> None:
    known = dict(flatten(found[0].config.model_dump())).keys()
    for what in (study.figure.x, study.figure.series, *(measured.x for measured in study.measured)):
        if "." in what and what not in known:
            raise UsageError(f"{path}: figure: {what} is not a setting", "xlmr settings lists them")
        if what and "." not in what and what not in (VARIANT, "language"):
            raise UsageError(f"{path}: figure: {what!r} is no axis", "name a setting, variant or language")
    names = [variant.name for variant in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"{path}: two variants are called {twice}", "give the lists of a grid other lengths, or names")


def identities(dag: Dag, config: Section, targets: Sequence[str]) -> dict[str, str]:
    """Stage -> what it will be made from, as a digest: equal ones are one output, whatever outside files hold.

    Of the stages that lead to ``targets``, in the order of running. A stage's key has checksums of outside files in
    it; this has their addresses, so that it is known before they are there.
    """
    needed = dag.for_config(config)
    wanted = needed.ancestors(name for target in targets for name in needed.select(target))
    found: dict[str, str] = {}
    for name, stage in needed.stages.items():
        if name in wanted:
            settings = needed.stage_config(stage, config)
            try:
                outside = sorted(stage.outside(settings))
            except XlmrError:  # they are listed from files that are not there
                outside = []
            above = [found[source] for source in stage.inputs]
            described = canonical_json([name, stage.version, key_settings(settings), above, outside])
            found[name] = hashlib.sha256(described.encode()).hexdigest()
    return found
