"""The flows: one a package, the report, and ``full``, which calls them one after the other as subflows.

Defaults are empty texts and lists, which a form shows as fields; for None it shows a choice of types.
"""

from __future__ import annotations

from typing import Any

from prefect import State, flow
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.form import (
    AnyStage,
    Configuration,
    CorpusStage,
    FinetuneStage,
    Override,
    PretrainStage,
    TokenizerStage,
    dag,
    resolve,
)
from flows.one_line import shorten_logs
from flows.project_lock import project_lock
from flows.run_tags import tag_run
from flows.settings_artifact import show_configuration
from flows.stages import run_as_tasks
from flows.watch import watched
from pipeline.config import Section
from pipeline.errors import XlmrError
from pipeline.runner import Selection

shorten_logs()


def run_name() -> str:
    """``corpus of demo: corpus.mine``: the flow, the project or configuration, and the stages if some were chosen."""
    given = flow_run.get_parameters()
    stages = ", ".join(str(getattr(stage, "value", stage)) for stage in given.get("stages") or ())
    of = given.get("project") or getattr(given["configuration"], "value", given["configuration"])
    return f"{flow_run.get_flow_name()} of {of}" + (f": {stages}" if stages else "")


@flow(flow_run_name=run_name, persist_result=False)
def corpus(
    configuration: Configuration,
    project: str = "",
    stages: list[CorpusStage] = [],  # noqa: B006
    force: bool = False,
    overrides: list[Override] = [],  # noqa: B006
) -> State[Any]:
    """From a web crawl to a corpus by language: read, deduplicate, identify languages, filter, regroup.

    Args:
        configuration: A run file of configs/.
        project: Name of the run's folder; that of the run file if empty.
        stages: Only these stages; all stages of the corpus if empty.
        force: Run them even if they are fresh.
        overrides: Settings, one a line, as on the command line. Example: corpus.read.min_characters=200
    """
    return _run("corpus", configuration, project, stages, force, overrides)


@flow(flow_run_name=run_name, persist_result=False)
def tokenizer(
    configuration: Configuration,
    project: str = "",
    stages: list[TokenizerStage] = [],  # noqa: B006
    force: bool = False,
    overrides: list[Override] = [],  # noqa: B006
) -> State[Any]:
    """From a corpus to a vocabulary and encoded sequences. The corpus has to be there.

    Args:
        configuration: A run file of configs/.
        project: Name of the run's folder; that of the run file if empty.
        stages: Only these stages; all stages of the tokenizer if empty.
        force: Run them even if they are fresh.
        overrides: Settings, one a line, as on the command line. Example: tokenizer.train.vocab_size=8000
    """
    return _run("tokenizer", configuration, project, stages, force, overrides)


@flow(flow_run_name=run_name, persist_result=False)
def pretrain(
    configuration: Configuration,
    project: str = "",
    stages: list[PretrainStage] = [],  # noqa: B006
    force: bool = False,
    overrides: list[Override] = [],  # noqa: B006
) -> State[Any]:
    """From encoded sequences to a pretrained encoder. The sequences have to be there.

    Args:
        configuration: A run file of configs/.
        project: Name of the run's folder; that of the run file if empty.
        stages: Only these stages; all stages of pretraining if empty.
        force: Run them even if they are fresh.
        overrides: Settings, one a line, as on the command line. Example: pretrain.train.steps=1000
    """
    return _run("pretrain", configuration, project, stages, force, overrides)


@flow(flow_run_name=run_name, persist_result=False)
def finetune(
    configuration: Configuration,
    project: str = "",
    stages: list[FinetuneStage] = [],  # noqa: B006
    force: bool = False,
    overrides: list[Override] = [],  # noqa: B006
) -> State[Any]:
    """From a pretrained encoder to fine-tuned models and tables of scores. The encoder has to be there.

    Args:
        configuration: A run file of configs/.
        project: Name of the run's folder; that of the run file if empty.
        stages: Only these stages; all stages of fine-tuning if empty.
        force: Run them even if they are fresh.
        overrides: Settings, one a line, as on the command line. Example: finetune.recipe.epochs=2
    """
    return _run("finetune", configuration, project, stages, force, overrides)


@flow(flow_run_name=run_name, persist_result=False)
def report(
    configuration: Configuration,
    project: str = "",
    force: bool = False,
    overrides: list[Override] = [],  # noqa: B006
) -> State[Any]:
    """One HTML page about the whole run. All other stages have to be there.

    Args:
        configuration: A run file of configs/.
        project: Name of the run's folder; that of the run file if empty.
        force: Write it even if it is fresh.
        overrides: Settings, one a line, as on the command line.
    """
    return _run("report", configuration, project, [], force, overrides)


FLOWS = {"corpus": corpus, "tokenizer": tokenizer, "pretrain": pretrain, "finetune": finetune, "report": report}


@flow(flow_run_name=run_name, persist_result=False)
def full(
    configuration: Configuration,
    project: str = "",
    stages: list[AnyStage] = [],  # noqa: B006
    force: bool = False,
    overrides: list[Override] = [],  # noqa: B006
) -> State[Any]:
    """The whole run, from a web crawl to a fine-tuned multilingual encoder and its report.

    Args:
        configuration: A run file of configs/.
        project: Name of the run's folder; that of the run file if empty.
        stages: Only these stages; all if empty.
        force: Run them even if they are fresh.
        overrides: Settings, one a line, as on the command line. Example: pretrain.train.steps=1000
    """
    try:
        config = resolve(configuration, project, overrides)
    except XlmrError as error:
        return Failed(message=str(error))
    show_configuration(config)
    tag_run(config)
    chosen = [str(stage) for stage in stages or Selection().or_settings(config).stages(dag())]
    given: dict[str, Any] = {"project": project, "force": force, "overrides": overrides}
    with watched(), project_lock(config):
        return _run_packages(config, configuration, chosen, given)


def _run_packages(
    config: Section, configuration: Configuration, chosen: list[str], given: dict[str, Any]
) -> State[Any]:
    """Each package as a subflow, until one fails."""
    for package in dict.fromkeys(stage.package for stage in dag().stages.values()):
        own = [name for name in chosen if dag().stages[name].package == package]
        if not own:
            continue
        if package not in FLOWS:  # a user's package has no flow of its own
            state = run_as_tasks(dag(), config, own, given["force"])
        elif package == "report":
            state = report(configuration, **given, return_state=True)
        else:
            state = FLOWS[package](configuration, stages=own, **given, return_state=True)  # type: ignore[operator]
        if not state.is_completed():
            return Failed(message=state.message) if state.is_failed() else state
    return Completed(message="all stages are there")


def _run(
    package: str,
    configuration: str,
    project: str,
    stages: list[Any],
    force: bool,
    overrides: list[str],
) -> State[Any]:
    try:
        config = resolve(configuration, project, overrides)
    except XlmrError as error:
        return Failed(message=str(error))
    if flow_run.get_parent_flow_run_id() is None:  # else the parent has shown it
        show_configuration(config)
        tag_run(config)
    with watched(), project_lock(config):
        return run_as_tasks(dag(), config, [str(stage) for stage in stages or dag().select(package)], force)
