"""What is wrong with a prefect.yaml, or with the address of its server, is said in one line; no server is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows import deployments
from pipeline.errors import XlmrError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("a: [", "not readable as YAML ("),
        ("", "names no deployments"),
        ("deployments: demo", "names no deployments"),
        ("deployments: [{nmae: mine, entrypoint: flows.packages.corpus}]", "entry 1 of deployments has no name"),
        (
            "deployments: [{name: mine, entrypoint: flows.packages.corpus, parameters: {configuration: dmeo}}]",
            "mine: dmeo is no run file of configs/; did you mean demo?",
        ),
    ],
)
def test_mistake_in_prefect_yaml_is_one_line(tmp_path: Path, content: str, line: str) -> None:
    (tmp_path / "prefect.yaml").write_text(content)
    with pytest.raises(XlmrError) as caught:
        deployments.read_deployments(tmp_path / "prefect.yaml")
    assert str(caught.value).startswith(f"{tmp_path}/prefect.yaml: {line}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("module", "name", "value", "line"),
    [
        (
            "flows.deployments",
            "PREFECT_API_URL",
            "http://127.0.0.1:9/api",
            "http://127.0.0.1:9/api: no server of",
        ),
        ("flows.deployments", "PREFECT_API_URL", "", "no server of Prefect is named; start one by `make ui`"),
        ("flows.loopback", "PREFECT_PORT", "many", "PREFECT_PORT=many: no port; give a number, as 4300"),
        ("flows.loopback", "PREFECT_PORT", "65535", "PREFECT_PORT=65535: no port"),
    ],
)
def test_wrong_address_is_one_line(tmp_path: Path, module: str, name: str, value: str, line: str) -> None:
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path), name: value}
    words = [sys.executable, "-m", module, *(["up"] if module == "flows.loopback" else [])]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in {1, 2}
    assert done.stderr.startswith(f"xlmr: {line}")
    assert done.stderr.count("\n") == 1
