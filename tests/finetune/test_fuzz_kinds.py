"""The kinds of damaged input that benchmarks/fuzz_inputs.py takes for as long as it is asked to: a few of each."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from benchmarks.fuzz_inputs import KINDS, fuzz


@pytest.mark.parametrize("name", ["labelled", "asked", "models", "results"])
def test_damaged_inputs_are_read_or_a_line(name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        found = fuzz({name: KINDS[name]}, seed=5, inputs=40, seconds=None, keep=tmp_path)
    assert found.keys() == {f"{name} read", f"{name} refused"}
    assert found.total() == 40
