"""A PostgreSQL server for one test or some, in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DEBIAN = sorted(str(path) for path in Path("/usr/lib/postgresql").glob("*/bin"))
INITDB, PG_CTL = (
    shutil.which(name, path=os.pathsep.join([*DEBIAN, os.environ["PATH"]])) for name in ("initdb", "pg_ctl")
)


def is_installed() -> bool:
    """Whether there are its programs."""
    return INITDB is not None and PG_CTL is not None


@dataclass(frozen=True)
class Database:
    """A server that runs, unless it is stopped."""

    control: list[str]
    port: int
    owner: str | None

    @property
    def address(self) -> str:
        """Where it is, as SQLAlchemy has it."""
        return f"postgresql+asyncpg://prefect@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, as at first or again."""
        _run([*self.control, "-o", f"-p {self.port} -k {self.control[2]}/.. -h 127.0.0.1 -F", "start"], self.owner)

    def stop(self) -> None:
        """End it at once, as by a power cut: it closes no connection as it should."""
        _run([*self.control, "-m", "immediate", "stop"], self.owner)


@contextmanager
def new_server() -> Iterator[Database]:
    """One that runs; at the end of the block it is gone."""
    assert INITDB is not None
    assert PG_CTL is not None
    owner = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to be root
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder, socket.socket() as free:
        if owner is not None:
            os.chown(folder, pwd.getpwnam(owner).pw_uid, -1)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        data = f"{folder}/data"
        _run([INITDB, "-D", data, "-U", "prefect", "-A", "trust", "--no-sync"], owner)
        database = Database([PG_CTL, "-D", data, "-w", "-l", f"{folder}/log"], port, owner)
        database.start()
        try:
            yield database
        finally:
            database.stop()


def _run(words: list[str], owner: str | None) -> None:
    # To a file that a server keeps open, a pipe would never end.
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run(words, user=owner, cwd="/", stdout=said, stderr=said, check=False)
        said.seek(0)
        assert done.returncode == 0, said.read()
