"""A script in a process of its own: its order, its memory, its death."""

from __future__ import annotations

import json

import pytest

from pipeline.child import ZEROED, run_script
from pipeline.errors import XlmrError

USED_AGAIN = """
import ctypes, json, sys
order = json.load(sys.stdin)
native = ctypes.CDLL(None)
native.malloc.restype = ctypes.c_void_p
native.free.argtypes = [ctypes.c_void_p]
found = []
for size in (5_000, 100_000):
    first = native.malloc(size)
    ctypes.memset(first, 7, size)
    native.malloc(100_000)  # so that what is freed does not go back to the system
    native.free(first)
    found += sorted(set(ctypes.string_at(native.malloc(size), size)))
open(order["output"], "w").write(json.dumps(found))
"""


def test_memory_is_zero_also_where_it_was_used_before(tmp_path):
    (script := tmp_path / "script.py").write_text(USED_AGAIN)
    said = {}
    for name, environment in (("zeroed", ZEROED), ("as it is", {})):
        run_script(script, {"output": str(tmp_path / "said.json")}, environment, "")
        said[name] = json.loads((tmp_path / "said.json").read_text())
    assert said["zeroed"] == [0, 0]
    assert 7 in said["as it is"], "or the script would show nothing"


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("print('at work'); raise ValueError('of no use')", "script: ValueError: of no use; fix it"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "script: was killed (SIGKILL; by hand, or by a scheduler or a container for want of memory); fix it",
        ),
    ],
)
def test_failures_are_one_line(tmp_path, code, line):
    (script := tmp_path / "script.py").write_text(code)
    with pytest.raises(XlmrError) as caught:
        run_script(script, {}, {}, "fix it")
    assert str(caught.value) == line
