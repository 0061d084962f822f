"""The ``run`` section of every YAML file: where a run lives, and who does its shards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import ValidatorFunctionWrapHandler, WrapValidator, model_validator

from pipeline.config import Section, local_path, setting
from pipeline.errors import UsageError
from pipeline.plug_ins import Registry
from pipeline.secrets import instead_of, redact
from pipeline.store.path import StoredPath, is_address

EXECUTORS = Registry(
    "executor",
    {
        "local": "pipeline.executors.local:LocalExecutor",
        "dask": "pipeline.executors.dask:DaskExecutor",
        "beam": "pipeline.executors.beam:BeamExecutor",
        "slurm": "pipeline.executors.local:LocalExecutor",  # each task of the array works on its machine
    },
    "xlmr.executors",
)
"""A user's is ``(workers) -> Executor``."""


CLUSTERS = Registry(
    "cluster",
    {
        "local": "pipeline.executors.dask_cluster:local_cluster",
        "slurm": "dask_jobqueue:SLURMCluster",
        "pbs": "dask_jobqueue:PBSCluster",
        "sge": "dask_jobqueue:SGECluster",
        "lsf": "dask_jobqueue:LSFCluster",
        "kubernetes": "dask_kubernetes.operator:KubeCluster",
    },
)
"""What starts Dask's workers. All but ours take their settings from Dask's own configuration; called without any."""


class DaskConfig(Section):
    """``executor: dask``: which cluster does the shards."""

    scheduler: str = setting(
        "",
        "a scheduler that runs already: its address, as tcp://host:8786, or its scheduler file; empty: one is started",
        affects_result=False,
    )
    cluster: Annotated[str, CLUSTERS] = setting(
        "local",
        "what starts the workers where no scheduler is named; all but local read Dask's own configuration",
        affects_result=False,
    )
    workers: int | None = setting(
        None, "workers to start, a process each; null: run.workers", ge=1, affects_result=False
    )
    minimum: int | None = setting(
        None,
        "adaptive: between this and `workers`, by how many shards wait; null: always `workers`",
        ge=1, affects_result=False,
    )  # fmt: skip


class BeamConfig(Section):
    """``executor: beam``: which of Beam's runners does the shards."""

    runner: str = setting(
        "local",
        "local (processes here), dask, portable, flink, spark, dataflow, or a runner by Beam's own name",
        affects_result=False,
    )
    options: tuple[str, ...] = setting((), "options of the runner, as --parallelism=64", affects_result=False)

    @model_validator(mode="before")
    @classmethod
    def _is_section(cls, value: Any) -> Any:
        if isinstance(value, list | tuple | str):
            raise ValueError("it is a section now: write run.beam.runner and run.beam.options")
        return value


def folder_or_address(text: str) -> Path:
    """A path of this machine, or one at an address. Errors: UsageError for what is neither, or has a password."""
    if redact(text) != text:
        raise UsageError("the address holds a secret", f"set in the environment {instead_of((), text)}")
    if is_address(text):
        return StoredPath(text.rstrip("/"))
    try:
        return Path(local_path(text))
    except ValueError as error:
        raise UsageError(f"{text}: {error}", "name a folder, or an address as s3://bucket/runs") from None


def _folder_or_address(value: Any, path: ValidatorFunctionWrapHandler) -> Any:
    text = value if isinstance(value, str) else ""
    return StoredPath(text.rstrip("/")) if is_address(text) else path(value)


PROJECT_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$"
"""A name that is one folder on every file system."""


class RunConfig(Section):
    """Where a run lives and how much of the machine it may use."""

    renamed: ClassVar[Mapping[str, str]] = {"part": "partition"}

    project: str = setting("demo", "name of the run; its outputs are runs/<project>/", pattern=PROJECT_NAME)
    directory: Annotated[Path, WrapValidator(_folder_or_address)] = setting(
        Path("runs"),
        "folder of all runs, or its address at object storage: s3://bucket/runs, gs://, abfs://, any of fsspec's",
        affects_result=False,
    )
    cache: Path = setting(
        Path("~/.cache/xlmr"),
        "folder on each machine for copies of what a run at an address reads and writes; machines need not share it",
        affects_result=False,
    )
    cache_bytes: int = setting(
        200_000_000_000,
        "copies of outputs that no process uses are removed, the oldest use first, while `cache` holds more bytes",
        ge=0, affects_result=False,
    )  # fmt: skip
    until: str = setting(
        "",
        "the stage or package that a run ends with unless the command names stages; empty: all",
        affects_result=False,
    )
    workers: int = setting(2, "processes that work on shards at once", ge=1, affects_result=False)
    executor: Annotated[str, EXECUTORS] = setting(
        "local",
        "what does the shards: processes here, a cluster of Dask, Apache Beam, tasks of a Slurm array",
        affects_result=False,
    )
    partition: str | None = setting(
        None, "this task's partition of every stage, as 3/16: the shards 3::16. null: all, or what Slurm says",
        pattern=r"^(0|[1-9]\d{0,4})/[1-9]\d{0,4}$", affects_result=False,
    )  # fmt: skip
    wait: bool = setting(
        True,
        "a task that has done its partition waits for the others and continues with the next stage",
        affects_result=False,
    )
    silence_minutes: float = setting(
        10.0,
        "minutes without a complete shard after which dask and beam say what their workers do",
        gt=0, affects_result=False,
    )  # fmt: skip
    dask: DaskConfig = setting(DaskConfig(), "which cluster of Dask does the shards", affects_result=False)
    beam: BeamConfig = setting(BeamConfig(), "which runner of Apache Beam does the shards", affects_result=False)


def run_settings(config: Section) -> RunConfig:
    """The ``run`` section of a whole configuration."""
    settings: RunConfig = config.run  # type: ignore[attr-defined]
    return settings


def project_folder(config: Section) -> Path:
    """``runs/<project>``."""
    settings = run_settings(config)
    return settings.directory / settings.project
