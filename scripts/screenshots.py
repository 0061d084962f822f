"""Takes the screenshots of the documentation: ``make screenshots`` writes docs/assets/*.webp.

The corpus of the demo goes through Prefect on loopback, in a temporary folder, the rest of the demo follows on the
command line, and Chromium without a window looks at both. This takes ten minutes. Sizes in pixels are always the same;
what the pages show is of that run. ``python -m scripts.screenshots REPORT`` takes those of a report that is there.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from PIL import Image

from flows.loopback import Loopback
from pipeline.cli import exit_code_of
from pipeline.errors import XlmrError
from pipeline.serve.command import RUNS_FOLDER

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "assets"
PORT = 4260
RUN_SECONDS = 3600
SETTLE_SECONDS = 3.0
"""For a page that draws itself after it has loaded."""
QUALITY = 80
LARGEST_BYTES = 150_000
Size = tuple[int, int]
DESKTOP, PHONE = (1280, 900), (390, 844)


@dataclass(frozen=True)
class Camera:
    """A browser that takes pictures of pages."""

    browser: Any

    def take(
        self, name: str, address: str, size: Size = DESKTOP, scheme: str = "light", until: str = "", of: str = ""
    ) -> None:
        """Write docs/assets/NAME.webp, from the page's first element ``of`` on or from its top.

        With ``until`` the picture ends below the first such element.
        """
        width, height = size
        context = self.browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        page = context.new_page()
        page.goto(address)
        if until:
            page.locator(until).first.wait_for()
        if of:
            page.locator(of).first.evaluate("element => element.scrollIntoView()")
        page.wait_for_timeout(1000 * SETTLE_SECONDS)
        if until:
            box = page.locator(until).first.bounding_box()
            height = min(height, round(box["y"] + box["height"]) + 16)
        area = {"x": 0, "y": 0, "width": width, "height": height}
        write(FOLDER / f"{name}.webp", page.screenshot(clip=area))
        context.close()


@dataclass(frozen=True)
class Server:
    """Prefect's server, asked as its pages ask it."""

    service: Loopback

    def ask(self, path: str, body: Any = None) -> Any:
        """What Prefect's server answers. It is asked again while its database is busy."""
        while True:
            answer = httpx.request("GET" if body is None else "POST", f"{self.service.address}/api{path}", json=body)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                answer.raise_for_status()
                return answer.json()
            time.sleep(1)

    def deployment(self, name: str) -> str:
        """Its number."""
        return str(self.ask(f"/deployments/name/{name}")["id"])

    def run(self, name: str, overrides: list[str]) -> str:
        """Start a run of a deployment; its number, once it has ended. Errors: XlmrError if it has not completed."""
        parameters = {"configuration": "demo", "overrides": overrides}
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        number = str(self.ask(f"/deployments/{self.deployment(name)}/create_flow_run", body)["id"])
        end = time.monotonic() + RUN_SECONDS
        while time.monotonic() < end:
            state = self.ask(f"/flow_runs/{number}")["state"]
            if state["type"] == "COMPLETED":
                return number
            if state["type"] in {"FAILED", "CRASHED", "CANCELLED"}:
                raise XlmrError(f"{name}: {state['message']}", "see the run's own messages")
            time.sleep(2)
        raise XlmrError(f"{name} takes more than {RUN_SECONDS} s", "try again on a machine with less to do")

    def artifact(self, key: str) -> str:
        """The address of the newest with that key."""
        found = self.ask("/artifacts/latest/filter", {"limit": 200})
        numbers = {one["key"]: one["latest_id"] for one in found}
        if key not in numbers:
            raise XlmrError(f"there is no artifact {key}", f"those are there: {', '.join(sorted(numbers))}")
        return f"{self.service.address}/artifacts/artifact/{numbers[key]}"


def write(path: Path, png: bytes) -> None:
    """Write the picture as WebP. Errors: XlmrError for one that is too large for a page."""
    small = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(small, "webp", quality=QUALITY, method=6)
    if len(small.getvalue()) > LARGEST_BYTES:
        raise XlmrError(f"{path}: {len(small.getvalue()):,} bytes are too many", "take less of the page")
    path.write_bytes(small.getvalue())
    print(f"{path} {len(small.getvalue()):,} bytes")


@contextmanager
def camera() -> Iterator[Camera]:
    """A browser while the block runs. Errors: XlmrError where there is no Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise XlmrError("there is no Chromium", "install Debian's package chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        yield Camera(started.chromium.launch(executable_path=chromium, args=["--no-sandbox"]))


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """Prefect on loopback while the block runs."""
    os.environ[RUNS_FOLDER] = str(folder / "runs")
    service = Loopback(folder / "prefect", PORT)
    try:
        service.up()
        yield Server(service)
    finally:
        service.down()


def take_prefect(one: Camera, folder: Path) -> None:
    """Make the corpus of the demo and take what Prefect shows of it."""
    with server(folder) as prefect:
        corpus = prefect.run("corpus/demo", [f"run.directory={folder / 'runs'}"])
        address = prefect.service.address
        one.take("prefect-form", f"{address}/deployments/deployment/{prefect.deployment('corpus/demo')}/run")
        one.take("prefect-run", f"{address}/runs/flow-run/{corpus}")
        one.take("prefect-figure", prefect.artifact("corpus-mine-what-was-kept-figure"), until="img[src^='data:']")


def take_report(one: Camera, report: Path) -> None:
    """Take the report of the demo: its beginning, and the scores of fine-tuning on a phone in the dark."""
    address = report.resolve().as_uri()
    one.take("report", address)
    one.take("report-phone", address, PHONE, "dark", of="#fine-tuning-what-is-a-help-page-about")


def make_demo(folder: Path) -> Path:
    """Run what is left of the demo; its report."""
    words = ["run", "configs/demo.yaml", "--run.directory", str(folder / "runs")]
    done = subprocess.run([sys.executable, "-m", "pipeline", *words], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.splitlines()[-1])


def main() -> int:
    """Exit codes: 0 done, 1 failed."""

    def work() -> int:
        with camera() as one, tempfile.TemporaryDirectory() as folder:
            if len(sys.argv) > 1:
                take_report(one, Path(sys.argv[1]))
            else:
                take_prefect(one, Path(folder))
                take_report(one, make_demo(Path(folder)))
        return 0

    return exit_code_of(work, "docs/flows.md")


if __name__ == "__main__":
    sys.exit(main())
