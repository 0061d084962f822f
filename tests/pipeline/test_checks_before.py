"""What a stage needs is asked for before the first stage of a run, not after the hours of those before it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import toy_package

from pipeline.dag import Dag
from pipeline.errors import XlmrError
from pipeline.stage import Package


def refuse(config: toy_package.PowerStage) -> None:
    if config.power.exponent == 3:
        raise XlmrError("cubes cannot be written", "take another exponent")


def with_power(toy, **fields: Any) -> None:
    stages = [replace(stage, **fields) if stage.name == "toy.power" else stage for stage in toy_package.PACKAGE.stages]
    toy.dag = Dag([Package("toy", toy_package.ToyConfig, tuple(stages))])


def test_a_stage_that_cannot_write_stops_the_run_before_it_begins(toy):
    with_power(toy, check=f"{__name__}:refuse")
    with pytest.raises(XlmrError, match="cubes cannot be written; take another exponent"):
        toy.run("--toy.power.exponent", "3")
    assert toy.ran() == []
    toy.run("--toy.power.exponent", "4")
    assert toy.ran() == ["toy.write", "toy.sum", "toy.power"]
    toy.run("--toy.power.exponent", "3", until="toy.sum")


def test_a_stage_whose_extra_is_missing_stops_the_run_before_it_begins(toy, monkeypatch):
    with_power(toy, extra="train")
    monkeypatch.setattr("pipeline.extras.find_spec", lambda name: None)
    with pytest.raises(XlmrError, match=r"toy\.power needs torch, which is not installed; pip install"):
        toy.run()
    assert toy.ran() == []
    toy.run(until="toy.sum")
