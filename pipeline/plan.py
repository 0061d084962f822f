"""Freshness: what would run, and why. Decided from keys and files alone, and always explained.

key = sha256(name, version, live settings that differ from their default, keys of inputs, checksums of outside files)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial, reduce
from pathlib import Path, PurePosixPath
from typing import Any, cast

from pipeline.config import Section
from pipeline.dag import Dag
from pipeline.errors import UnreachableError, UsageError, XlmrError
from pipeline.formatting import counted
from pipeline.json_file import DamagedFileError
from pipeline.keys import FORMAT, changed_settings, key_settings
from pipeline.manifest import Manifest, read_manifest, usable_manifest
from pipeline.plug_ins import source_file, source_files
from pipeline.run_settings import project_folder, run_settings
from pipeline.shards import MARKS
from pipeline.stage import Stage
from pipeline.storage import ChecksumCache, canonical_json, expand

KEY_LENGTH = 8

BEGUN = "another run has begun it"
"""Why an output without a manifest is made: that run was interrupted, or shares the stage's shards with this one."""


class State(StrEnum):
    """Whether a stage has to run."""

    FRESH = "fresh"
    MISSING = "missing"
    STALE = "stale"


@dataclass
class StagePlan:
    """One stage as it stands: its key, where its output is or will be, its state and the reasons for it."""

    stage: Stage
    config: Section
    key: str
    output: Path
    outside: dict[str, str]
    input_keys: dict[str, str]
    state: State
    reasons: list[str] = field(default_factory=list)
    manifest: Manifest | None = None
    faults: dict[Path, str] = field(default_factory=dict)

    @property
    def fresh(self) -> bool:
        """Nothing to do."""
        return self.state is State.FRESH

    def line(self) -> str:
        """The state and the reasons, as ``xlmr plan`` says them."""
        if self.fresh:
            return "fresh"
        return f"{self.state} because {'; '.join(self.reasons)}" if self.reasons else str(self.state)


Plan = dict[str, StagePlan]


def make_plan(
    dag: Dag,
    config: Section,
    *,
    verify: bool = False,
    force: Collection[str] = (),
    only: Collection[str] | None = None,
    left_out: dict[str, XlmrError] | None = None,
) -> Plan:
    """The state of every stage, in the order of running.

    ``verify``  read every file again and compare checksums, instead of trusting size and modification time.
    ``force``   stages that are to run whatever their state.
    ``only``    plan these and what they are made from; other stages are left out.
    ``left_out``  gets the stages that cannot be planned for want of a file from outside, and what is made from them,
                with the error of the first. Without it the error is raised.
    """
    dag = dag.for_config(config)
    project = project_folder(config)
    wanted = dag.ancestors(only) if only is not None else set(dag.stages)
    plan: Plan = {}
    with ChecksumCache(project / ".checksums.json") as checksums:
        for name, stage in dag.stages.items():
            if name not in wanted:
                continue
            settings = dag.stage_config(stage, config)
            try:
                other_way = partial(_other_way, dag, run_settings(config).until, stage, settings)
                outside = _outside_checksums(stage, settings, checksums, verify, other_way)
            except XlmrError as error:
                if left_out is None or isinstance(error, UsageError):
                    raise
                left_out[name] = error
                continue
            if left_out and (above := next((source for source in stage.inputs if source in left_out), None)):
                left_out[name] = left_out[above]
                continue
            plan[name] = _plan_stage(stage, settings, outside, plan, project, verify, name in force)
    return plan


def _other_way(dag: Dag, until: str, stage: Stage, settings: Section, setting_name: str) -> str:
    """What to say to who has not named the file: the last stage of the run may not need this one."""
    *path, field_name = setting_name.split(".")
    section = reduce(lambda found, name: getattr(found, name, None), path, cast(Any, settings))
    if not until or field_name in getattr(section, "model_fields_set", (field_name,)):
        return ""
    for last in (dag.stages[name] for name in dag.select(until)):
        if last.instead and last.package != stage.package and stage.name in dag.ancestors([last.name]):
            return f", or give {last.instead}: {last.name} needs no {stage.name} then"
    return ""


def _outside_checksums(
    stage: Stage, settings: Section, checksums: ChecksumCache, verify: bool, other_way: Callable[[str], str]
) -> dict[str, str]:
    found = {}
    try:
        named = stage.outside(settings)
    except XlmrError as error:
        raise type(error)(error.problem, f"{error.fix} ({stage.name})".strip()) from None
    for pattern, setting_name in named.items():
        try:
            for address in expand(pattern):
                found[address] = checksums.checksum(address, verify=verify)
        except UsageError as error:
            raise UsageError(f"{stage.package}.{setting_name}: {error.problem}", error.fix) from None
        except (XlmrError, OSError) as error:
            problem = error.problem if isinstance(error, XlmrError) else f"{pattern}: {error.strerror or error}"
            raise (UnreachableError if isinstance(error, UnreachableError) else XlmrError)(
                problem,
                f"it is named by {stage.package}.{setting_name}: fix the setting or put it there"
                + other_way(setting_name),
            ) from None
    sources = source_files(settings)
    if stage.counts_source:
        sources[source_file(stage.run)] = "run"
    for path in sources:
        found[str(path)] = checksums.checksum(str(path), verify=verify)
    return found


def _plan_stage(
    stage: Stage,
    settings: Section,
    outside: dict[str, str],
    above: Plan,
    project: Path,
    verify: bool,
    forced: bool,
) -> StagePlan:
    input_keys = {name: above[name].key for name in stage.inputs}
    files = sorted([PurePosixPath(address).name, checksum] for address, checksum in outside.items())
    described = [FORMAT, stage.name, stage.version, key_settings(settings), input_keys, files]
    key = hashlib.sha256(canonical_json(described).encode()).hexdigest()
    output = project / stage.name / key[:KEY_LENGTH]
    plan = StagePlan(stage, settings, key, output, outside, input_keys, State.STALE)
    try:
        plan.manifest = read_manifest(output)
    except DamagedFileError as error:  # as good as none: the stage is made again
        plan.state, plan.reasons = State.MISSING, [f"damaged: {error.problem}"]
        return plan
    if plan.manifest is None:
        plan.state, plan.reasons = _why_not_made(plan)
        return plan
    plan.faults = plan.manifest.faults(output, verify=verify)
    plan.reasons = list(_why_stale(plan, plan.manifest, above))
    if forced:
        plan.reasons.insert(0, "it is forced")
    plan.state = State.STALE if plan.reasons else State.FRESH
    return plan


def _why_stale(plan: StagePlan, manifest: Manifest, above: Plan) -> Iterator[str]:
    again = [name for name in plan.stage.inputs if not above[name].fresh]
    if again:
        yield f"{', '.join(again)} {'runs' if len(again) == 1 else 'run'} again"
    for name in plan.stage.inputs:
        source = above[name].manifest
        if name not in again and source is not None and _build_of(manifest, name) != source.build:
            yield f"{name} was made again since"
    lines = [f"{path} {fault}" for path, fault in plan.faults.items()]
    yield from lines[:3]
    if len(lines) > 3:
        yield f"and {counted(len(lines) - 3, 'more file')}"


def _build_of(manifest: Manifest, source: str) -> str:
    """Which build of ``source`` an output was made from; '' where it does not say."""
    return manifest.inputs[source]["build"] if source in manifest.inputs else ""


def _why_not_made(plan: StagePlan) -> tuple[State, list[str]]:
    started = plan.output.exists()
    previous = _latest_manifest(plan.output.parent)
    if previous is not None and not started:
        return State.STALE, list(_differences(plan, previous)) or ["this version works out keys in another way"]
    marks = len(list((plan.output / MARKS).glob("*.json")))
    if marks:
        return State.MISSING, [f"{BEGUN}; {counted(marks, 'shard')} complete"]
    return State.MISSING, [BEGUN] if started else []


def _latest_manifest(folder: Path) -> Manifest | None:
    newest_first = sorted(folder.glob("*/manifest.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    return next((found for path in newest_first if (found := usable_manifest(path.parent))), None)


def _differences(plan: StagePlan, previous: Manifest) -> Iterator[str]:
    """What changed since ``previous``: settings, files, the stage's own version, or what it is made from."""
    name = plan.stage.name
    yield from (f"{name}: {line}" for line in changed_settings(previous.config, plan.config))
    before, after = previous.outside, plan.outside
    for address in sorted(before.keys() | after.keys()):
        if address not in after:
            yield f"{address} is gone"
        elif address not in before:
            yield f"{address} is new"
        elif before[address] != after[address]:
            yield f"{address} was changed"
    if previous.version != plan.stage.version:
        yield f"{name} is at version {plan.stage.version}, was {previous.version}"
    changed = [i for i, key in plan.input_keys.items() if i not in previous.inputs or previous.inputs[i]["key"] != key]
    if changed:
        yield f"{', '.join(changed)} changed"
