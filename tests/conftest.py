"""What holds for all tests: neither how busy the machine is nor what its environment says fails one."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from pipeline.store import objects
from pipeline.store.path import StoredPath

if TYPE_CHECKING:
    from s3_server import S3Server

# No deadline of an example, nor of making one. The rest is as hypothesis has it: where CI is set, the same examples
# every time.
settings.register_profile("unhurried", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # they are made for CPUs, to the bit; read when PyTorch first looks for a GPU

# Read when PyTorch and NumPy are imported. Small models gain nothing from a second thread, and where several processes
# share the cores, threads wait for each other at work: teaching a model one sentence took 18 s of processor time, then
# half a second.
os.environ["OMP_NUM_THREADS"] = "1"

LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

for name in list(os.environ):
    # Settings of runs, the place in a job of several tasks, the width and colours of whoever looks on.
    is_setting = name.startswith("XLMR_") and "__" in name
    if is_setting or name.startswith("SLURM_") or name in {*LAUNCHERS, "COLUMNS", "FORCE_COLOR"}:
        del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: of two workers, none has a long file left when the other is done."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """What the tests have imported is left out of garbage collections: a million objects that stay for good."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # libraries complain of what is left at the end


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests with a browser where there is none, before anything is made for them."""
    if "browser" in getattr(item, "fixturenames", ()):
        pytest.importorskip("playwright.sync_api", reason="the extra dev is not installed")
        if CHROMIUM is None:
            pytest.skip("there is no Chromium: install Debian's package chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window. Of a module: while it is open, nothing else can use asyncio in this thread."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built documentation."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    from s3_server import S3Server  # moto takes a second to import

    server = S3Server()
    yield server
    server.close()


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """An S3 server on loopback, which every process that a test starts finds in its environment."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    objects._filesystem.cache_clear()
    s3_server.requests.clear()
    s3_server.injected.clear()
    yield s3_server
    s3_server.faults, s3_server.before, s3_server.conditions = {}, None, "as AWS"


@pytest.fixture
def bucket(s3: S3Server) -> StoredPath:
    """A bucket of its own."""
    path = StoredPath(f"s3://test-{uuid.uuid4().hex}")
    objects.filesystem_at(path.address).mkdir(path.address)
    return path


@pytest.fixture
def quick_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that fail are tried again at once."""
    monkeypatch.setattr(objects, "WAITS", (0.01,) * 12)
