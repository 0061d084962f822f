"""Settings of the automations, and automations of a real server: a failed run calls a hook, a run starts the next."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect_service import BESIDE, QUICK, ROOT, PrefectService, wait_for

from pipeline.errors import UsageError

TOY_FLOW = Path(__file__).with_name("toy_flow.py")


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
    with automated(automating, failures(UUID(str(number)))):
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
def test_completed_run_names_its_damaged_input(automating: PrefectService) -> None:
    run = automating.submit(stages=["toy.write"], project="first", overrides=["toy.numbers.count=8"])
    automating.ended_as(run, "Completed")
    assert "seven is odd" in automating.message(run)


@pytest.mark.slow
def test_complete_package_starts_the_next_in_its_project(automating: PrefectService, tmp_path: Path) -> None:
    from flows.automations import chain

    def run_toy_package(project: str, configuration: str, until: str) -> None:
        words = [str(tmp_path), project, configuration, until, *overrides]
        environment = {**automating.environment, "PREFECT_API_URL": automating.api}
        subprocess.run([sys.executable, TOY_FLOW, *words], env=environment, cwd=ROOT, check=True)

    second = automating.ask("GET", f"/deployments/name/full/{BESIDE}")["id"]
    overrides = ["toy.numbers.count=3", "toy.numbers.seconds=0.0", f"run.directory={tmp_path}/it's here"]
    runs = {"deployments": {"id": {"any_": [second]}}, "sort": "EXPECTED_START_TIME_DESC"}
    before = len(automating.ask("POST", "/flow_runs/filter", runs))
    with automated(automating, chain("toy", "full", second, "demo")):
        run_toy_package("elsewhere", "another", "toy")  # of another configuration
        run_toy_package("half", "demo", "toy.write")  # not all of its stages
        run_toy_package("whole", "demo", "toy")
        wait_for(lambda: len(automating.ask("POST", "/flow_runs/filter", runs)) > before)
        started = automating.ask("POST", "/flow_runs/filter", runs)
    assert len(started) == before + 1
    given = started[0]["parameters"]
    assert given == {"configuration": "demo", "project": "whole", "overrides": overrides}
    automating.set_state(started[0]["id"], "CANCELLED")
    automating.has_only_services()


@pytest.mark.slow
def test_automations_are_those_that_the_environment_asks_for(
    automating: PrefectService, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows import automations

    def there() -> set[str]:
        return {one["name"] for one in automating.ask("POST", "/automations/filter", {})}

    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
    usual = there()
    with temporary_settings({PREFECT_API_URL: automating.api}):
        monkeypatch.setenv(automations.CHAIN, "demo")
        monkeypatch.setenv(automations.RETRY_SECONDS, "")
        assert "xlmr: pretrain starts finetune (demo)" in automations.put_automations()
        assert {name for name in there() if " starts " in name} == {
            "xlmr: corpus starts tokenizer (demo)",
            "xlmr: tokenizer starts pretrain (demo)",
            "xlmr: pretrain starts finetune (demo)",
            "xlmr: finetune starts report (demo)",
        }
        assert "xlmr: runs that have died, delay 1" not in there()
        monkeypatch.setenv(automations.CHAIN, "demo, other")
        with pytest.raises(UsageError, match="XLMR_CHAIN: there is no deployment tokenizer/other"):
            automations.put_automations()
        monkeypatch.delenv(automations.CHAIN)
        for block in ("slack", "00000000-0000-4000-8000-000000000000"):
            monkeypatch.setenv(automations.NOTIFICATION_BLOCK, block)
            with pytest.raises(UsageError, match=f"XLMR_NOTIFICATION_BLOCK={block}: the server has no such block"):
                automations.put_automations()
        monkeypatch.delenv(automations.NOTIFICATION_BLOCK)
        monkeypatch.setenv(automations.RETRY_SECONDS, QUICK[automations.RETRY_SECONDS])
        assert set(automations.put_automations()) == usual == there()


def test_seconds_that_prefect_does_not_take_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.automations import RETRY_SECONDS, _seconds

    assert _seconds(RETRY_SECONDS, "60,300") == [60, 300]
    monkeypatch.setenv(RETRY_SECONDS, "")
    assert _seconds(RETRY_SECONDS, "60,300") == []
    monkeypatch.setenv(RETRY_SECONDS, "60,3")
    with pytest.raises(UsageError, match="XLMR_RETRY_SECONDS=60,3: not seconds of at least 10"):
        _seconds(RETRY_SECONDS, "60,300")
