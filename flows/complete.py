"""The event that a package is complete in a project, for automations to wait for: all its stages are there."""

from __future__ import annotations

from collections.abc import Sequence

from prefect import get_run_logger
from prefect.events import emit_event
from prefect.runtime import flow_run

from pipeline.config import Section
from pipeline.dag import Dag
from pipeline.errors import XlmrError
from pipeline.plan import make_plan
from pipeline.run_settings import run_settings

COMPLETE = "xlmr.package.complete"
CONFIGURATION = "xlmr.configuration"
"""Label of the event's resource: the name of the run file."""


def resource_of(package: str) -> str:
    """What the event is about."""
    return f"xlmr.package.{package}"


def say_if_complete(dag: Dag, config: Section, package: str, configuration: str, overrides: Sequence[str]) -> None:
    """Send the event if every stage of the package is fresh. It says what a run of the next package needs to know.

    A subflow sends none: its parent does what is next.
    """
    if flow_run.get_parent_flow_run_id() is not None:
        return
    own = dag.for_config(config)
    stages = own.select(package)
    try:
        plan = make_plan(own, config, only=stages)
    except XlmrError as error:  # as of a storage that has just gone away: what the run has made is there all the same
        get_run_logger().warning(f"whether {package} is complete cannot be said, and nothing is started by it: {error}")
        return
    if not all(plan[name].fresh for name in stages):
        return
    project = run_settings(config).project
    resource = {
        "prefect.resource.id": resource_of(package),
        "prefect.resource.name": f"{package} of {project}",
        CONFIGURATION: configuration,
        "xlmr.project": project,
    }
    run = {"prefect.resource.id": f"prefect.flow-run.{flow_run.get_id()}", "prefect.resource.role": "flow-run"}
    emit_event(COMPLETE, resource, related=[run], payload={"project": project, "overrides": list(overrides)})
