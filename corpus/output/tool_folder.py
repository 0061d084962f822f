"""The output folder of a tool: its task is noted, so that the same command resumes and another one is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.context import Context
from pipeline.errors import UsageError
from pipeline.lease import Lease
from pipeline.log import EventLog
from pipeline.shards import WORKSPACES
from pipeline.storage import DRAFTS, read_json, write_json

ASKED = ".asked.json"
LOG = ".log.jsonl"


@contextmanager
def tool_folder(name: str, output: Path, asked: dict[str, Any], workers: int | None) -> Iterator[Context]:
    """Open ``output`` for a tool and hold it alone. Errors: UsageError where it holds what another command made.

    ``workers``  processes; None for one a core that this process may use.
    """
    if workers is None:
        workers = len(os.sched_getaffinity(0))
    if workers < 1:
        raise UsageError(f"--workers {workers}: must be at least 1", "omit it for one per core")
    _check_free(output, asked)
    output.mkdir(parents=True, exist_ok=True)
    with Lease(output.with_name(f"{output.name}.lease")):
        shutil.rmtree(output / WORKSPACES, ignore_errors=True)  # of a command that was killed
        for path in output.glob(DRAFTS):
            path.unlink(missing_ok=True)
        write_json(output / ASKED, asked)
        log = EventLog(output / LOG)
        try:
            yield Context(name, output, workers, log)
        finally:
            log.close()


def _check_free(output: Path, asked: dict[str, Any]) -> None:
    if output.is_file():
        raise UsageError(f"{output}: is a file", "name a folder")
    if not output.exists() or not any(output.iterdir()):
        return
    if not (output / ASKED).exists():
        raise UsageError(f"{output}: is not empty and not made by this command", "name a new folder")
    before = read_json(output / ASKED)
    if before != asked:
        other = sorted(name for name in {*before, *asked} if before.get(name) != asked.get(name))
        raise UsageError(
            f"{output}: was made with another {' and '.join(other)}", "name a new folder, or remove this one"
        )
