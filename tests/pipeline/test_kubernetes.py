"""The manifests of infra/kubernetes: valid as they are and as they are built, and in agreement with one another."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from pipeline.dag import Dag
from scripts import kubernetes_requests

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra" / "kubernetes"
OVERLAYS = ("laptop", "cluster")
VERSION = "1.37"
NOT_OURS = ("kustomization.yaml", "restricted.yaml", "storage.yaml", "server.yaml", "requests.yaml")
"""Not manifests: kustomizations and patches. base/storage.yaml is one."""
NAME = "app.kubernetes.io/name"
SAID: dict[str, Any] = {"capture_output": True, "text": True}
FLOW = "xlmr-flow"
"""The pods of flow runs, which infra/pools/kubernetes.yaml describes."""


def check(document: Mapping[str, Any]) -> None:
    kubernetes_validate.validate(dict(document), VERSION, strict=True)


@cache
def built(overlay: str) -> list[dict[str, Any]]:
    """The objects of an overlay, by the real kustomize."""
    for words in (["kustomize", "build"], ["kubectl", "kustomize"]):
        if shutil.which(words[0]) is None:
            continue
        version = subprocess.run(
            [words[0], "version", *(["--client"] * (words[0] == "kubectl"))], check=False, **SAID
        ).stdout
        found = re.search(r"(?:Kustomize Version: )?v(\d+)\.\d+\.\d+\s*$", version)
        if found and int(found[1]) >= 5:
            made = subprocess.run([*words, str(FOLDER / "overlays" / overlay)], check=False, **SAID)
            assert made.returncode == 0, made.stderr
            return list(yaml.safe_load_all(made.stdout))
    pytest.skip("needs kustomize 5, or a kubectl that has it")


def pods(documents: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(object, its pods' template) of each Deployment, StatefulSet and Job."""
    for document in documents:
        if "template" in document.get("spec", {}):
            yield document, document["spec"]["template"]


def named(documents: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in documents if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def variables(container: Mapping[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container.get("env", []) if "value" in one}


def test_each_manifest_is_valid_and_a_misspelt_one_is_not() -> None:
    files = [path for path in sorted(FOLDER.rglob("*.yaml")) if path.parent.name in {"base", "postgres", "s3"}]
    manifests = [path for path in files if path.name not in NOT_OURS or path == FOLDER / "base" / "storage.yaml"]
    documents = [one for path in manifests for one in yaml.safe_load_all(path.read_text())]
    assert len(documents) > 25
    for document in documents:
        check(document)
    job = named(documents, "Job", "pretrain")
    planted = [
        {**job, "spec": {**job["spec"], "completionmode": "Indexed"}},  # an unknown key
        {**job, "spec": {**job["spec"], "completions": "two"}},  # a wrong type
        {**job, "spec": {"template": job["spec"]["template"], "suspend": None, "selector": []}},
    ]
    for wrong in planted:
        with pytest.raises(kubernetes_validate.ValidationError):
            check(wrong)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_built_is_valid_and_restricted(overlay: str) -> None:
    documents = built(overlay)
    for document in documents:
        check(document)
        assert document["kind"] == "Namespace" or document["metadata"]["namespace"] == "xlmr"
        assert document["kind"] != "Secret", "a secret is made by hand, and only referred to"
    for _, template in pods(documents):
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert ":" in container["image"], "an image without a tag"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_names_lead_somewhere(overlay: str) -> None:
    """Services and policies select pods that there are; volumes, ConfigMaps and accounts exist."""
    documents = built(overlay)
    labels = {template["metadata"]["labels"][NAME] for _, template in pods(documents)}
    for document in documents:
        selector = document["spec"].get("selector") if document["kind"] == "Service" else None
        if document["kind"] == "NetworkPolicy":
            peers = [one["podSelector"] for rule in document["spec"].get("ingress", []) for one in rule["from"]]
            for peer in [*peers, document["spec"]["podSelector"]]:
                wanted = [
                    peer.get("matchLabels", {}).get(NAME),
                    *(peer.get("matchExpressions") or [{}])[0].get("values", []),
                ]
                assert {one for one in wanted if one} <= labels | {FLOW}
        assert selector is None or selector[NAME] in labels
    there = {(document["kind"], document["metadata"]["name"]) for document in documents}
    for owner, template in pods(documents):
        pod = template["spec"]
        claims = [
            volume["persistentVolumeClaim"]["claimName"]
            for volume in pod.get("volumes", [])
            if "persistentVolumeClaim" in volume
        ]
        assert {("PersistentVolumeClaim", claim) for claim in claims} <= there
        assert "serviceAccountName" not in pod or ("ServiceAccount", pod["serviceAccountName"]) in there
        mounts = {mount["name"] for container in pod["containers"] for mount in container.get("volumeMounts", [])}
        templates = {one["metadata"]["name"] for one in owner["spec"].get("volumeClaimTemplates", [])}
        assert mounts <= {volume["name"] for volume in pod.get("volumes", [])} | templates
        maps = [
            one["configMapRef"]["name"]
            for container in pod["containers"]
            for one in container.get("envFrom", [])
            if "configMapRef" in one
        ]
        assert {("ConfigMap", name) for name in maps} <= there


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_jobs_over_several_pods_know_how_many_they_are(overlay: str) -> None:
    documents = built(overlay)
    for name, variable in (("pretrain", "NODES"), ("corpus", "PARTITIONS")):
        job = named(documents, "Job", name)["spec"]
        (container,) = job["template"]["spec"]["containers"]
        assert job["completionMode"] == "Indexed"
        assert job["suspend"] is True, "applying an overlay starts no work"
        assert job["completions"] == job["parallelism"] == int(variables(container)[variable])
    (ranks,) = named(documents, "Job", "pretrain")["spec"]["template"]["spec"]["containers"]
    assert (ROOT / variables(ranks)["CONFIG"]).is_file()
    service = named(documents, "Service", "pretrain")["spec"]
    assert service["clusterIP"] == "None"
    assert service["publishNotReadyAddresses"]
    assert f"--master-port={service['ports'][0]['port']}" in ranks["args"]
    gpus = ranks["resources"]["limits"].get("nvidia.com/gpu")
    assert gpus == (None if overlay == "laptop" else variables(ranks)["GPUS"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_in_the_environment_are_settings(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = built(overlay)
    given = [one["data"] for one in documents if one["kind"] == "ConfigMap"]
    given += [variables(container) for _, template in pods(documents) for container in template["spec"]["containers"]]
    settings = {name: text for one in given for name, text in one.items() if name.startswith("XLMR_") and "__" in name}
    assert {"XLMR_RUN__DIRECTORY", "XLMR_RUN__CACHE"} <= settings.keys()
    for name, text in settings.items():
        monkeypatch.setenv(name, text)
    config: Any = Dag.default().load_config(ROOT / "configs" / "demo.yaml", ())
    assert str(config.run.directory).startswith("s3:")


def command(document: Mapping[str, Any], **given: str) -> list[str]:
    """What an object's container starts, with `$(NAME)` as Kubernetes puts it there."""
    (container,) = document["spec"]["template"]["spec"]["containers"]
    known = {**variables(container), **given}
    words = [*container["command"], *container.get("args", [])]
    return [re.sub(r"\$\((\w+)\)", lambda match: known[match[1]], word) for word in words]


def test_the_commands_of_pods_are_understood() -> None:
    """By the parsers of the programs that they start."""
    from distributed.cli.dask_scheduler import main as dask_scheduler
    from distributed.cli.dask_worker import main as dask_worker
    from torch.distributed.run import get_args_parser

    texts = [(FOLDER / "base" / name).read_text() for name in ("dask.yaml", "corpus.yaml", "pretrain.yaml")]
    documents = [one for text in texts for one in yaml.safe_load_all(text)]
    scheduler = command(named(documents, "Deployment", "dask-scheduler"))
    assert scheduler[:2] == ["dask", "scheduler"]
    dask_scheduler.make_context("scheduler", scheduler[2:])

    worker = command(named(documents, "Deployment", "dask-worker"))
    assert worker[:2] == ["dask", "worker"]
    parsed = dask_worker.make_context("worker", worker[2:]).params
    assert (parsed["nthreads"], parsed["n_workers"], parsed["worker_port"]) == (1, "1", "8788")

    corpus = command(named(documents, "Job", "corpus"), PARTITION="1")
    assert corpus[:2] == ["xlmr", "run"]
    assert corpus[3:5] == ["--until", "corpus"]
    config: Any = Dag.default().load_config(ROOT / corpus[2], corpus[5:])
    assert (config.run.partition, config.run.workers) == ("1/2", 2)

    ranks = command(named(documents, "Job", "pretrain"), NODE_RANK="1")
    assert ranks[0] == "torchrun"
    options = get_args_parser().parse_args(ranks[1:])
    assert (options.nnodes, options.node_rank, options.nproc_per_node) == ("2", 1, "8")
    assert (options.module, options.training_script, options.training_script_args[0]) == (True, "pretrain", "run")


def test_requests_are_those_that_the_plan_gives(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m scripts.kubernetes_requests configs/xlmr-base.yaml --nodes 8` writes them."""
    monkeypatch.chdir(ROOT)
    written = (FOLDER / "overlays" / "cluster" / "requests.yaml").read_text()
    found = re.search(r"kubernetes_requests (.*?)`", written)
    assert found
    assert kubernetes_requests.main(found[1].split()) == 0
    assert capsys.readouterr().out == written


def test_a_layout_that_does_not_fit_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert kubernetes_requests.main(["configs/xlmr-xxl.yaml", "--nodes", "1", "--gpu-memory", "24GB"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "GB, 22 are usable" in said.err
    assert "xlmr pretrain plan" in said.err
    assert kubernetes_requests.main(["configs/xlmr-xxl.yaml", "--nodes", "3"]) != 0  # 24 GPUs do not divide the batch


def test_offloaded_optimiser_states_count_as_memory_of_the_pod() -> None:
    dag = Dag.default()
    config = ROOT / "configs" / "xlmr-xl.yaml"
    plain, offloaded = (
        kubernetes_requests.pod_memory(dag.load_config(config, words), 16, 8, 80e9)[0]
        for words in ([], ["--pretrain.train.offload_optimizer", "true"])
    )
    own = 3_482_739_200 / 2
    assert offloaded - plain == pytest.approx(8 * 16 * own / 8, rel=0.01)
