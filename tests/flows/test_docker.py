"""Runs as containers: a work pool of type docker, its worker, and a real Docker engine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker_engine import new_engine, volumes_of_this_machine, why_not
from prefect_service import QUICK, ROOT, Held, PrefectService, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]


@pytest.fixture
def engine() -> Iterator[str]:
    pytest.importorskip("prefect_docker", reason="prefect-docker is not installed")
    with new_engine() as address:
        yield address


@pytest.fixture
def containers(engine: str, tmp_path: Path) -> Iterator[PrefectService]:
    """`make ui` with pools of type docker; their containers see the files of this machine in place of an image's."""
    service = PrefectService(tmp_path)
    (tmp_path / "infra").symlink_to(ROOT / "infra")
    of_run = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": "/tmp",
        "PREFECT_API_URL": service.api,
        **{name: service.environment[name] for name in ("PYTHONPATH", "XLMR_PACKAGES", *QUICK)},
    }
    shared = [f"{tmp_path}:{tmp_path}", f"{tmp_path}:/app", f"{ROOT}:{ROOT}:ro", *volumes_of_this_machine()]
    service.environment |= {
        "DOCKER_HOST": engine,
        "XLMR_POOL_TYPE": "docker",
        "XLMR_POOL_VARIABLES": json.dumps(
            {"networks": [], "volumes": shared, "env": of_run, "image": "xlmr-pipeline:cpu", "devices": []}
        ),
    }
    with service.running():
        yield service


def test_run_is_a_container_that_ends_with_it(containers: PrefectService, engine: str) -> None:
    import docker

    client: Any = docker.DockerClient(base_url=engine)
    held = Held(containers, "done")
    run = held.begun()
    (container,) = client.containers.list()
    assert container.labels["io.prefect.flow-run-id"] == run
    assert container.attrs["Config"]["WorkingDir"] == "/app"
    held.go.touch()
    containers.ended_as(run, "Completed")
    wait_for(lambda: not client.containers.list(all=True))

    cancelled = Held(containers, "cancelled")
    run = cancelled.begun()
    containers.set_state(run, "CANCELLING")
    containers.ended_as(run, "Cancelled")
    wait_for(lambda: not client.containers.list(all=True))

    killed = Held(containers, "killed")
    run = killed.begun()
    (container,) = client.containers.list()
    container.kill()
    containers.ended_as(run, "Crashed")
    marks = killed.marks()
    killed.go.touch()
    containers.set_state(run, "SCHEDULED", "AwaitingRetry")
    containers.ended_as(run, "Completed", but=("Crashed",))
    assert marks <= killed.marks()
    wait_for(lambda: not client.containers.list(all=True))
