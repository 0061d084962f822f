"""``python -m flows.deployments``: put work pools, the deployments of prefect.yaml and the automations on the server.

Doing so again changes what prefect.yaml says and leaves alone what a person set in the UI, as schedules.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists

from flows.automations import put_automations
from flows.loopback import POOLS
from pipeline.cli import exit_code_of
from pipeline.errors import XlmrError

PREFECT_FILE = Path("prefect.yaml")


def put_pools() -> None:
    """Create the work pools that are not there, for processes on the worker's machine."""
    with get_client(sync_client=True) as client:
        for pool in POOLS:
            try:
                client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
            except ObjectAlreadyExists:
                continue


def deploy(prefect_file: Path = PREFECT_FILE) -> None:
    """Put all deployments of a prefect.yaml on the server."""
    if not prefect_file.exists():
        raise XlmrError(f"{prefect_file}: no such file", "start in the folder that holds it")
    words = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(prefect_file)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise XlmrError(f"{prefect_file}: {lines[-1].strip() if lines else 'prefect deploy has failed'}")


def main() -> int:
    """Exit codes: 0 done, 1 failed."""

    def work() -> int:
        put_pools()
        deploy()
        print(f"deployed: {PREFECT_FILE} on pools {', '.join(POOLS)}")
        print(f"automations: {', '.join(put_automations())}")
        return 0

    return exit_code_of(work, "docs/flows.md")


if __name__ == "__main__":
    sys.exit(main())
