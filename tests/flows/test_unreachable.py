"""What a run needs from the network and does not get is tried again; what is not there is not."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prefect_service import BESIDE, ROOT, PrefectService

pytestmark = pytest.mark.slow

CRAWL = "shard-00000.warc.wet.gz"


class FileServer(ThreadingHTTPServer):
    """Gives one file under any name; ``refusals`` says how often each name is refused with 503 before."""

    def __init__(self, file: Path) -> None:
        self.content = file.read_bytes()
        self.refusals: Counter[str] = Counter()
        super().__init__(("127.0.0.1", 0), FileRequest)

    def address(self, name: str, refusals: int) -> str:
        """Of a file that is refused so many times."""
        self.refusals[f"/{name}"] = refusals
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class FileRequest(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        found = self.path in self.server.refusals
        refused = found and self.server.refusals[self.path] > 0
        if refused:
            self.server.refusals[self.path] -= 1
        self.send_response(503 if refused else 200 if found else 404)
        content = self.server.content if found and not refused else b""
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else content)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def files() -> Iterator[FileServer]:
    with FileServer(ROOT / "samples" / "crawl" / CRAWL) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


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
