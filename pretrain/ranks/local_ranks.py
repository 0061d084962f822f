"""A launcher for one machine: ``python -m pretrain --ranks 4 run CONFIG`` starts four ranks of that command.

Unlike torchrun it says nothing itself: rank 0 reports what goes wrong, in a line. Its exit code is rank 0's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from pipeline.interrupts import interrupts_held
from pretrain.ranks.rank_group import GRACE_SECONDS

LOOK_SECONDS = 0.1


def start_ranks(ranks: int, command: Sequence[str]) -> int:
    """Run ``command`` as that many ranks, and wait for all of them."""
    # The store is ours, so that no rank takes it along when it dies, and nobody has to guess a free port.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(minutes=30))
    with interrupts_held():  # the ranks take it when their command begins: ``exit_code_of``
        children = [subprocess.Popen(command, env=_environment(rank, ranks, store.port)) for rank in range(ranks)]
    with _passing_on(children):
        code = _wait(children)
    del store  # until here: the ranks ask it whether all are there
    return code


def _environment(rank: int, ranks: int, port: int) -> dict[str, str]:
    threads = str(max(1, len(os.sched_getaffinity(0)) // ranks))
    return {
        "OMP_NUM_THREADS": threads,
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # none of them is to hold the store
    }


def _wait(children: Sequence[subprocess.Popen[bytes]]) -> int:
    """Until all have ended. Once one has failed, or rank 0 has ended, the others get some time to say so and leave."""
    deadline = None
    while any(child.poll() is None for child in children):
        ended = children[0].poll() is not None or any(child.poll() for child in children)
        if ended and deadline is None:
            deadline = time.monotonic() + 3 * GRACE_SECONDS
        if deadline is not None and time.monotonic() > deadline:
            for child in children:
                child.kill()
        time.sleep(LOOK_SECONDS)
    code = children[0].returncode or next((child.returncode for child in children if child.returncode), 0)
    return code if code >= 0 else 1


@contextmanager
def _passing_on(children: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """SIGTERM goes to every rank. SIGINT, from a terminal, has reached them already."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        del frame
        for child in children:
            child.send_signal(number)

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, pass_on)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def command_without(option: str) -> list[str]:
    """How this process was started, without an option and its value."""
    words = [sys.executable, *sys.orig_argv[1:]]
    place = words.index(option)
    return words[:place] + words[place + 2 :]
