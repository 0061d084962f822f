"""Running a plan: each stage under its lease, its manifest written last; stages that are fresh are left alone."""

from __future__ import annotations

import shutil
import sys
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import Section, fingerprint
from pipeline.context import Context
from pipeline.dag import Dag, project_folder, run_settings
from pipeline.errors import XlmrError, explain_os_error
from pipeline.lease import Lease
from pipeline.log import EventLog, now
from pipeline.manifest import MANIFEST, Manifest, git_commit, package_versions, read_manifest, record_files
from pipeline.memory import PeakMemory
from pipeline.plan import Plan, StagePlan, make_plan
from pipeline.storage import read_json, write_json

MADE_FROM = ".made_from.json"
"""Inside an output: the builds of the inputs that it is being made from. Other inputs than these empty the folder."""


@dataclass(frozen=True)
class Selection:
    """Which stages a command is about. ``start``/``until``/``only`` are stages or rooms."""

    start: str | None = None
    until: str | None = None
    only: str | None = None
    force: tuple[str, ...] = ()

    def stages(self, dag: Dag) -> list[str]:
        """The names of the selected stages, in the order of running."""
        chosen = set(dag.stages)
        if self.start:
            chosen &= dag.descendants(dag.select(self.start))
        if self.until:
            chosen &= dag.ancestors(dag.select(self.until))
        if self.only:
            chosen &= set(dag.select(self.only))
        return [name for name in dag.stages if name in chosen]

    def forced(self, dag: Dag) -> set[str]:
        """The names of the stages that run whatever their state."""
        return {name for words in self.force for name in dag.select(words)}


@contextmanager
def open_log(config: Section) -> Any:
    """The log of one command: ``runs/<project>/log/<time>.jsonl``."""
    folder = project_folder(config) / "log"
    log = EventLog(folder / f"{now().replace(':', '-')}.jsonl")
    try:
        yield log
    finally:
        log.close()


def run(
    dag: Dag,
    config: Section,
    selection: Selection,
    *,
    verify: bool = False,
    say: Callable[[str], None] | None = None,
) -> Plan:
    """Run the selected stages that are not fresh, and give the plan as it then stands.

    Errors: XlmrError when a stage fails, or when something outside the selection would have to run first.
    """
    say = say or _say
    chosen = selection.stages(dag)
    forced = selection.forced(dag) & set(chosen)
    plan = make_plan(dag, config, verify=verify, force=forced, only=chosen)
    _check_sources(plan, chosen)
    waiting = [name for name in chosen if not plan[name].fresh]
    if not waiting:
        say(f"nothing to do: all {len(chosen)} stages are fresh")
        return plan
    with open_log(config) as log:
        log.event("run", stages=waiting, config=fingerprint(config), git_commit=git_commit())
        for number, name in enumerate(waiting, 1):
            say(f"[{number}/{len(waiting)}] {name}: {dag.stages[name].summary} ({plan[name].line()})")
            manifest = run_stage(plan[name], {i: plan[i].output for i in dag.stages[name].inputs}, config, log)
            plan[name].manifest = manifest
            _say_outcome(say, name, plan[name], manifest)
        log.event("done")
    return make_plan(dag, config, only=chosen)


def _check_sources(plan: Plan, chosen: Collection[str]) -> None:
    for name in chosen:
        for source in plan[name].stage.inputs:
            if source not in chosen and not plan[source].fresh:
                raise XlmrError(
                    f"{name} is made from {source}, which is {plan[source].line()}",
                    f"run it first: --only {source}, or leave out --from and --only",
                )


def run_stage(plan: StagePlan, inputs: Mapping[str, Path], config: Section, log: EventLog) -> Manifest:
    """Run one stage under its lease and write its manifest. The caller has decided that it has to run."""
    plan.output.parent.mkdir(parents=True, exist_ok=True)
    with Lease(plan.output.with_name(f"{plan.output.name}.lease")):
        builds = _builds(plan, inputs)
        _prepare(plan, builds)
        context = Context(plan.stage.name, plan.output, run_settings(config).workers, log)
        log.event("stage", stage=plan.stage.name, key=plan.key, output=str(plan.output), reasons=plan.reasons)
        started, clock = now(), time.monotonic()
        try:
            with PeakMemory() as peak:
                counts = plan.stage.load()(plan.config, inputs, plan.output, context)
            manifest = Manifest(
                stage=plan.stage.name,
                version=plan.stage.version,
                key=plan.key,
                build=uuid.uuid4().hex,
                config=fingerprint(plan.config),
                inputs={name: {"key": plan.input_keys[name], "build": build} for name, build in builds.items()},
                outside=plan.outside,
                counts=counts,
                files=record_files(plan.output, context.shard_files),
                started=started,
                seconds=round(time.monotonic() - clock, 3),
                peak_memory_bytes=peak.bytes,
                git_commit=git_commit(),
                packages=package_versions(),
                warnings=context.warnings,
            )
            manifest.write(plan.output)
        except BaseException as error:
            log.event("failed", stage=plan.stage.name, error=f"{type(error).__name__}: {error}")
            raise _named(plan.stage.name, error) from error
        log.event("finished", stage=plan.stage.name, seconds=manifest.seconds, counts=counts)
    return manifest


def _builds(plan: StagePlan, inputs: Mapping[str, Path]) -> dict[str, str]:
    """The build of each input as it stands now, under the lease."""
    builds = {}
    for name in plan.stage.inputs:
        manifest = read_manifest(inputs[name])
        if manifest is None:
            raise XlmrError(f"{plan.stage.name} is made from {name}, which is not complete", f"run --only {name} first")
        builds[name] = manifest.build
    return builds


def _prepare(plan: StagePlan, builds: Mapping[str, str]) -> None:
    """Leave in the output what this run may use: nothing, or the shards of an interrupted run on the same inputs."""
    forced = plan.reasons[:1] == ["it is forced"]
    record = plan.output / MADE_FROM
    reusable = plan.stage.resumable and not forced and record.exists() and read_json(record) == dict(builds)
    if not reusable:
        shutil.rmtree(plan.output, ignore_errors=True)
    plan.output.mkdir(parents=True, exist_ok=True)
    (plan.output / MANIFEST).unlink(missing_ok=True)
    for path in plan.faults:  # so that nothing takes them for whole: the plan may have looked closer than shards do
        path.unlink(missing_ok=True)
    write_json(record, dict(builds))


def _named(stage: str, error: BaseException) -> BaseException:
    """The error as the person will read it, with the stage's name before it."""
    line = error if isinstance(error, XlmrError) else explain_os_error(error) if isinstance(error, OSError) else None
    if line is None:
        return error
    named = type(line)(f"{stage}: {line.problem}", line.mend)
    for note in getattr(error, "__notes__", ()):
        named.add_note(note)
    return named


def _say_outcome(say: Callable[[str], None], name: str, plan: StagePlan, manifest: Manifest) -> None:
    megabytes = sum(record.size for record in manifest.files.values()) / 1e6
    say(
        f"  {name} done in {manifest.seconds:,.1f} s · {len(manifest.files)} files, {megabytes:,.1f} MB"
        f" · peak memory {manifest.peak_memory_bytes / 1e9:.2f} GB · {plan.output}"
    )
    for line in manifest.warnings[:5]:
        say(f"  warning: {line}")
    if len(manifest.warnings) > 5:
        say(f"  and {len(manifest.warnings) - 5} more warnings: xlmr inspect {plan.output}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
