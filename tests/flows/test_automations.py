"""Automations of a real server: a failed run is sent to a hook, a completed run starts the next."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prefect_service import BESIDE, PrefectService, wait_for

from pipeline.errors import UsageError

pytestmark = pytest.mark.slow


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


def test_failed_run_is_sent_to_the_hook(service: PrefectService, hook: Hook) -> None:
    from prefect.blocks.notifications import CustomWebhookNotificationBlock
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.automations import failures

    with temporary_settings({PREFECT_API_URL: service.api}):
        block = CustomWebhookNotificationBlock(
            name="hook", url=f"http://127.0.0.1:{hook.server_address[1]}/", json_data={"text": "{{subject}} {{body}}"}
        )
        number = block.save("hook", overwrite=True)
    body = failures(str(number)).model_dump(mode="json", exclude={"owner_resource"})
    automation = service.ask("POST", "/automations/", body)
    try:
        run = service.submit(BESIDE, project="hooked", overrides=["toy.numbres.count=1"])
        service.ended_as(run, "Failed")
        wait_for(lambda: hook.bodies)
    finally:
        service.ask("DELETE", f"/automations/{automation['id']}")
    assert "xlmr: full of hooked is Failed" in hook.bodies[0]
    assert "did you mean numbers?" in hook.bodies[0]


def test_completed_run_starts_the_next(service: PrefectService) -> None:
    from flows.automations import chain

    first, second = (service.ask("GET", f"/deployments/name/full/{name}")["id"] for name in ("demo", BESIDE))
    body = chain("full", "full", first, second, "demo").model_dump(mode="json", exclude={"owner_resource"})
    automation = service.ask("POST", "/automations/", body)
    runs = {"deployments": {"id": {"any_": [second]}}, "sort": "EXPECTED_START_TIME_DESC"}
    before = len(service.ask("POST", "/flow_runs/filter", runs))
    try:
        run = service.submit(stages=["toy.write"], project="first")
        service.ended_as(run, "Completed")
        wait_for(lambda: len(service.ask("POST", "/flow_runs/filter", runs)) > before)
    finally:
        service.ask("DELETE", f"/automations/{automation['id']}")
    (started, *_) = service.ask("POST", "/flow_runs/filter", runs)
    service.set_state(started["id"], "CANCELLED")


def test_seconds_that_prefect_does_not_take_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.automations import RETRY_SECONDS, _seconds

    assert _seconds(RETRY_SECONDS, "60,300") == [60, 300]
    monkeypatch.setenv(RETRY_SECONDS, "")
    assert _seconds(RETRY_SECONDS, "60,300") == []
    monkeypatch.setenv(RETRY_SECONDS, "60,3")
    with pytest.raises(UsageError, match="XLMR_RETRY_SECONDS=60,3: not seconds of at least 10"):
        _seconds(RETRY_SECONDS, "60,300")
