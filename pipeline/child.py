"""A script in a process of its own, for native code that is not to share this one: its memory, its log, its death.

An order goes in as JSON on stdin; what comes out are the files that the order names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import XlmrError
from pipeline.executors.deaths import describe_death, kills_for_memory

ZEROED = {"MALLOC_PERTURB_": "255"}
"""Environment in which glibc hands out memory that is zero: for code that reads some before it has written there."""


def run_script(
    script: Path, order: Mapping[str, Any], environment: Mapping[str, str], fix: str, seconds: float | None = None
) -> None:
    """Run it to its end. Errors: XlmrError with the last line of what it said, or how it died, and ``fix``.

    ``seconds``  after which it is ended; None: it has all the time that it wants.
    """
    killed_before = kills_for_memory()
    try:
        done = _run(script, order, environment, seconds)
    except subprocess.TimeoutExpired:
        raise XlmrError(f"{script.stem}: has not ended after {seconds:,.0f} s", fix) from None
    if done.returncode < 0:
        raise XlmrError(f"{script.stem}: {describe_death(done.returncode, killed_before)}", fix)
    if done.returncode:
        said = done.stderr.split("\n")
        last = next((line.strip() for line in reversed(said) if line.strip()), f"exit code {done.returncode}")
        raise XlmrError(f"{script.stem}: {last[:300]}", fix)


def _run(
    script: Path, order: Mapping[str, Any], environment: Mapping[str, str], seconds: float | None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        # By path and with -P: it works in any folder, and modules beside it do not hide others of the same name.
        [sys.executable, "-P", str(script)],
        input=json.dumps(order), env={**os.environ, **environment}, capture_output=True, check=False,
        text=True, encoding="utf-8", errors="replace", timeout=seconds,
    )  # fmt: skip
