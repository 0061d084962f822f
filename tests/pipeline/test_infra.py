"""The files of infra/ against the settings that they have to go with."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from corpus.crawl.settings import Download, Fetch
from pipeline.run_settings import RunConfig

INFRA = Path(__file__).parents[2] / "infra"
WRITTEN = {RunConfig().directory, Download().folder, Fetch().lists}


@pytest.mark.parametrize("folder", sorted(WRITTEN), ids=str)
def test_what_a_run_writes_outlives_its_container(folder):
    worker = yaml.safe_load((INFRA / "compose.yaml").read_text())["services"]["worker"]
    mounted = [Path(volume.split(":")[1]) for volume in worker["volumes"] if not volume.endswith(":ro")]
    assert any(Path("/app", folder).is_relative_to(place) for place in mounted)
    (declared,) = re.findall(r"^VOLUME (.*)$", (INFRA / "Dockerfile").read_text(), re.MULTILINE)
    assert any(Path("/app", folder).is_relative_to(place) for place in json.loads(declared))
