"""The flows: one a package, the report among them, and ``full``, which calls them one after the other as subflows.

Defaults are empty texts and lists, which a form shows as fields; for None it shows a choice of types.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any
from uuid import UUID

from prefect import Flow, State, flow
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.artifacts.configuration import show_configuration
from flows.complete import say_if_complete
from flows.form import Configuration, Override, Project, dag, resolve, stage_choice
from flows.lost_tasks import crash_tasks, crash_tasks_of
from flows.one_line import shorten_logs
from flows.project_lock import project_lock
from flows.run_tags import tag_run
from flows.stages import run_as_tasks, warnings_of
from flows.watch import watched
from flows.worker_pipe import outlive_worker
from pipeline.config import Section
from pipeline.errors import XlmrError
from pipeline.plan import make_plan
from pipeline.runner import Selection

RunFlow = Flow[[Configuration, str, list[StrEnum], bool, list[str]], State[Any]]
Work = Callable[[Section, list[str], dict[str, Any]], State[Any]]
"""Runs stages of a configuration. The last argument is what the form was given, for the forms of subflows."""

shorten_logs()
outlive_worker()


MOST_NAMED = 2
"""Stages in the name of a run; more are counted."""


def run_name() -> str:
    """``corpus of demo: corpus.mine``: the flow, the project or configuration, and the stages if some were chosen."""
    given = flow_run.get_parameters()
    chosen = [str(getattr(stage, "value", stage)) for stage in given.get("stages") or ()]
    stages = ", ".join(chosen) if len(chosen) <= MOST_NAMED else f"{len(chosen)} stages"
    of = given.get("project") or getattr(given["configuration"], "value", given["configuration"])
    return f"{flow_run.get_flow_name()} of {of}" + (f": {stages}" if stages else "")


def _package(config: Section, stages: list[str], given: dict[str, Any]) -> State[Any]:
    return run_as_tasks(dag(), config, stages, given["force"])


def _all_packages(config: Section, stages: list[str], given: dict[str, Any]) -> State[Any]:
    """Each package as a subflow, until one fails. The message of the whole names what its outputs warn of."""
    for package in dict.fromkeys(stage.package for stage in dag().stages.values()):
        own = [name for name in stages if dag().stages[name].package == package]
        if not own:
            continue
        if package in FLOWS:
            state = FLOWS[package](**{**given, "stages": own}, return_state=True)
        else:  # a user's package has no flow of its own
            state = _package(config, own, given)
        if not state.is_completed():
            return Failed(message=state.message) if state.is_failed() else state
    plan = make_plan(dag().for_config(config), config, only=stages)
    warned = warnings_of({name: plan[name].output for name in stages})
    return Completed(message="; ".join(["all stages are there", *warned]))


def _flow(name: str, summary: str, default: Callable[[Section], Sequence[str]], work: Work, example: str) -> RunFlow:
    """A flow with the form that all have. ``default`` gives the stages if none is chosen."""

    def run(
        configuration: Configuration,
        project: Project = "",
        stages: list[StrEnum] = [],  # noqa: B006
        force: bool = False,
        overrides: list[Override] = [],  # noqa: B006
    ) -> State[Any]:
        try:
            config = resolve(configuration, project, overrides)
            if flow_run.get_parent_flow_run_id() is None:  # else the parent has shown it
                crash_tasks_of(UUID(flow_run.get_id()))  # of a try whose worker has died with its process
                show_configuration(config)
                tag_run(config)
            given = {"configuration": configuration, "project": project, "force": force, "overrides": overrides}
            with watched(), project_lock(config):
                return work(config, [str(stage) for stage in stages or default(config)], given)
        except XlmrError as error:  # of the form, or what the plan refuses, before or after the stages
            return Failed(message=str(error))

    run.__name__ = run.__qualname__ = name
    run.__annotations__["stages"] = list[stage_choice(name)]  # type: ignore[misc]
    run.__doc__ = f"""{summary}

    Args:
        configuration: A run file of configs/.
        project: Name of the run's folder; that of the run file if empty.
        stages: Only these stages; all of them if empty.
        force: Run them even if they are fresh.
        overrides: One setting in each field, as on the command line. Example: {example}
    """
    return flow(flow_run_name=run_name, persist_result=False, on_crashed=[crash_tasks])(run)


def _package_flow(package: str, summary: str, example: str) -> RunFlow:
    def work(config: Section, stages: list[str], given: dict[str, Any]) -> State[Any]:
        state = _package(config, stages, given)
        if state.is_completed():
            say_if_complete(dag(), config, package, given["configuration"], given["overrides"])
        return state

    return _flow(package, summary, lambda config: dag().select(package), work, example)


corpus = _package_flow(
    "corpus",
    "From a web crawl to a corpus by language: read, deduplicate, identify languages, filter, regroup.",
    "corpus.read.min_characters=200",
)
tokenizer = _package_flow(
    "tokenizer",
    "From a corpus to a vocabulary and encoded sequences. The corpus has to be there.",
    "tokenizer.train.vocab_size=8000",
)
pretrain = _package_flow(
    "pretrain",
    "From encoded sequences to a pretrained encoder. The sequences have to be there.",
    "pretrain.train.steps=1000",
)
finetune = _package_flow(
    "finetune",
    "From a pretrained encoder to fine-tuned models and tables of scores. The encoder has to be there.",
    "finetune.recipe.epochs=2",
)
report = _package_flow(
    "report",
    "One HTML page about the whole run. All other stages have to be there.",
    "run.workers=2",
)
full = _flow(
    "full",
    "The whole run, from a web crawl to a fine-tuned multilingual encoder and its report.",
    lambda config: Selection().or_settings(config).stages(dag()),
    _all_packages,
    "pretrain.train.steps=1000",
)

FLOWS = {made.name: made for made in (corpus, tokenizer, pretrain, finetune, report)}
