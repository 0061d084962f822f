"""A run for the newest dump of CommonCrawl, in a project of its own: what a schedule starts each week.

A run that finds the dump of the week before does nothing new: its stages are fresh.
"""

from __future__ import annotations

from typing import Any, Literal

from prefect import State, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from corpus.crawl.newest import LISTING
from flows.form import Configuration, Override, resolve
from flows.packages import corpus, full
from flows.stages import TRIES, failed
from pipeline.errors import XlmrError
from pipeline.run_settings import run_settings


def run_name() -> str:
    """``newest dump by corpus-cc100``."""
    configuration = flow_run.get_parameters()["configuration"]
    return f"newest dump by {getattr(configuration, 'value', configuration)}"


@flow(flow_run_name=run_name, persist_result=False)
def newest_dump(
    configuration: Configuration,
    package: Literal["corpus", "full"] = "corpus",
    overrides: list[Override] = [],  # noqa: B006
    listing: str = LISTING,
) -> State[Any]:
    """The corpus, or the whole run, of CommonCrawl's newest dump. The name of the dump becomes part of the project's.

    Args:
        configuration: A run file of configs/. Its dumps are replaced by the newest one, for all languages.
        package: The corpus only, or all packages.
        overrides: One setting in each field, as on the command line. Example: corpus.fetch.pick=0:16
        listing: Address of the list of dumps.
    """
    found = find_newest(listing, return_state=True)
    if not found.is_completed():
        return Failed(message=found.message)
    dump = str(found.message)
    try:
        project = f"{run_settings(resolve(configuration, '', overrides)).project}-{dump}"
    except XlmrError as error:
        return Failed(message=str(error))
    given = {"project": project, "overrides": [*settings_of(dump), *overrides]}
    state: State[Any] = (corpus if package == "corpus" else full)(configuration, **given, return_state=True)
    if state.is_completed():
        return Completed(message=f"{project}: {state.message}")
    return Failed(message=state.message) if state.is_failed() else state


def settings_of(dump: str) -> list[str]:
    """The settings that read one dump, for all languages, whatever a configuration reads."""
    return ["corpus.fetch.crawl=''", f"corpus.fetch.dumps=[{dump}]", "corpus.mine.dumps={}"]


@task(name="find the newest dump", cache_policy=NO_CACHE, persist_result=False, **TRIES)
def find_newest(listing: str) -> State[Any]:
    """Completed, with the name of the dump as its message."""
    from corpus.crawl import newest

    try:
        return Completed(message=newest.newest_dump(listing))
    except XlmrError as error:
        return failed(error)
