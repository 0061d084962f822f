"""Stages as Prefect tasks: one task a stage, with the DAG's arrows between them and an artifact from each.

A task asks the core whether its stage is fresh, and runs it if not. Tasks run one after the other in this process:
each stage uses all the workers of the run itself, and an interrupt stops it at once.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypedDict, cast

from prefect import State, allow_failure, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Cancelled, Completed, Failed

from flows.artifacts.lineage import show_lineage
from flows.artifacts.live import LiveFigure
from flows.artifacts.progress import ShownProgress
from flows.artifacts.sections import artifact_key
from flows.artifacts.stage import is_shown, show_stage
from pipeline.config import Section
from pipeline.dag import Dag
from pipeline.errors import SignalledError, UnreachableError, XlmrError, explain_os_error
from pipeline.manifest import Manifest, read_manifest
from pipeline.plan import Plan, StagePlan, make_plan
from pipeline.run_settings import project_folder
from pipeline.runner import Selection, check_stages, make_copies, run
from pipeline.store.copies import Copies


class Tries(TypedDict):
    """How a task is tried again."""

    retries: int
    retry_delay_seconds: list[float]
    retry_condition_fn: Callable[[object, object, State[Any]], bool]


UNREACHABLE = "Unreachable"
"""The name of a failed state that is tried again."""


def run_as_tasks(dag: Dag, config: Section, stages: Collection[str], force: bool = False) -> State[Any]:
    """Run these stages as tasks of the current flow, all of them if ``force``; give the flow's final state.

    A stage that fails leaves what is made from it not ready; stages that do not depend on it still run.
    """
    dag = dag.for_config(config)
    chosen = [name for name in dag.stages if name in set(stages)]
    forced = set(chosen) if force else set[str]()
    planned = _plan_task(dag, config, chosen, forced, return_state=True)
    if not planned.is_completed():
        return Failed(message=planned.message)
    plan = cast(Plan, planned.result())
    states: dict[str, State[Any]] = {}
    for name in chosen:
        above = {source: states[source] for source in dag.stages[name].inputs if source in states}
        missing = next((source for source, state in above.items() if not state.is_completed()), "")
        stage_task = _stage_task.with_options(name=name, description=dag.stages[name].summary)
        # Prefect would name an input that has no output by its UUID; the task itself says the stage.
        done = [state for state in above.values() if not state.is_cancelled()]
        wait_for = [allow_failure(state) for state in done] if missing else done
        states[name] = stage_task(dag, config, name, name in forced, missing, wait_for=wait_for, return_state=True)
    complete = [name for name, one in plan.items() if (states[name].is_completed() if name in states else one.fresh)]
    show_lineage([plan[name].output for name in complete])
    made = [name for name, state in states.items() if state.is_completed() and state.name != "Cached"]
    return _outcome(states, warnings_of({name: plan[name].output for name in made}))


def can_pass(task: object, task_run: object, state: State[Any]) -> bool:
    """Whether a failed task is tried again: what it needs was out of reach, and nothing in its input is wrong."""
    return state.name == UNREACHABLE


TRIES: Tries = {"retries": 2, "retry_delay_seconds": [10, 60], "retry_condition_fn": can_pass}
"""For ``task``, of all that may meet a server which does not answer."""


def failed(error: XlmrError) -> State[Any]:
    """The state of a task that ends with an error: one line, where an exception would print a traceback."""
    if isinstance(error, UnreachableError):
        return Failed(name=UNREACHABLE, message=str(error))
    return Failed(message=str(error))


@task(name="plan", cache_policy=NO_CACHE, persist_result=False, **TRIES)
def _plan_task(dag: Dag, config: Section, chosen: list[str], forced: set[str]) -> Plan | State[Any]:
    """Plan, show it, and check that what these stages need is there."""
    try:
        project_folder(config).mkdir(parents=True, exist_ok=True)
        plan = make_plan(dag, config, only=chosen, force=forced)
        _show_plan(plan)
        check_stages(plan, (name for name in chosen if not plan[name].fresh), config)
    except XlmrError as error:
        return failed(error)
    return plan


# Prints of the stage, its progress lines among them, go to Prefect's log.
@task(cache_policy=NO_CACHE, persist_result=False, log_prints=True, **TRIES)
def _stage_task(dag: Dag, config: Section, name: str, forced: bool, missing: str) -> State[Any]:
    if missing:
        return Cancelled(name="NotReady", message=f"not run, because it depends on {missing}, which has no output")
    try:
        with make_copies(config) as copies:
            plan = make_plan(dag, config, only=[name], force=[name] if forced else [])
            if plan[name].fresh:
                if not is_shown(plan[name]):  # the command line has made it
                    show_stage(dag, plan, name, copies)
                return Completed(name="Cached", message="fresh: nothing to do")
            plan = _run_shown(dag, config, plan[name], forced, copies)
            show_stage(dag, plan, name, copies)
            manifest = plan[name].manifest
    except SignalledError as error:
        # The stage has kept the signal for itself, to save its work: the run ends by it, and no other stage begins.
        get_run_logger().info(str(error))
        signal.raise_signal(signal.SIGTERM)
        return Failed(message=str(error))
    except XlmrError as error:
        return failed(error)
    except (ConnectionError, TimeoutError) as error:
        return failed(UnreachableError(f"{name}: {type(error).__name__}: {error}"))
    except OSError as error:
        line = explain_os_error(error)
        if line is None:
            raise
        return Failed(message=f"{name}: {line}")
    return Completed(message=_message(manifest) if manifest else None)


def _run_shown(dag: Dag, config: Section, stage: StagePlan, forced: bool, copies: Copies) -> Plan:
    """Run it, with its progress and, where it has one, its figure of the moment in artifacts."""
    name, key = stage.stage.name, artifact_key(stage.stage.name)
    selection = Selection(only=name, force=(name,) if forced else ())
    progress = ShownProgress(project_folder(config) / "log", f"{key}-progress")
    live = LiveFigure(stage.stage, copies.folder(stage.output), f"{key}-live") if stage.stage.live else nullcontext()
    with progress, live:
        return run(dag, config, selection, say=get_run_logger().info)


def _message(manifest: Manifest) -> str:
    """Seconds, and what was wrong with the input by name."""
    return "; ".join([f"{manifest.seconds:,.1f} s", *_warning_of(manifest)])


def _warning_of(manifest: Manifest) -> list[str]:
    """The first of its warnings, with how many more there are; nothing where there is none."""
    more = f" (and {len(manifest.warnings) - 1} more)" if len(manifest.warnings) > 1 else ""
    return [f"warning: {manifest.warnings[0]}{more}"] if manifest.warnings else []


def warnings_of(outputs: Mapping[str, Path]) -> list[str]:
    """What these outputs of stages warn of, a line a stage, by their manifests."""
    manifests = {name: read_manifest(output) for name, output in outputs.items()}
    return [f"{name}: {line}" for name, one in manifests.items() if one for line in _warning_of(one)]


def _outcome(states: dict[str, State[Any]], warned: Sequence[str]) -> State[Any]:
    wrong = {name: state for name, state in states.items() if not state.is_completed()}
    if not wrong:
        made = sum(state.name != "Cached" for state in states.values())
        fresh = ", the others were fresh" if made < len(states) else ""
        return Completed(message="; ".join([f"{made} of {len(states)} stages ran{fresh}", *warned]))
    name, first = next(iter(wrong.items()))
    line = first.message or f"{name} failed"
    return Failed(message=line if name in line else f"{name}: {line}")


def _show_plan(plan: Plan) -> None:
    rows = [{"stage": name, "state": str(p.state), "why": "; ".join(p.reasons)} for name, p in plan.items()]
    create_table_artifact(rows, key="plan", description="What would run, and why")
