"""``python -m flows.deployments``: put work pools, the deployments of prefect.yaml and the automations on the server.

Doing so again changes what prefect.yaml says and leaves alone what a person set in the UI, as schedules.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL

from flows.automations import find_runs, put_automations
from flows.form import folder_of_configurations, run_files
from flows.loopback import POOLS
from flows.pools import put_pools
from pipeline.cli import exit_code_of
from pipeline.errors import XlmrError
from pipeline.yaml_text import YamlError, read_yaml

PREFECT_FILE = Path("prefect.yaml")
IMAGE_FOLDER = "/app"
"""Where an image has configs/ (infra/Dockerfile)."""


def check_server() -> None:
    """Errors: XlmrError where none is named, as Prefect would start one for this command alone, or none answers."""
    address = PREFECT_API_URL.value()
    fix = "start one by `make ui`, or set PREFECT_API_URL=http://HOST:PORT/api"
    if not address:
        raise XlmrError("no server of Prefect is named", fix)
    with get_client(sync_client=True) as client:
        if client.api_healthcheck():
            raise XlmrError(f"{address}: no server of Prefect answers", fix)


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
    content = read_deployments(prefect_file)
    if kind != "process":
        content["pull"] = [{"prefect.deployments.steps.set_working_directory": {"directory": IMAGE_FOLDER}}]
    with get_client(sync_client=True) as client:
        for deployment in content["deployments"]:
            known = _slugs(client, deployment) if deployment.get("schedules") else set()
            for schedule in deployment.get("schedules", []):
                if schedule.get("slug") in known:
                    schedule.pop("active", None)
    return content


def read_deployments(prefect_file: Path) -> dict[str, Any]:
    """What a prefect.yaml holds. Errors: XlmrError, for what ``prefect deploy`` passes over or has long words for."""
    try:
        content = read_yaml(prefect_file.read_text(encoding="utf-8"))
    except (YamlError, UnicodeDecodeError) as error:
        raise XlmrError(f"{prefect_file}: not readable as YAML ({error})", "correct the file") from None
    if not isinstance(content, dict) or not isinstance(content.get("deployments"), list):
        raise XlmrError(f"{prefect_file}: names no deployments", "compare it with the file in the repository")
    known = run_files(folder_of_configurations())
    for number, deployment in enumerate(content["deployments"], 1):
        missing = [key for key in ("name", "entrypoint") if not deployment.get(key)]
        if missing:
            raise XlmrError(f"{prefect_file}: entry {number} of deployments has no {missing[0]}", "give it one")
        configuration = deployment.get("parameters", {}).get("configuration", known[0])
        if configuration not in known:
            near = difflib.get_close_matches(configuration, known, 1)
            fix = f"did you mean {near[0]}?" if near else f"known are: {', '.join(known)}"
            folder = folder_of_configurations()
            raise XlmrError(f"{prefect_file}: {deployment['name']}: {configuration} is no run file of {folder}/", fix)
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
        check_server()
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
