"""Prefect's pages and the report in a browser, as a person uses them: start a run, watch it and look at it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prefect_service import PATIENCE, ROOT, Held, PrefectService

pytestmark = pytest.mark.slow

SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
MOST_INPUTS = 12
AGAIN_SECONDS = 20.0
PROJECT = "seen"
SETTINGS = [
    f"corpus.fetch.crawl={ROOT}/samples/crawl/shard-00000.warc.wet.gz",
    f"corpus.language_models.text={ROOT}/samples/clean/gl.txt.xz",
    "corpus.language_models.vocab_size=500",
    "corpus.mine.languages=['gl','en','pt']",
]
"""A small corpus, in which one language has cut-offs."""


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    opened = open_page(browser, "desktop")
    yield opened
    opened.context.close()


def open_page(browser: Any, size: str) -> Any:
    width, height = SIZES[size]
    page = browser.new_context(viewport={"width": width, "height": height}).new_page()
    page.set_default_timeout(1000 * PATIENCE)
    return page


def test_a_corpus_from_its_form_to_its_report(service: PrefectService, browser: Any, page: Any) -> None:
    start_by_form(service, page)
    page.locator(".state-badge", has_text="Completed").first.wait_for()
    shown = {found["key"]: found for found in service.ask("POST", "/artifacts/latest/filter", {"limit": 200})}

    def open_artifact(key: str) -> None:
        page.goto(f"{service.ui}/artifacts/artifact/{shown[key]['latest_id']}")

    open_artifact("corpus-mine-what-was-kept-figure")
    picture = page.locator("img[src^='data:image/png']").first
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 0
    open_artifact("corpus-mine-progress")
    page.get_by_text("Progress: 100%").wait_for()
    table = "corpus-regroup-text-by-language-table-2"
    open_artifact(table)
    page.locator("tbody tr").first.wait_for()
    assert page.locator("tbody tr").count() == len(json.loads(shown[table]["data"]))
    write_report(service)
    for size in SIZES:
        assert what_is_wrong_with_report(service, browser, size) == []


def test_cancel_ends_a_run(service: PrefectService, page: Any) -> None:
    run = Held(service, "cancelled-by-a-button").begun()
    page.goto(f"{service.ui}/runs/flow-run/{run}")
    page.get_by_role("button", name="Cancel", exact=True).click()
    confirm = page.locator(".p-modal").get_by_role("button", name="Confirm", exact=True)
    confirm.click()
    service.ended_as(run, "Cancelled")
    page.locator(".state-badge", has_text="Cancelled").first.wait_for()
    service.has_only_services()


def start_by_form(service: PrefectService, page: Any) -> None:
    """Fill in the form of `corpus`, start the run and open its page."""
    deployment = service.ask("GET", "/deployments/name/corpus/demo")["id"]
    page.goto(f"{service.ui}/deployments/deployment/{deployment}/run")
    form = page.locator("form")

    def field(name: str) -> Any:
        return form.locator(".schema-form-property").filter(has=page.get_by_text(f"{name} (Optional)", exact=True))

    field("project").locator("textarea").fill(PROJECT)
    inputs = form.locator(".p-label")
    assert inputs.count() <= MOST_INPUTS
    ends = [box["y"] + box["height"] for box in (one.bounding_box() for one in inputs.all())]
    assert max(ends) <= SIZES["desktop"][1], "a person sees all of them at once"
    for number, setting in enumerate(SETTINGS):
        field("overrides").get_by_role("button", name="Add item").click()
        field("overrides").locator("textarea").nth(number).fill(setting)
    press(page.get_by_role("button", name="Submit"), lambda: page.url.endswith("?tab=Runs"))
    newest = {"sort": "EXPECTED_START_TIME_DESC", "limit": 1, "deployments": {"id": {"any_": [deployment]}}}
    (run,) = service.ask("POST", "/flow_runs/filter", newest)
    page.goto(f"{service.ui}/runs/flow-run/{run['id']}")


def press(button: Any, has_worked: Callable[[], bool]) -> None:
    """Press it, and again where the server has refused: SQLite has one writer at a time (docs/flows.md)."""
    end = time.monotonic() + PATIENCE
    while True:
        button.click()
        pressed = time.monotonic()
        while time.monotonic() < pressed + AGAIN_SECONDS:
            if has_worked():
                return
            button.page.wait_for_timeout(200)
        assert time.monotonic() < end, "pressed in vain"


def write_report(service: PrefectService) -> None:
    """Write the page of the run into its folder, which `xlmr serve` shows."""
    words = [f"--run.project={PROJECT}", *(f"--{setting}" for setting in SETTINGS)]
    command = [sys.executable, "-m", "pipeline", "report", "configs/demo.yaml", *words]
    subprocess.run(command, cwd=service.folder, env=service.environment, check=True, capture_output=True)


def what_is_wrong_with_report(service: PrefectService, browser: Any, size: str) -> list[str]:
    """Errors on its console, requests to other servers, and what is wider than the screen."""
    page = open_page(browser, size)
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(service.reports) else None)
    for path, heading in (("/", "runs"), (f"/{PROJECT}/", PROJECT), (f"/{PROJECT}/files/report.html", PROJECT)):
        page.goto(f"{service.reports}{path}")
        page.locator("h1", has_text=heading).wait_for()
        beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if beyond > 0:
            wrong.append(f"{path}: {beyond} pixels wider than the screen")
    page.context.close()
    return wrong
