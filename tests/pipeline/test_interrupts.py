"""A child that is starting when Ctrl-C comes prints nothing: the signal is held back until it can take it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from pipeline.lease import Lease, process_space

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


def test_the_next_run_clears_what_a_killed_one_has_left(toy):
    toy.run()
    output = toy.output("toy.sum")
    project = output.parents[1]
    owner = {"host": socket.gethostname(), "space": process_space(), "pid": 2**22 + 1, "born": 1.0, "token": "x"}
    dead = [project / ".running" / "a.lease", output.with_name("0badc0de.lease")]
    for path in dead:
        path.write_text(json.dumps(owner))
    (output / ".sum.txt.0123.tmp").write_text("half of it")
    (output / "manifest.json").unlink()
    with Lease(output.with_name("1badc0de.lease")):
        toy.run()
        assert output.with_name("1badc0de.lease").exists(), "its owner lives"
    assert not [path for path in dead if path.exists()]
    assert not (output / ".sum.txt.0123.tmp").exists()
