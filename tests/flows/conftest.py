"""One Prefect server with pools, deployments and workers for all tests of flows, and one that loses no event."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from postgresql_server import Database, is_installed, new_server
from prefect_service import PrefectService

import flows


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectService]:
    with running(tmp_path_factory.mktemp("service")) as made:
        yield made


@pytest.fixture(scope="module")
def prefect_server(service: PrefectService) -> Iterator[None]:
    assert flows.__name__ == "flows"
    assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: service.api}):
        yield


@pytest.fixture(scope="session")
def automating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectService]:
    """With PostgreSQL where it is installed: with SQLite, an event is now and then lost (docs/flows.md)."""
    own = new_server() if is_installed() else nullcontext(None)
    with own as database, running(tmp_path_factory.mktemp("automating"), database) as made:
        yield made


@contextmanager
def running(folder: Path, database: Database | None = None) -> Iterator[PrefectService]:
    made = PrefectService(folder)
    if database:
        made.environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = database.address
    with made.running() as said:
        assert "started: server, xlmr-cpu, xlmr-gpu" in said
        yield made
    assert "nothing, none of it was running" in made.command("down")
