"""`make ui`, runs and `make down` with PostgreSQL: nothing is left running, and what is stored is true."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect_service import BESIDE, Held, PrefectService

pytestmark = pytest.mark.slow

DEBIAN = sorted(str(path) for path in Path("/usr/lib/postgresql").glob("*/bin"))
INITDB, PG_CTL = (
    shutil.which(name, path=os.pathsep.join([*DEBIAN, os.environ["PATH"]])) for name in ("initdb", "pg_ctl")
)


@pytest.fixture
def postgresql() -> Iterator[str]:
    """Where a new PostgreSQL server is, as SQLAlchemy has it."""
    if INITDB is None or PG_CTL is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    owner = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to be root
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder, socket.socket() as free:
        if owner is not None:
            os.chown(folder, pwd.getpwnam(owner).pw_uid, -1)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        data = f"{folder}/data"
        control = [PG_CTL, "-D", data, "-w", "-l", f"{folder}/log"]
        _run([INITDB, "-D", data, "-U", "prefect", "-A", "trust", "--no-sync"], owner)
        _run([*control, "-o", f"-p {port} -k {folder} -h 127.0.0.1 -F", "start"], owner)
        try:
            yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/postgres"
        finally:
            _run([*control, "-m", "immediate", "stop"], owner)


def _run(words: list[str], owner: str | None) -> None:
    # To a file that a server keeps open, a pipe would never end.
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run(words, user=owner, cwd="/", stdout=said, stderr=said, check=False)
        said.seek(0)
        assert done.returncode == 0, said.read()


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
