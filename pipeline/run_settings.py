"""The ``run`` section of every YAML file: where a run lives, and who does its shards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from pipeline.config import Section, setting
from pipeline.plug_ins import Registry

EXECUTORS = Registry(
    "executor",
    {
        "local": "pipeline.executors.local:LocalExecutor",
        "beam": "pipeline.executors.beam:BeamExecutor",
        "slurm": "pipeline.executors.local:LocalExecutor",  # each task of the array works on its machine
    },
    "xlmr.executors",
)
"""A user's is ``(workers) -> Executor``."""


class RunConfig(Section):
    """Where a run lives and how much of the machine it may use."""

    renamed: ClassVar[Mapping[str, str]] = {"part": "partition"}

    project: str = setting(
        "demo", "name of the run; its outputs are runs/<project>/", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
    )
    directory: Path = setting(Path("runs"), "folder of all runs", affects_result=False)
    until: str = setting(
        "",
        "the stage or package that a run ends with unless the command names stages; empty: all",
        affects_result=False,
    )
    workers: int = setting(2, "processes that work on shards at once", ge=1, affects_result=False)
    executor: Annotated[str, EXECUTORS] = setting(
        "local",
        "what does the shards: processes here, Apache Beam, tasks of a Slurm array",
        affects_result=False,
    )
    partition: str | None = setting(
        None, "this task's partition of every stage, as 3/16: the shards 3::16. None: all, or what Slurm says",
        pattern=r"^(0|[1-9]\d{0,4})/[1-9]\d{0,4}$", affects_result=False,
    )  # fmt: skip
    wait: bool = setting(
        True,
        "a task that has done its partition waits for the others and continues with the next stage",
        affects_result=False,
    )
    beam: tuple[str, ...] = setting(
        (), "Beam's own options, as --runner=FlinkRunner; without any: processes here", affects_result=False
    )


def run_settings(config: Section) -> RunConfig:
    """The ``run`` section of a whole configuration."""
    settings: RunConfig = config.run  # type: ignore[attr-defined]
    return settings


def project_folder(config: Section) -> Path:
    """``runs/<project>``."""
    settings = run_settings(config)
    return settings.directory / settings.project
