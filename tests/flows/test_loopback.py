"""`make ui`, runs and `make down` with PostgreSQL: nothing is left running, and what is stored is true."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgresql_server import Database, is_installed, new_server
from prefect_service import Held, PrefectService, begun, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def postgresql() -> Iterator[Database]:
    if not is_installed():
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with new_server() as database:
        yield database


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


def test_lost_database_ends_no_run_and_nothing_is_left_after_down(tmp_path: Path, postgresql: Database) -> None:
    service = PrefectService(tmp_path)
    service.environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = postgresql.address
    with service.running():
        done, under_way = begun(Held(service, "done"), half := Held(service, "half"))
        postgresql.stop()
        Held(service, "done").go.touch()  # the run ends while nothing can be stored
        wait_for(lambda: len(Held(service, "done").marks()) == 4)
        time.sleep(10)
        postgresql.start()
        service.ended_as(done, "Completed")
        assert service.state(under_way) == "Running"
        assert len(half.marks()) == 2
    assert not (tmp_path / "home" / "prefect.db").exists()
    assert states_in(postgresql.address) == {done: "Completed", under_way: "Crashed"}
