"""`make ui`, runs and `make down` with PostgreSQL: nothing is left running, and what is stored is true."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgresql_server import is_installed, new_server
from prefect_service import BESIDE, Held, PrefectService

pytestmark = pytest.mark.slow


@pytest.fixture
def postgresql() -> Iterator[str]:
    """Where a new PostgreSQL server is, as SQLAlchemy has it."""
    if not is_installed():
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with new_server() as address:
        yield address


def states_in(database: str) -> dict[str, str]:
    """Flow run -> name of its state, read without a server of Prefect."""
    import asyncpg

    async def read() -> dict[str, str]:
        connection = await asyncpg.connect(database.replace("+asyncpg", ""))
        try:
            return {str(one["id"]): one["state_name"] for one in await connection.fetch("SELECT * FROM flow_run")}
        finally:
            await connection.close()

    return asyncio.run(read())


def test_nothing_is_left_after_up_runs_and_down(tmp_path: Path, postgresql: str) -> None:
    service = PrefectService(tmp_path)
    service.environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = postgresql
    try:
        service.command("up")
        done = service.submit(BESIDE, project="done", overrides=["run.until=toy"])
        under_way = Held(service, "half").begun()
        service.ended_as(done, "Completed")
    finally:
        service.command("down")
    assert service.processes() == []
    assert not (tmp_path / "home" / "prefect.db").exists()
    assert states_in(postgresql) == {done: "Completed", under_way: "Crashed"}
