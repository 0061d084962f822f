"""Work pools of each type: what they start is valid, is asked of a real server, and fits the files of infra/."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prefect_service import PrefectService

from pipeline.errors import UsageError, XlmrError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
POOLS = ("xlmr-cpu", "xlmr-gpu")
IMAGE = "registry.example.org:5000/xlmr-pipeline"


def job_of(pool: str, kind: str, **variables: Any) -> dict[str, Any]:
    """What a worker of the pool makes of its template, for a run that is called grey-cat."""
    from prefect.utilities.templating import apply_values

    from flows.pools import pool_of

    template = pool_of(pool, kind, IMAGE, folder=ROOT / "infra" / "pools").base_job_template
    fields = template["variables"]["properties"]
    values = {name: field["default"] for name, field in fields.items() if "default" in field}
    command = "prefect flow-run execute"
    return dict(
        apply_values(template["job_configuration"], {**values, "name": "grey-cat", "command": command, **variables})
    )


@pytest.mark.parametrize("pool", POOLS)
def test_job_of_kubernetes_is_valid_and_names_what_is_there(pool: str) -> None:
    job = job_of(pool, "kubernetes")["job_manifest"]
    pod = job["spec"]["template"]["spec"]
    assert (pod.pop("completions"), pod.pop("parallelism")) == (1, 1)  # Prefect asks for them at this wrong place
    (container,) = pod["containers"]
    # As the worker does: a list of words, and of variables.
    container["args"] = container["args"].split()
    container["env"] = [{"name": name, "value": value} for name, value in container["env"].items()]
    kubernetes_validate.validate(job, "1.37", strict=True)
    broken = copy.deepcopy(job)
    broken["spec"]["template"]["spec"]["containers"][0]["resource"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.37", strict=True)

    assert container["name"] == "prefect-job"  # Prefect's worker refuses another name
    assert container["image"] == f"{IMAGE}:{'cuda' if pool == 'xlmr-gpu' else 'cpu'}"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == str(int(pool == "xlmr-gpu"))
    assert pod["securityContext"]["runAsNonRoot"] is True
    base = ROOT / "infra" / "kubernetes" / "base"
    there = [one for path in base.glob("*.yaml") for one in yaml.safe_load_all(path.read_text())]
    names = {(one["kind"], one["metadata"]["name"]) for one in there if "metadata" in one}
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"] if "emptyDir" not in volume]
    assert {("PersistentVolumeClaim", claim) for claim in claims} <= names
    assert ("ConfigMap", container["envFrom"][0]["configMapRef"]["name"]) in names
    assert ("Namespace", job["metadata"]["namespace"]) in names
    server = next(one["value"] for one in container["env"] if one["name"] == "PREFECT_API_URL")
    assert ("Service", server.removeprefix("http://").partition(":")[0]) in names
    label = job["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
    assert label in (base / "network.yaml").read_text()


def test_pools_of_the_laptop_ask_for_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows import pools

    monkeypatch.chdir(ROOT)
    overlay = ROOT / "infra" / "kubernetes" / "overlays" / "laptop" / "prefect.yaml"
    monkeypatch.setenv(pools.VARIABLES, yaml.safe_load(overlay.read_text())["data"][pools.VARIABLES])
    given = pools._variables()
    for pool in POOLS:
        fields = pools.pool_of(pool, "kubernetes", given=given).base_job_template["variables"]["properties"]
        asked = {name: fields[name]["default"] for name in ("gpus", "cpus", "memory", "image")}
        assert asked == {"gpus": "0", "cpus": "1", "memory": "4Gi", "image": "xlmr-pipeline:cpu"}


@pytest.mark.parametrize("pool", POOLS)
def test_container_of_docker_is_valid_and_names_what_compose_has(pool: str) -> None:
    from docker.models.containers import _create_container_args

    job = job_of(pool, "docker", memory="64g")
    asked = {**job.pop("container_create_kwargs"), "volumes": job["volumes"], "mem_limit": job["mem_limit"]}
    made = _create_container_args({**asked, "image": job["image"], "command": job["command"], "version": "1.44"})
    assert made["entrypoint"] == ["env"]  # the image's own is xlmr
    assert made["host_config"]["Memory"] == 64 * 2**30
    devices = made["host_config"]["DeviceRequests"]
    assert [device["Capabilities"] for device in devices] == ([[["gpu"]]] if pool == "xlmr-gpu" else [])
    with pytest.raises(TypeError):
        _create_container_args({**asked, "shared_memory": "1g", "image": "x", "command": "x", "version": "1.44"})

    compose = yaml.safe_load((ROOT / "infra" / "compose.yaml").read_text())
    named = [volume.split(":")[0] for volume in job["volumes"]]
    assert set(named) <= {f"{compose['name']}_{volume}" for volume in compose["volumes"]}
    assert [volume.removeprefix(f"{compose['name']}_") for volume in job["volumes"]] == [
        volume for volume in compose["services"]["worker"]["volumes"] if not volume.endswith(":ro")
    ]
    assert job["networks"] == [f"{compose['name']}_default"]
    assert job["env"]["PREFECT_API_URL"] == compose["services"]["worker"]["environment"]["PREFECT_API_URL"]


def test_server_takes_the_templates_and_a_pool_keeps_its_type(
    service: PrefectService, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows import deployments, pools

    monkeypatch.chdir(ROOT)
    with temporary_settings({PREFECT_API_URL: service.api}), get_client(sync_client=True) as client:
        for kind in ("docker", "kubernetes"):
            pool = pools.pool_of("xlmr-gpu", kind).model_copy(update={"name": f"try-{kind}"})
            client.create_work_pool(pool)
            assert client.read_work_pool(pool.name).base_job_template == pool.base_job_template
            client.delete_work_pool(pool.name)
        monkeypatch.setenv(pools.POOL_TYPE, "docker")
        with pytest.raises(XlmrError, match="work pool xlmr-cpu: is of type process, not docker"):
            pools.put_pools()
        monkeypatch.setenv(pools.POOL_TYPE, "podman")
        with pytest.raises(UsageError, match="podman: no type of pools"):
            pools.put_pools()
        monkeypatch.setenv(pools.POOL_TYPE, "kubernetes")
        for given, said in (
            ("gpus=0", "is no JSON object"),
            ("[]", "is no JSON object"),
            ('{"gpu": "0"}', "gpu: no variable"),
        ):
            monkeypatch.setenv(pools.VARIABLES, given)
            with pytest.raises(UsageError, match=f"{pools.VARIABLES}: {said}"):
                pools.put_pools()
        # Runs in an image begin in its folder; of processes, Prefect notes the folder that they are deployed from.
        adapted = deployments.adapted(ROOT / "prefect.yaml", "kubernetes")
        assert adapted["pull"] == [{"prefect.deployments.steps.set_working_directory": {"directory": "/app"}}]
        assert "pull" not in deployments.adapted(ROOT / "prefect.yaml", "process")
