"""Running a plan: each stage under its lease, its manifest written last; stages that are fresh are left alone."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.config import Section, fingerprint, flatten
from pipeline.context import Context
from pipeline.dag import Dag
from pipeline.errors import UsageError, XlmrError, explain_os_error
from pipeline.executors import make_executor
from pipeline.extras import check_extra
from pipeline.formatting import counted
from pipeline.lease import Lease, remove_dead
from pipeline.log import EventLog, now
from pipeline.manifest import MANIFEST, Manifest, git_commit, package_versions, read_manifest
from pipeline.memory import PeakMemory
from pipeline.plan import Plan, StagePlan, make_plan
from pipeline.prune import running_path
from pipeline.run_settings import project_folder, run_settings
from pipeline.run_summary import done_line
from pipeline.secrets import redact
from pipeline.shards import MARKS, WORKSPACES
from pipeline.shards.mark_summary import remove_summaries
from pipeline.shards.partitions import (
    FAILURES,
    FinishedByOtherError,
    LeftToOthersError,
    Partition,
    partition_of,
    refuse_while_partitions_are_done,
    stage_lock_path,
)
from pipeline.shards.reuse import identity_of, keep_identified
from pipeline.shards.sharing import Sharing
from pipeline.stage import Stage, load_object
from pipeline.storage import DRAFTS, read_json, remove_tree, write_json
from pipeline.store.copies import Copies
from pipeline.store.output import StoredOutput
from pipeline.store.path import is_stored
from pipeline.terminal import say as terminal_say

MADE_FROM = ".made_from.json"
"""Inside an output: the builds of the inputs that it is being made from. Other inputs than these empty the folder."""


@dataclass(frozen=True)
class Selection:
    """Which stages a command is about. ``start``/``until``/``only`` are stages or packages."""

    start: str | None = None
    until: str | None = None
    only: str | None = None
    force: tuple[str, ...] = ()

    def or_settings(self, config: Section) -> Selection:
        """Itself, or up to ``run.until`` where it names no stage."""
        named = self.start or self.until or self.only
        return self if named else replace(self, until=run_settings(config).until or None)

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
def open_log(config: Section, partition: Partition | None = None) -> Any:
    """The log of one command: ``runs/<project>/log/<time>.jsonl``, with the partition in the name where it does one."""
    folder = project_folder(config) / "log"
    own = f"-partition-{partition.number}-of-{partition.world}" if partition else ""
    path = folder / f"{now().replace(':', '-')}{own}.jsonl"
    log = EventLog(path.local(run_settings(config).cache) if is_stored(path) else path)
    try:
        yield log
    finally:
        log.close()
        if is_stored(path):
            path.put(log.path)


def run(
    dag: Dag,
    config: Section,
    selection: Selection,
    *,
    verify: bool = False,
    say: Callable[[str], None] | None = None,
) -> Plan:
    """Run the selected stages that are not fresh, and give the plan as it then stands.

    As one of several tasks (``run.partition``), it does its partition of each, and may leave before the end: see
    the plan.
    Errors: XlmrError when a stage fails, or when something outside the selection would have to run first.
    """
    say = say or terminal_say
    dag = dag.for_config(config)
    partition = partition_of(run_settings(config))
    make_executor(run_settings(config))  # a wrong option is found before anything is done
    chosen = selection.stages(dag)
    forced = selection.forced(dag) & set(chosen)
    if partition and (forced or verify):
        raise UsageError("--force and --verify do not go with partitions", "use them in a run by itself")
    project_folder(config).mkdir(parents=True, exist_ok=True)  # what planning learns of large files is kept there
    plan = make_plan(dag, config, verify=verify, force=forced, only=chosen)
    check_sources(plan, chosen)
    waiting = [name for name in chosen if not plan[name].fresh]
    if not waiting:
        say(f"nothing to do: all {len(chosen)} stages are fresh")
        return plan
    check_stages(plan, waiting, config)
    clock = time.monotonic()
    holds = {"outputs": [str(stage.output.absolute()) for stage in plan.values()]}
    running = running_path(project_folder(config))
    for folder in (running.parent, *(stage.output.parent for stage in plan.values())):
        remove_dead(folder)  # what killed runs have left
    # The lease comes before the log: where the storage cannot keep it, the run is refused and leaves nothing.
    with Lease(running, holds), open_log(config, partition) as log, make_copies(config) as copies:
        log.event(
            "run", stages=waiting, config=fingerprint(config), partition=str(partition or ""), git_commit=git_commit()
        )
        try:
            for number, name in enumerate(waiting, 1):
                say(f"[{number}/{len(waiting)}] {name}: {dag.stages[name].summary} ({plan[name].line()})")
                inputs = {i: plan[i].output for i in dag.stages[name].inputs}
                if partition:
                    manifest = _run_with_others(dag, config, plan[name], inputs, partition, log, say, copies)
                else:
                    manifest = run_stage(plan[name], inputs, config, log, copies)
                plan[name].manifest = manifest
                _say_outcome(say, name, plan[name], manifest)
        except LeftToOthersError as reason:
            say(f"  {name}: {reason}; leaving")
            log.event("left", stage=name, reason=str(reason))
        log.event("done")
    plan = make_plan(dag, config, only=chosen)
    if partition is None:
        say(done_line(plan, waiting, chosen, time.monotonic() - clock))
    return plan


def make_copies(config: Section) -> Copies:
    """The copies on this machine of what the run keeps at object storage."""
    return Copies(run_settings(config).cache, run_settings(config).cache_bytes)


def check_stages(plan: Plan, names: Iterable[str], config: Section) -> None:
    """Errors: XlmrError for what would stop one of these stages after hours of those before it."""
    for name in names:
        stage = plan[name].stage
        check_fit(stage, config)
        if stage.extra:
            check_extra(stage.extra, name)
        if stage.check:
            load_object(stage.check)(plan[name].config)


def check_fit(stage: Stage, config: Section) -> None:
    """Errors: XlmrError where the stage's settings do not go with the rest of the configuration."""
    if stage.fits:
        load_object(stage.fits)(dict(flatten(config.model_dump())))


def check_sources(plan: Plan, chosen: Collection[str]) -> None:
    """Errors: XlmrError where a chosen stage reads one that is neither chosen nor fresh."""
    for name in (name for name in chosen if name in plan):
        for source in plan[name].stage.inputs:
            if source not in chosen and not plan[source].fresh:
                package = plan[source].stage.package
                raise XlmrError(
                    f"{name} is made from {source}, which is {plan[source].line()}",
                    f"run it first: --only {source}, with Prefect the flow {package}; or leave out --from and --only",
                )


def run_stage(plan: StagePlan, inputs: Mapping[str, Path], config: Section, log: EventLog, copies: Copies) -> Manifest:
    """Run one stage under its lease and write its manifest. The caller has decided that it has to run."""
    with Lease(stage_lock_path(plan.output)) as stage_lock:
        refuse_while_partitions_are_done(plan.output)
        builds = _builds(plan, inputs)
        _prepare(plan, builds, copies)
        context = _make_context(plan, inputs, config, log, copies)
        return _do_stage(plan, _bring(inputs, copies), builds, context, stage_lock.is_held)


def _bring(inputs: Mapping[str, Path], copies: Copies) -> dict[str, Path]:
    """The folders of this machine that the inputs are read from."""
    return {name: copies.bring(output) for name, output in inputs.items()}


def _run_with_others(
    dag: Dag,
    config: Section,
    plan: StagePlan,
    inputs: Mapping[str, Path],
    partition: Partition,
    log: EventLog,
    say: Callable[[str], None],
    copies: Copies,
) -> Manifest:
    """Run one stage as one of several tasks: a partition of its shards, or all of it where it has none.

    Errors: LeftToOthersError where the others finish it.
    """
    builds = _builds(plan, inputs)

    def is_finished() -> bool:
        if _made_from(plan.output) != builds:
            raise XlmrError(f"{plan.output} was begun anew by another run", "run the same command again")
        return (plan.output / MANIFEST).exists()

    def is_begun() -> bool:
        made = plan.stage.sharded and _made_from(plan.output) == builds
        return bool(made) and not (plan.output / MANIFEST).exists()

    workers, wait = run_settings(config).workers, run_settings(config).wait
    sharing = Sharing(
        plan.output, partition, plan.stage.sharded, workers=workers, wait=wait, is_finished=is_finished, say=say
    )
    try:
        # Where there are shards nobody leaves before doing its partition: all come at once, each for a moment.
        if not sharing.enter(is_begun, wait=wait or plan.stage.sharded > 0):
            plan = make_plan(dag, config, only=[plan.stage.name])[plan.stage.name]  # others may have been here
            if plan.fresh and plan.manifest is not None:
                return plan.manifest
            if not is_begun():
                refuse_while_partitions_are_done(plan.output)
                _prepare(plan, builds, copies)
            if not plan.stage.sharded:
                context = _make_context(plan, inputs, config, log, copies)
                return _do_stage(plan, _bring(inputs, copies), builds, context, sharing.holds_stage_lock)
            sharing.begin_partition(partition)
            sharing.release_stage_lock()
        copies.begin(plan.output, anew=False)
        context = _make_context(plan, inputs, config, log, copies, sharing)
        return _do_stage(plan, _bring(inputs, copies), builds, context, sharing.holds_stage_lock)
    except FinishedByOtherError:
        manifest = read_manifest(plan.output)
        if manifest is None:
            raise XlmrError(f"{plan.output} was begun anew by another run", "run the same command again") from None
        return manifest
    finally:
        sharing.close()


def _make_context(
    plan: StagePlan,
    inputs: Mapping[str, Path],
    config: Section,
    log: EventLog,
    copies: Copies,
    sharing: Sharing | None = None,
) -> Context:
    settings, stage = run_settings(config), plan.stage
    identity = partial(identity_of, stage.name, stage.version, plan.config)
    folder = copies.folder(plan.output)
    sources = [path for path in inputs.values() if is_stored(path)]
    stored = StoredOutput(plan.output, copies, sources) if is_stored(plan.output) else None
    if stored is not None and stage.resumable:
        stored.restore()
    return Context(stage.name, folder, settings.workers, log, make_executor(settings), identity, sharing, stored)


def _do_stage(
    plan: StagePlan,
    inputs: Mapping[str, Path],
    builds: Mapping[str, str],
    context: Context,
    is_ours: Callable[[], bool],
) -> Manifest:
    """Run the stage's function and write the manifest, if the output is still ours then."""
    log = context.log
    log.event("stage", stage=plan.stage.name, key=plan.key, output=str(plan.output), reasons=plan.reasons)
    started, clock = now(), time.monotonic()
    try:
        with PeakMemory() as peak:
            counts = plan.stage.load()(plan.config, inputs, context.output, context)
        manifest = Manifest(
            stage=plan.stage.name,
            version=plan.stage.version,
            key=plan.key,
            build=uuid.uuid4().hex,
            config=fingerprint(plan.config),
            inputs={name: {"key": plan.input_keys[name], "build": build} for name, build in builds.items()},
            outside=plan.outside,
            counts=counts,
            files=context.complete_files(),
            started=started,
            seconds=round(time.monotonic() - clock, 3),
            peak_memory_bytes=peak.bytes,
            git_commit=git_commit(),
            packages=package_versions(),
            warnings=context.warnings,
        )
        _clear_away(context.output)
        if not is_ours():
            raise XlmrError(f"{plan.output}: another run took it over, as if this one had died", "look at that run")
        manifest.write(plan.output)
        if context.output != plan.output:
            manifest.write(context.output)
    except (LeftToOthersError, FinishedByOtherError):
        raise
    except BaseException as error:
        log.event("failed", stage=plan.stage.name, error=f"{type(error).__name__}: {error}")
        context.finish_saving()  # under the lease: who resumes finds all of it
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


def _prepare(plan: StagePlan, builds: Mapping[str, str], copies: Copies) -> None:
    """Leave in the output what this run may use: the shards of an interrupted run on the same inputs, and those that
    say themselves what they depend on; nothing where the stage is forced.
    """
    forced = plan.reasons[:1] == ["it is forced"]
    anew = forced or not plan.stage.resumable or _made_from(plan.output) != builds
    if forced or not plan.stage.resumable:
        remove_tree(plan.output)
    elif anew:
        keep_identified(plan.output)
    plan.output.mkdir(parents=True, exist_ok=True)
    (plan.output / MANIFEST).unlink(missing_ok=True)
    remove_summaries(plan.output / MARKS)
    _clear_away(plan.output)
    for path in plan.faults:  # so that nothing takes them for whole: the plan may have looked closer than shards do
        path.unlink(missing_ok=True)
    copies.begin(plan.output, anew=anew)
    write_json(plan.output / MADE_FROM, dict(builds))


def _clear_away(output: Path) -> None:
    """Remove the workspaces and drafts of tasks that were killed, and what partitions said of their failures."""
    if not is_stored(output):
        shutil.rmtree(output / WORKSPACES, ignore_errors=True)
    for path in (*output.glob(FAILURES), *output.glob(DRAFTS)):
        path.unlink(missing_ok=True)


def _made_from(output: Path) -> dict[str, str] | None:
    """The builds of the inputs that the output was begun with; None where it was not begun."""
    try:
        found: dict[str, str] = read_json(output / MADE_FROM)
    except (FileNotFoundError, XlmrError):  # one that cannot be read says nothing: the output is begun anew
        return None
    return found if isinstance(found, dict) else None


def _named(stage: str, error: BaseException) -> BaseException:
    """The error as the person will read it, with the stage's name before it."""
    line = error if isinstance(error, XlmrError) else explain_os_error(error) if isinstance(error, OSError) else None
    if line is None and redact(str(error)) != str(error):  # a client's error, whose text has a password in an address
        line = XlmrError(f"{type(error).__name__}: {error}")
    if line is None:
        return error
    named = type(line)(f"{stage}: {line.problem}", line.fix)
    for note in getattr(error, "__notes__", ()):
        named.add_note(note)
    return named


def _say_outcome(say: Callable[[str], None], name: str, plan: StagePlan, manifest: Manifest) -> None:
    megabytes = sum(record.size for record in manifest.files.values()) / 1e6
    say(
        f"  {name} done in {manifest.seconds:,.1f} s · {counted(len(manifest.files), 'file')}, {megabytes:,.1f} MB"
        f" · peak memory {manifest.peak_memory_bytes / 1e9:.2f} GB · {plan.output}"
    )
    for line in manifest.warnings[:5]:
        say(f"  warning: {line}")
    if len(manifest.warnings) > 5:
        say(f"  and {counted(len(manifest.warnings) - 5, 'more warning')}: xlmr inspect {plan.output}")
