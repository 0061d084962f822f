"""Two hosts that are this machine: an sshd on loopback with keys of its own, and an ``ssh`` that knows it by two names.

Needs Debian's openssh-server, openssh-client and pdsh; ``why_no_ssh`` says what is missing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

NAMES = ("node-1", "node-2")
SECONDS = 60
PATH = f"{os.environ['PATH']}:/usr/sbin"

SERVER = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile {folder}/sshd.pid
PasswordAuthentication no
UsePAM no
# The folder is below one that all may write to.
StrictModes no
"""

CLIENT = """\
Host {names}
  HostName 127.0.0.1
  Port {port}
  IdentityFile {folder}/user
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known
  LogLevel ERROR
"""


def why_no_ssh() -> str:
    """Why such hosts cannot be made here; '' where they can."""
    missing = [name for name in ("sshd", "ssh", "ssh-keygen", "pdsh") if shutil.which(name, path=PATH) is None]
    return f"no program {', '.join(missing)}" if missing else ""


@contextlib.contextmanager
def ssh_hosts(folder: Path) -> Iterator[dict[str, str]]:
    """The environment in which ``ssh node-1`` and ``ssh node-2`` run commands on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
    (folder / "server").write_text(SERVER.format(port=port, folder=folder))
    (folder / "client").write_text(CLIENT.format(names=" ".join(NAMES), port=port, folder=folder))
    (folder / "known").write_text(f"* {(folder / 'host.pub').read_text()}")
    (folder / "bin").mkdir()
    (folder / "bin" / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/client "$@"\n')
    (folder / "bin" / "ssh").chmod(0o755)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd wants it; Debian makes it when it starts the service
    program = shutil.which("sshd", path=PATH)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([str(program), "-D", "-e", "-f", str(folder / "server")], stderr=log)
    try:
        end = time.monotonic() + SECONDS
        while not (folder / "sshd.pid").exists():
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.02)
        yield {"PATH": f"{folder / 'bin'}:{PATH}"}
    finally:
        server.terminate()
        server.wait()
