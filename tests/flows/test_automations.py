"""Settings of the automations, and automations of a real server: a failed run calls a hook, a run starts the next."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from prefect_service import BESIDE, PrefectService, wait_for

from pipeline.errors import UsageError


class Hook(ThreadingHTTPServer):
    """A web server that keeps what is sent to it."""

    def __init__(self) -> None:
        self.bodies: list[str] = []
        super().__init__(("127.0.0.1", 0), HookRequest)


class HookRequest(BaseHTTPRequestHandler):
    """One message to it."""

    server: Hook

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@contextmanager
def automated(service: PrefectService, automation: Any) -> Iterator[None]:
    """The server has the automation while the block runs."""
    body = automation.model_dump(mode="json", exclude={"owner_resource"})
    made = service.ask("POST", "/automations/", body)
    try:
        yield
    finally:
        service.ask("DELETE", f"/automations/{made['id']}")


@pytest.mark.slow
def test_failed_run_shows_one_line_and_is_sent_to_the_hook(automating: PrefectService, hook: Hook) -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.automations import failures

    with temporary_settings({PREFECT_API_URL: automating.api}):
        block = CustomWebhookNotificationBlock(
            name="hook", url=f"http://127.0.0.1:{hook.server_address[1]}/", json_data={"text": "{{subject}} {{body}}"}
        )
        number = block.save("hook", overwrite=True)
    with automated(automating, failures(str(number))):
        run = automating.submit(BESIDE, project="failed", overrides=["toy.numbers.bad=1", "run.until=toy"])
        automating.ended_as(run, "Failed")
        wait_for(lambda: hook.bodies)
    assert "xlmr: full of failed is Failed" in hook.bodies[0]
    assert "number 1 is bad; take another" in hook.bodies[0]
    assert "number 1 is bad; take another" in automating.message(run)
    assert_log_has_no_traceback(automating, run)


def assert_log_has_no_traceback(service: PrefectService, run: str) -> None:
    """Of the run or of one of its stages; each stage that depends on the failed one says which."""

    def messages() -> dict[str, str]:
        found = service.ask("POST", "/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
        return {one["name"].rsplit("-", 1)[0]: (one["state"] or {}).get("message") or "" for one in found}

    wait_for(lambda: "depends on toy.write, which has no output" in messages().get("toy.sum", ""))
    wait_for(lambda: "depends on toy.sum, which has no output" in messages().get("toy.power", ""))
    wait_for(lambda: any("number 1 is bad" in line for line in service.log(run)))
    text = "\n".join(service.log(run))
    assert "Traceback" not in text
    assert "NoneType: None" not in text


@pytest.mark.slow
def test_completed_run_names_its_damaged_input_and_starts_the_next(automating: PrefectService) -> None:
    from flows.automations import chain

    first, second = (automating.ask("GET", f"/deployments/name/full/{name}")["id"] for name in ("demo", BESIDE))
    runs = {"deployments": {"id": {"any_": [second]}}, "sort": "EXPECTED_START_TIME_DESC"}
    before = len(automating.ask("POST", "/flow_runs/filter", runs))
    with automated(automating, chain("full", "full", first, second, "demo")):
        run = automating.submit(stages=["toy.write"], project="first", overrides=["toy.numbers.count=8"])
        automating.ended_as(run, "Completed")
        wait_for(lambda: len(automating.ask("POST", "/flow_runs/filter", runs)) > before)
    assert "seven is odd" in automating.message(run)
    started = automating.ask("POST", "/flow_runs/filter", runs)[0]["id"]
    automating.set_state(started, "CANCELLED")
    automating.has_only_services()


def test_seconds_that_prefect_does_not_take_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.automations import RETRY_SECONDS, _seconds

    assert _seconds(RETRY_SECONDS, "60,300") == [60, 300]
    monkeypatch.setenv(RETRY_SECONDS, "")
    assert _seconds(RETRY_SECONDS, "60,300") == []
    monkeypatch.setenv(RETRY_SECONDS, "60,3")
    with pytest.raises(UsageError, match="XLMR_RETRY_SECONDS=60,3: not seconds of at least 10"):
        _seconds(RETRY_SECONDS, "60,300")
