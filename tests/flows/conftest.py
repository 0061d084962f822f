"""One Prefect server with pools, deployments and workers for all tests of flows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect_service import PrefectService


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectService]:
    made = PrefectService(tmp_path_factory.mktemp("service"))
    try:
        said = made.command("up")
        assert "started: server, xlmr-cpu, xlmr-gpu" in said
        yield made
    finally:
        made.command("down")
    assert made.processes() == []
    assert "nothing, none of it was running" in made.command("down")
