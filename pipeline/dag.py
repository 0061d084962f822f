"""The composition root: which packages there are, and the one DAG and the one configuration they make together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from difflib import get_close_matches
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from pydantic import create_model

from pipeline.config import Section, load_config, setting
from pipeline.errors import UsageError
from pipeline.plug_ins import load_plug_in, outside_packages
from pipeline.run_settings import RunConfig
from pipeline.stage import Package, Stage, load_object

PACKAGES = ("corpus.stages:PACKAGE", "tokenizer.stages:PACKAGE", "pretrain.stages:PACKAGE", "finetune.stages:PACKAGE")
"""Adding a package of ours is one line here."""


class ReportConfig(Section):
    """The report has no settings yet that change it: it shows what the stages made."""


class Dag:
    """Packages, joined: stages in topological order, the whole configuration, and the report at the end."""

    def __init__(self, packages: Iterable[Package]) -> None:
        self.packages = tuple(packages)
        names = [package.name for package in self.packages]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UsageError(f"{twice}: two packages have this name", "give one of them another")
        stages = [stage for package in self.packages for stage in package.stages]
        stages.append(_report_stage(stages))
        by_name = {stage.name: stage for stage in stages}
        graph = {stage.name: stage.inputs for stage in stages}
        unknown = {name for inputs in graph.values() for name in inputs} - set(by_name)
        if unknown:
            raise ValueError(f"inputs that no package offers: {sorted(unknown)}")
        self.stages: dict[str, Stage] = {name: by_name[name] for name in TopologicalSorter(graph).static_order()}

    @classmethod
    def default(cls) -> Dag:
        """The DAG of all packages of this project, and of those that a user adds (pipeline/plug_ins.py).

        Errors: UsageError where one of the user's is not there, or has the name of another.
        """
        return cls([*map(load_object, PACKAGES), *map(_load_outside, outside_packages())])

    @cached_property
    def config_model(self) -> type[Section]:
        """The model of a complete YAML file: ``run`` and one section a package."""
        sections: dict[str, Any] = {"run": (RunConfig, RunConfig())}
        for package in self.packages:
            sections[package.name] = (package.config, setting(default_factory=package.config, description=package.name))
        return create_model("RunFile", __base__=Section, **sections)

    def load_config(self, path: Path, overrides: Sequence[str] = ()) -> Section:
        """The checked configuration of a YAML file with its overrides."""
        return load_config(self.config_model, path, overrides)

    def stage_config(self, stage: Stage, config: Section) -> Section:
        """The settings that ``stage`` reads, out of the whole configuration."""
        return stage.config_from(getattr(config, stage.package, ReportConfig()))

    def for_config(self, config: Section) -> Dag:
        """The same DAG without the arrows that these settings make needless (``Stage.needs``)."""
        found = copy(self)
        found.stages = {
            name: replace(stage, inputs=stage.needs(self.stage_config(stage, config))) if stage.needs else stage
            for name, stage in self.stages.items()
        }
        return found

    def select(self, words: str) -> list[str]:
        """The stages that a name means: a stage, or a package for all its stages. Errors: UsageError, nearest name."""
        if words in self.stages:
            return [words]
        of_package = [name for name, stage in self.stages.items() if stage.package == words]
        if not of_package:
            names = [*self.stages, *dict.fromkeys(stage.package for stage in self.stages.values())]
            near = get_close_matches(words, names, 1)
            known = f"stages are {', '.join(self.stages)}, or a package's name"
            raise UsageError(f"{words}: no such stage", f"did you mean {near[0]}?" if near else known)
        return of_package

    def ancestors(self, names: Iterable[str]) -> set[str]:
        """``names`` and everything that they are made from."""
        return _closure(names, {name: stage.inputs for name, stage in self.stages.items()})

    def descendants(self, names: Iterable[str]) -> set[str]:
        """``names`` and everything made from them."""
        below: dict[str, list[str]] = {name: [] for name in self.stages}
        for name, stage in self.stages.items():
            for source in stage.inputs:
                below[source].append(name)
        return _closure(names, below)


def _load_outside(import_string: str) -> Package:
    """A user's package; the source of its stages counts in their keys."""
    found = load_plug_in(import_string)
    if not isinstance(found, Package):
        raise UsageError(f"{import_string}: is no Package", "offer a pipeline.stage.Package under this name")
    return replace(found, stages=tuple(replace(stage, counts_source=True) for stage in found.stages))


def _closure(names: Iterable[str], arrows: Mapping[str, Iterable[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(arrows[name])
    return found


def _report_stage(stages: Sequence[Stage]) -> Stage:
    return Stage(
        name="report",
        version=2,
        config=ReportConfig,
        run="pipeline.report.page:run",
        summary="one HTML page about the whole run",
        inputs=tuple(stage.name for stage in stages),
        extra="report",
    )
