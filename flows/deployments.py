"""``python -m flows.deployments``: put work pools, the deployments of prefect.yaml and the automations on the server.

Doing so again changes what prefect.yaml says and leaves alone what a person set in the UI, as schedules.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound

from flows.automations import find_runs, put_automations
from flows.loopback import POOLS
from flows.pools import put_pools
from pipeline.cli import exit_code_of
from pipeline.errors import XlmrError

PREFECT_FILE = Path("prefect.yaml")
IMAGE_FOLDER = "/app"
"""Where an image has configs/ (infra/Dockerfile)."""


def deploy(prefect_file: Path = PREFECT_FILE, kind: str = "process") -> None:
    """Put all deployments of a prefect.yaml on the server, for pools of a type."""
    if not prefect_file.exists():
        raise XlmrError(f"{prefect_file}: no such file", "start in the folder that holds it")
    with NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as given:
        yaml.safe_dump(adapted(prefect_file, kind), given)
        given.flush()
        words = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", given.name]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise XlmrError(f"{prefect_file}: {lines[-1].strip() if lines else 'prefect deploy has failed'}")


def adapted(prefect_file: Path, kind: str) -> dict[str, Any]:
    """What ``prefect deploy`` is given: runs in an image start in its folder, and known schedules stay as active as
    they are.
    """
    content: dict[str, Any] = yaml.safe_load(prefect_file.read_text(encoding="utf-8"))
    if kind != "process":
        content["pull"] = [{"prefect.deployments.steps.set_working_directory": {"directory": IMAGE_FOLDER}}]
    with get_client(sync_client=True) as client:
        for deployment in content.get("deployments", []):
            known = _slugs(client, deployment) if deployment.get("schedules") else set()
            for schedule in deployment.get("schedules", []):
                if schedule.get("slug") in known:
                    schedule.pop("active", None)
    return content


def _slugs(client: SyncPrefectClient, deployment: dict[str, Any]) -> set[str | None]:
    """Of the schedules that a deployment has on the server."""
    flow = deployment["entrypoint"].rpartition(".")[2].replace("_", "-")
    try:
        there = client.read_deployment_by_name(f"{flow}/{deployment['name']}")
    except ObjectNotFound:
        return set()
    return {schedule.slug for schedule in there.schedules}


def main() -> int:
    """Exit codes: 0 done, 1 failed."""

    def work() -> int:
        kind = put_pools()
        deploy(kind=kind)
        print(f"deployed: {PREFECT_FILE} on pools {', '.join(POOLS)}, of type {kind}")
        print(f"automations: {', '.join(put_automations(kind))}")
        if found := find_runs():
            print(f"runs under way: {found}")
        return 0

    return exit_code_of(work, "docs/flows.md")


if __name__ == "__main__":
    sys.exit(main())
