"""Work pools: one for runs without GPU, one for those with. Their runs are processes, containers or Jobs of Kubernetes.

``XLMR_POOL_TYPE`` says which; templates of the last two are in ``infra/pools``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists

from flows.loopback import POOLS
from pipeline.errors import UsageError, XlmrError

POOL_TYPE = "XLMR_POOL_TYPE"
"""Environment variable: process, docker or kubernetes. process unless set."""
IMAGE = "XLMR_IMAGE"
"""Environment variable: the image of docker and kubernetes without its tag, as registry.example.org/xlmr-pipeline."""
VARIABLES = "XLMR_POOL_VARIABLES"
"""Environment variable: other defaults of a template's variables, as JSON: {"memory": "4Gi", "gpus": "0"}."""
OUR_IMAGE = "xlmr-pipeline"
FOLDER = Path("infra/pools")
TYPES = ("process", "docker", "kubernetes")


def put_pools() -> str:
    """Create the pools that are not there; give their type. What a person has changed of a pool is left alone.

    Errors: UsageError for a type or variable that there is not, XlmrError where a pool has another type.
    """
    kind, image = os.environ.get(POOL_TYPE) or TYPES[0], os.environ.get(IMAGE) or OUR_IMAGE
    given = _variables()
    with get_client(sync_client=True) as client:
        for name in POOLS:
            _put(client, pool_of(name, kind, image, given))
    return kind


def _variables() -> dict[str, Any]:
    try:
        given = json.loads(os.environ.get(VARIABLES) or "{}")
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise UsageError(f"{VARIABLES}: is no JSON object", 'write it as {"memory": "4Gi"}')
    return given


def _put(client: SyncPrefectClient, pool: WorkPoolCreate) -> None:
    try:
        client.create_work_pool(pool)
    except ObjectAlreadyExists:
        there = client.read_work_pool(pool.name).type
        if there != pool.type:
            fix = f"set {POOL_TYPE}={there}, or delete the pool by `prefect work-pool delete {pool.name}`"
            raise XlmrError(f"work pool {pool.name}: is of type {there}, not {pool.type}", fix) from None


def pool_of(
    name: str, kind: str, image: str = OUR_IMAGE, given: Mapping[str, Any] | None = None, folder: Path = FOLDER
) -> WorkPoolCreate:
    """A pool of a type. Its variables have the values ``given``, or the defaults that the template has for its name.

    Errors: UsageError for a type or variable that there is not, XlmrError where its template is missing.
    """
    if kind not in TYPES:
        raise UsageError(f"{POOL_TYPE}: {kind}: no type of pools", f"set {', '.join(TYPES[:-1])} or {TYPES[-1]}")
    if kind == "process":
        return WorkPoolCreate(name=name, type=kind)
    path = folder / f"{kind}.yaml"
    if not path.exists():
        raise XlmrError(f"{path}: no such file", "start in the folder that holds infra/")
    template: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    properties = template["variables"]["properties"]
    for variable, value in {**template.pop("defaults")[name], **(given or {})}.items():
        if variable not in properties:
            raise UsageError(f"{VARIABLES}: {variable}: no variable of {path}", f"it has {', '.join(properties)}")
        properties[variable]["default"] = value
    repository, _, tag = properties["image"]["default"].rpartition(":")
    properties["image"]["default"] = f"{image if repository == OUR_IMAGE else repository}:{tag}"
    return WorkPoolCreate(name=name, type=kind, base_job_template=template)
