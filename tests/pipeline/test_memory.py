"""The peak of memory, and what it costs to know it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline.memory import SAMPLE_SECONDS, PeakMemory, seconds_between

HELD = 100_000_000
HOLD = f"held = b'x' * {HELD}; print('here', flush=True); input()"


def test_memory_of_children_counts() -> None:
    with PeakMemory() as alone:
        pass
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        with PeakMemory() as peak:
            assert child.stdout.readline() == "here\n"
        child.communicate("\n")
    assert peak.bytes > alone.bytes + 0.9 * HELD


@pytest.mark.parametrize(("cost", "seconds"), [(0.0, SAMPLE_SECONDS), (0.001, SAMPLE_SECONDS), (0.05, 2.5)])
def test_samples_are_rarer_where_they_cost_more(cost: float, seconds: float) -> None:
    assert seconds_between(cost) == seconds
