"""Processes for tests that start in a moment: children of one server that has imported PyTorch and DeepSpeed already.

``start`` is asked like ``subprocess.Popen`` and gives what can be waited for and killed alike. The children begin with
nothing but the modules: no group, no threads, no numbers. ``python forked.py`` is the server: a line in, a line out.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

MODULES = (
    "deepspeed.runtime.zero.muon.muon_optimizer",  # DeepSpeed asks for it with the first ZeRO, and it takes a second
    "pretrain.ranks.launch",
    "pretrain.train",
    "ranks",
    "safetensors.torch",
    "tiny_training",
)


class Child:
    """A process of the server's. ``pid`` is its number until its code was asked for."""

    def __init__(self, pid: int) -> None:
        self.pid, self.returncode = pid, None

    def poll(self) -> int | None:
        """Its exit code, or less than 0 the signal that ended it; None while it lives."""
        if self.returncode is None:
            self.returncode = _ask({"poll": self.pid})["code"]
        return self.returncode

    def wait(self, timeout: float = 240) -> int:
        """The same once it has ended. Errors: TimeoutError."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {self.pid} has not ended in {timeout} s")
            time.sleep(0.01)
        return code

    def kill(self) -> None:
        """``kill -9``."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def send_signal(self, number: int) -> None:
        """To a process that has ended: nothing."""
        if self.poll() is None:
            os.kill(self.pid, number)


def start(module: str, words: Sequence[str], said: Path) -> Child:
    """A process that calls ``module.main(words)`` and ends with the code that it gives; what it says goes to a file."""
    return Child(_ask({"module": module, "words": list(words), "said": str(said)})["pid"])


def _ask(request: Mapping[str, Any]) -> dict[str, Any]:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    answer: dict[str, Any] = json.loads(server.stdout.readline())
    return answer


@functools.cache
def _server() -> subprocess.Popen[str]:
    """One for all tests; it ends, with its children, when this process closes the pipe or is gone."""
    paths = [str(Path(__file__).parent), *(path for path in sys.path if path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu", "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )


def _serve() -> None:
    from pretrain.distributed import import_deepspeed

    import_deepspeed()
    for name in MODULES:
        import_module(name)
    gc.collect()
    gc.freeze()
    children: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            children.discard(pid)
            answer = {"code": os.waitstatus_to_exitcode(status) if pid else None}
        else:
            pid = os.fork()
            if not pid:
                _live(**request)
            children.add(pid)
            answer = {"pid": pid}
        print(json.dumps(answer), flush=True)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _live(module: str, words: list[str], said: str) -> None:
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        code = import_module(module).main(words) or 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
