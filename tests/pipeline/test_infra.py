"""The files of infra/ against the settings that they have to go with, and the checkers of `make lint`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from corpus.crawl.settings import Download, Fetch
from pipeline.run_settings import RunConfig

INFRA = Path(__file__).parents[2] / "infra"
WRITTEN = {RunConfig().directory, Download().folder, Fetch().lists}
DOCKERFILE = (INFRA / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())


@pytest.mark.parametrize("folder", sorted(WRITTEN), ids=str)
def test_what_a_run_writes_outlives_its_container(folder: Path) -> None:
    for name in ("worker", "dask-worker"):
        service = COMPOSE["services"][name]
        mounted = [Path(volume.split(":")[1]) for volume in service["volumes"] if not volume.endswith(":ro")]
        assert any(Path("/app", folder).is_relative_to(place) for place in mounted)
    (declared,) = re.findall(r"^VOLUME (.*)$", DOCKERFILE, re.MULTILINE)
    assert any(Path("/app", folder).is_relative_to(place) for place in json.loads(declared))


def test_images_own_the_folders_at_which_new_volumes_are_mounted() -> None:
    """A new volume has the owner of the folder of the image, root where there is none; user 1000 writes there."""
    (folders,) = re.findall(r"install --directory --owner=xlmr --group=xlmr (.*)$", DOCKERFILE, re.MULTILINE)
    own = [one for one in COMPOSE["services"].values() if one["image"] == "xlmr-pipeline:cpu"]
    written = {volume.split(":")[1] for one in own for volume in one.get("volumes", []) if not volume.endswith(":ro")}
    assert "/prefect" in written
    assert written <= set(folders.split())


def test_profiles_add_to_what_runs_without_them() -> None:
    services = COMPOSE["services"]
    profiles = {name: service.get("profiles", []) for name, service in services.items()}
    assert [name for name, asked in profiles.items() if not asked] == [
        "postgres",
        "server",
        "deployments",
        "worker",
        "reports",
    ]
    assert {profile for asked in profiles.values() for profile in asked} == {"dask", "storage", "tensorboard"}
    for name, service in services.items():
        for needed in service.get("depends_on", {}):
            assert set(profiles[needed]) <= set(profiles[name]), f"{name} would not start without {needed}"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), "nobody is asked who he is"
        mounted = [volume.split(":")[0] for volume in service.get("volumes", [])]
        assert {volume for volume in mounted if "/" not in volume} <= COMPOSE["volumes"].keys()
        targets = re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE)
        assert service.get("build", {}).get("target", "cpu") in targets
    for name in ("worker", "dask-worker"):  # whatever the executor, a run is in the same place
        assert services[name]["environment"]["XLMR_RUN__DIRECTORY"] == "${XLMR_RUN__DIRECTORY:-runs}"
        assert services[name]["environment"]["AWS_SECRET_ACCESS_KEY"] is None, "from the environment, or not at all"


CHECKERS = {
    "hadolint": (["hadolint"], "Dockerfile", "COPY . .\n", "COPY . .\nRUN cd /build && sudo make\n", "DL3004"),
    "shellcheck": (["shellcheck"], "slurm/stages.sbatch", 'cd "$SLURM_SUBMIT_DIR"', "cd $SLURM_SUBMIT_DIR", "SC2086"),
    "compose": (
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec"],
        "compose.yaml",
        "    depends_on:\n      server:",
        "    dependson:\n      server:",
        "dependson",
    ),
}


@pytest.mark.parametrize("name", CHECKERS)
def test_each_checker_catches_a_planted_mistake(name: str, tmp_path: Path) -> None:
    """What it says of the file as it is, `make lint` sees."""
    words, file, right, wrong, said = CHECKERS[name]
    text = (INFRA / file).read_text()
    assert right in text
    planted = tmp_path / Path(file).name
    planted.write_text(text.replace(right, wrong, 1))
    program = str(Path(sys.executable).parent / words[0])
    for path, status in ((INFRA / file, 0), (planted, 1)):
        done = subprocess.run([program, *words[1:], str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout + done.stderr
    assert said in done.stdout
