"""Takes the screenshots of the documentation: ``make screenshots`` writes docs/assets/*.webp.

The corpus of the demo goes through Prefect on loopback, in a temporary folder, and Chromium without a window looks at
it. This takes some minutes. Sizes in pixels are always the same; what the pages show is of that run.
"""

from __future__ import annotations

import io
import os
import shutil
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
DESKTOP = (1280, 900)


@dataclass(frozen=True)
class Camera:
    """A browser and the services that it looks at."""

    browser: Any
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

    def take(self, name: str, address: str, size: tuple[int, int] = DESKTOP, until: str = "") -> None:
        """Write docs/assets/NAME.webp; with ``until`` the picture ends below the first such element."""
        context = self.browser.new_context(viewport={"width": size[0], "height": size[1]})
        page = context.new_page()
        page.goto(address)
        if until:
            page.locator(until).first.wait_for()
        page.wait_for_timeout(1000 * SETTLE_SECONDS)
        height = size[1]
        if until:
            box = page.locator(until).first.bounding_box()
            height = min(height, round(box["y"] + box["height"]) + 16)
        area = {"x": 0, "y": 0, "width": size[0], "height": height}
        write(FOLDER / f"{name}.webp", page.screenshot(clip=area))
        context.close()


def write(path: Path, png: bytes) -> None:
    """Write the picture as WebP. Errors: XlmrError for one that is too large for a page."""
    small = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(small, "webp", quality=QUALITY, method=6)
    if len(small.getvalue()) > LARGEST_BYTES:
        raise XlmrError(f"{path}: {len(small.getvalue()):,} bytes are too many", "take less of the page")
    path.write_bytes(small.getvalue())
    print(f"{path} {len(small.getvalue()):,} bytes")


@contextmanager
def camera(folder: Path) -> Iterator[Camera]:
    """Services and a browser while the block runs. Errors: XlmrError where there is no Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise XlmrError("there is no Chromium", "install Debian's package chromium")
    from playwright.sync_api import sync_playwright

    os.environ[RUNS_FOLDER] = str(folder / "runs")
    service = Loopback(folder / "prefect", PORT)
    try:
        service.up()
        with sync_playwright() as started:
            yield Camera(started.chromium.launch(executable_path=chromium, args=["--no-sandbox"]), service)
    finally:
        service.down()


def take_all(folder: Path) -> None:
    """Make the corpus of the demo and take the pictures."""
    with camera(folder) as one:
        here = [f"run.directory={folder / 'runs'}"]
        corpus = one.run("corpus/demo", here)
        address = one.service.address
        one.take("prefect-form", f"{address}/deployments/deployment/{one.deployment('corpus/demo')}/run")
        one.take("prefect-run", f"{address}/runs/flow-run/{corpus}")
        one.take("prefect-figure", one.artifact("corpus-mine-what-was-kept-figure"), until="img[src^='data:']")


def main() -> int:
    """Exit codes: 0 done, 1 failed."""

    def work() -> int:
        with tempfile.TemporaryDirectory() as folder:
            take_all(Path(folder))
        return 0

    return exit_code_of(work, "docs/flows.md")


if __name__ == "__main__":
    sys.exit(main())
