"""A Docker engine for tests, in a folder of its own, and an image without any file."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

IMAGE = "xlmr-pipeline:cpu"
DOCKERD = shutil.which("dockerd", path=f"{os.environ['PATH']}:/usr/sbin")
START_SECONDS = 60


def why_not() -> str:
    """Why no engine can be started here; empty where one can."""
    if DOCKERD is None:
        return "Docker's engine is not installed (Debian: apt-get install docker.io)"
    return "" if os.geteuid() == 0 else "Docker's engine needs root"


@contextmanager
def new_engine() -> Iterator[str]:
    """Its address; at the end of the block it is gone, with all its containers. Errors: RuntimeError with its log."""
    import docker

    assert DOCKERD is not None
    with tempfile.TemporaryDirectory(prefix="docker-") as folder:
        address = f"unix://{folder}/socket"
        places = ["--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"]
        words = [DOCKERD, "--host", address, *places, "--bridge=none", "--iptables=false"]
        log = Path(folder, "log")
        with log.open("wb") as stream:
            engine = subprocess.Popen(words, stdout=stream, stderr=stream)
        try:
            client = _connected(docker, address, engine, log)
            _import_image(client)
            yield address
            for container in client.containers.list(all=True):
                container.remove(force=True)
        finally:
            engine.terminate()
            engine.wait(START_SECONDS)
            for space in Path(folder, "exec", "netns").glob("*"):
                subprocess.run(["umount", space], check=False)


def _connected(docker: Any, address: str, engine: subprocess.Popen[bytes], log: Path) -> Any:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            client = docker.DockerClient(base_url=address)
            client.ping()
        except docker.errors.DockerException as error:
            if engine.poll() is not None or time.monotonic() > end:
                raise RuntimeError(log.read_text()[-2000:]) from error
            time.sleep(0.2)
        else:
            return client


def _import_image(client: Any) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    repository, _, tag = IMAGE.partition(":")
    client.api.import_image_from_data(content.getvalue(), repository=repository, tag=tag, changes=["WORKDIR /app"])


def volumes_of_this_machine() -> list[str]:
    """What a container without files needs to run this Python: the folders of this machine, not to be written to."""
    places = {"/bin", "/etc", "/lib", "/lib64", "/usr", sys.prefix, sys.base_prefix}
    return [f"{place}:{place}:ro" for place in sorted(places) if Path(place).exists()]
