"""The composition root: which rooms there are, and the one DAG and the one configuration they make together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from pydantic import create_model

from pipeline.config import Section, load_config, setting
from pipeline.errors import UsageError
from pipeline.run_settings import RunConfig
from pipeline.stage import Room, Stage, load_object

ROOMS = ("corpus.stages:ROOM", "tokenizer.stages:ROOM", "pretrain.stages:ROOM", "finetune.stages:ROOM")
"""Adding a room is one line here."""


class ReportConfig(Section):
    """The report has no settings yet that change it: it shows what the stages made."""


class Dag:
    """Rooms, joined: stages in topological order, the whole configuration, and the report at the end."""

    def __init__(self, rooms: Iterable[Room]) -> None:
        self.rooms = tuple(rooms)
        stages = [stage for room in self.rooms for stage in room.stages]
        stages.append(_report_stage(stages))
        by_name = {stage.name: stage for stage in stages}
        graph = {stage.name: stage.inputs for stage in stages}
        unknown = {name for inputs in graph.values() for name in inputs} - set(by_name)
        if unknown:
            raise ValueError(f"inputs that no room offers: {sorted(unknown)}")
        self.stages: dict[str, Stage] = {name: by_name[name] for name in TopologicalSorter(graph).static_order()}

    @classmethod
    def of_house(cls) -> Dag:
        """The DAG of all rooms of this house."""
        return cls(load_object(name) for name in ROOMS)

    @cached_property
    def config_model(self) -> type[Section]:
        """The model of a complete YAML file: ``run`` and one section a room."""
        sections: dict[str, Any] = {"run": (RunConfig, RunConfig())}
        for room in self.rooms:
            sections[room.name] = (room.config, setting(default_factory=room.config, description=room.name))
        return create_model("RunFile", __base__=Section, **sections)

    def load_config(self, path: Path, overrides: Sequence[str] = ()) -> Section:
        """The checked configuration of a YAML file with its overrides."""
        return load_config(self.config_model, path, overrides)

    def stage_config(self, stage: Stage, config: Section) -> Section:
        """The settings that ``stage`` reads, out of the whole configuration."""
        return stage.config_from(getattr(config, stage.room, ReportConfig()))

    def for_config(self, config: Section) -> Dag:
        """The same DAG without the arrows that these settings make needless (``Stage.needs``)."""
        found = copy(self)
        found.stages = {
            name: replace(stage, inputs=stage.needs(self.stage_config(stage, config))) if stage.needs else stage
            for name, stage in self.stages.items()
        }
        return found

    def select(self, words: str) -> list[str]:
        """The stages that a name means: a stage, or a room for all its stages. Errors: UsageError, nearest name."""
        if words in self.stages:
            return [words]
        of_room = [name for name, stage in self.stages.items() if stage.room == words]
        if not of_room:
            raise UsageError(f"{words}: no such stage", f"stages are {', '.join(self.stages)}, or a room's name")
        return of_room

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
        run="pipeline.report:run",
        summary="one HTML page about the whole run",
        inputs=tuple(stage.name for stage in stages),
        extra="report",
    )
