"""Tags of a flow run, to filter by in the UI: its project, the dumps that it reads, and its languages."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from pipeline.config import Section

_DUMP = re.compile(r"CC-MAIN-\d{4}-\d+")
MOST_LANGUAGES = 5
"""More languages than these are one tag with their number."""


def tags_of(config: Section) -> list[str]:
    """``project:demo``, ``dump:CC-MAIN-2018-05``, ``language:sw``; packages that are not installed give none."""
    settings: dict[str, Any] = config.model_dump(mode="json")
    corpus = settings.get("corpus", {})
    fetch = corpus.get("fetch", {})
    dumps = sorted(
        {dump for text in (fetch.get("crawl"), *fetch.get("dumps", [])) for dump in _DUMP.findall(str(text))}
    )
    languages = corpus.get("mine", {}).get("languages", [])
    shown = [f"language:{language}" for language in languages]
    if len(shown) > MOST_LANGUAGES:
        shown = [f"{len(shown)} languages"]
    return [f"project:{settings['run']['project']}", *(f"dump:{dump}" for dump in dumps), *shown]


def tag_run(config: Section) -> None:
    """Add them to the current flow run, beside those of its deployment."""
    tags = {*flow_run.get_tags(), *tags_of(config)}
    with get_client(sync_client=True) as client:
        client.update_flow_run(UUID(str(flow_run.get_id())), tags=tags)
