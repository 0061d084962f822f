"""A child that is starting when Ctrl-C comes prints nothing: the signal is held back until it can take it."""

from __future__ import annotations

import subprocess
import sys

import pytest

BUSY = """
import multiprocessing, os, signal, sys, time

def work():
    from pipeline.interrupts import take_interrupts
    take_interrupts(silently=True)
    time.sleep(60)

if __name__ == "__main__":
    from pipeline.interrupts import start_held
    process = multiprocessing.get_context("spawn").Process(target=work)
    start_held(process)
    time.sleep(float(sys.argv[1]))
    os.kill(process.pid, signal.SIGINT)
    process.join()
    print(process.exitcode)
"""


@pytest.mark.parametrize("seconds", [0.0, 0.03, 0.1])
def test_the_first_child_of_a_process_dies_silently_while_it_starts(tmp_path, seconds):
    (script := tmp_path / "busy.py").write_text(BUSY)
    done = subprocess.run(
        [sys.executable, str(script), str(seconds)], capture_output=True, text=True, check=True, timeout=50
    )
    assert (done.stdout, done.stderr) == ("-2\n", "")
