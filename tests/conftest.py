"""What holds for all tests: neither how busy the machine is nor what its environment says fails one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No deadline of an example, nor of making one. The rest is as hypothesis has it: where CI is set, the same examples
# every time.
settings.register_profile("unhurried", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # they are made for CPUs, to the bit; read when PyTorch first looks for a GPU

LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

for name in list(os.environ):
    # Settings of runs, the place in a job of several tasks, the width and colours of whoever looks on.
    is_setting = name.startswith("XLMR_") and "__" in name
    if is_setting or name.startswith("SLURM_") or name in {*LAUNCHERS, "COLUMNS", "FORCE_COLOR"}:
        del os.environ[name]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built documentation."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder
