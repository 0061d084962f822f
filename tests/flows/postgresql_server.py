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
from pathlib import Path

DEBIAN = sorted(str(path) for path in Path("/usr/lib/postgresql").glob("*/bin"))
INITDB, PG_CTL = (
    shutil.which(name, path=os.pathsep.join([*DEBIAN, os.environ["PATH"]])) for name in ("initdb", "pg_ctl")
)


def is_installed() -> bool:
    """Whether there are its programs."""
    return INITDB is not None and PG_CTL is not None


@contextmanager
def new_server() -> Iterator[str]:
    """Where it is, as SQLAlchemy has it; at the end of the block it is gone."""
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
