"""Two network namespaces as two hosts, each with a name and processes of its own, and a link that can be cut.

Needs root and ``ip netns``; ``why_not`` says what is missing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


def why_not() -> str:
    """Why two hosts cannot be made here; '' where they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if missing := [name for name in ("ip", "unshare") if shutil.which(name) is None]:
        return f"no program {', '.join(missing)}"
    name = f"xlmr-{uuid.uuid4().hex[:6]}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespaces: {made.stderr.strip()}"
    try:
        end = f"v{uuid.uuid4().hex[:6]}"
        inside = ["ip", "netns", "exec", name]
        link = [*inside, "ip", "link", "add", end, "type", "veth", "peer", "name", f"{end}b"]
        linked = subprocess.run(link, capture_output=True, text=True, check=False)
        own = subprocess.run([*inside, "unshare", "--uts", "--pid", "--fork", "true"], capture_output=True, check=False)
        return "" if linked.returncode == own.returncode == 0 else "no links between network namespaces"
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


@dataclass(frozen=True)
class TwoHosts:
    """Hosts 0 and 1 by the names of their namespaces."""

    names: tuple[str, str]
    addresses = ("10.213.7.1", "10.213.7.2")

    def start(self, host: int, command: Sequence[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen:
        """Run a command there, in a process group of its own. Its processes end with it."""
        own = ["unshare", "--uts", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
        named = ["sh", "-c", 'hostname "$0" && exec "$@"', f"host-{host}"]
        return subprocess.Popen(
            ["ip", "netns", "exec", self.names[host], *own, *named, *command],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, "GLOO_SOCKET_IFNAME": "link0", **environment},
        )  # fmt: skip

    def cut(self) -> None:
        """Lose everything between the two, without a word to either, as in a switch that fails.

        Packets go to a hardware address that nobody has.
        """
        for name, other in zip(self.names, reversed(self.addresses), strict=True):
            nobody = ["lladdr", "02:00:00:00:00:99", "nud", "permanent"]
            subprocess.run(["ip", "-n", name, "neigh", "replace", other, "dev", "link0", *nobody], check=True)


@contextlib.contextmanager
def two_hosts() -> Iterator[TwoHosts]:
    """Two hosts that reach each other at their addresses."""
    mark = uuid.uuid4().hex[:6]
    hosts = TwoHosts((f"xlmr-{mark}-0", f"xlmr-{mark}-1"))

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    try:
        for name in hosts.names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        one, two = hosts.names
        ip("-n", one, "link", "add", "link0", "type", "veth", "peer", "name", "link0", "netns", two)
        for name, address in zip(hosts.names, hosts.addresses, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "link0")
            ip("-n", name, "link", "set", "link0", "up")
        yield hosts
    finally:
        for name in hosts.names:
            subprocess.run(["ip", "netns", "del", name], check=False)
