"""What a run needs from the network and does not get is tried again; what is not there is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from file_server import FileServer, serving
from prefect_service import BESIDE, ROOT, PrefectService

pytestmark = pytest.mark.slow

CRAWL = "shard-00000.warc.wet.gz"


@pytest.fixture
def files() -> Iterator[FileServer]:
    with serving(ROOT / "samples" / "crawl" / CRAWL) as server:
        yield server


def tries(service: PrefectService, *runs: str) -> dict[str, int]:
    """Task -> how often it was begun, in these runs and their subflows."""
    subflows = service.ask("POST", "/flow_runs/filter", {"flow_runs": {"parent_flow_run_id": {"any_": list(runs)}}})
    ids = [*runs, *(one["id"] for one in subflows)]
    found: list[Any] = service.ask("POST", "/task_runs/filter", {"flow_runs": {"id": {"any_": ids}}})
    return {one["name"].rsplit("-", 1)[0]: one["run_count"] for one in found}


def test_file_of_the_crawl_that_a_server_refuses_is_tried_again(service: PrefectService, files: FileServer) -> None:
    where = files.address(CRAWL, refusals=1)
    settings = [f"corpus.fetch.crawl={where}", "corpus.read.download.attempts=1"]
    run = service.submit(BESIDE, stages=["corpus.fetch", "corpus.hash"], project="refused", overrides=settings)
    service.ended_as(run, "Completed")
    assert tries(service, run) == {"plan": 1, "corpus": 1, "corpus.fetch": 1, "corpus.hash": 2}


def test_outside_file_is_tried_again_by_the_plan_and_one_that_is_not_there_fails(
    service: PrefectService, files: FileServer
) -> None:
    there = files.address("numbers", refusals=3)  # HEAD, then GET, and again HEAD
    run = service.submit(BESIDE, stages=["toy.write"], project="planned", overrides=[f"toy.numbers.file={there}"])
    missing = service.submit(
        BESIDE, stages=["toy.write"], project="missing", overrides=[f"toy.numbers.file={there}.txt"]
    )
    service.ended_as(missing, "Failed")
    assert "numbers.txt: no such file" in service.message(missing)
    assert tries(service, missing)["plan"] == 1
    service.ended_as(run, "Completed")
    assert tries(service, run)["plan"] == 2
