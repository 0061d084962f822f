"""Several ranks, one command. Rank 0 goes through ``xlmr``: it alone has the lease, the manifest and the log.

The others wait until it comes to a job that all do together, take part in it, and wait again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline.cli import exit_code_of
from pipeline.errors import UsageError, XlmrError
from pretrain.ranks.rank_group import RankGroup, end_process

RANKS = "--ranks"


@dataclass(frozen=True)
class Shared:
    """What the ranks of one launch do together."""

    module: str
    """What starts them: ``python -m MODULE``."""
    stage: str
    """Where rank 0 comes to it."""
    take_part: Callable[[dict[str, Any], RankGroup], None]
    """A job, on a rank that is not 0."""


class _Launch:
    """The rank group that this process leads, and how many jobs it has sent."""

    rank_group: RankGroup | None = None
    sent = 0


def current_rank_group() -> RankGroup | None:
    """The ranks that this process leads; None where it is alone."""
    return _Launch.rank_group


def launched(words: list[str] | None, shared: Shared, command: Callable[[list[str]], int]) -> int:
    """``command`` on rank 0, and on the others what it comes to. Gives the exit code.

    ``--ranks N`` before everything else starts N ranks of it on this machine.
    """
    words = sys.argv[1:] if words is None else words
    if words[:1] == [RANKS]:
        return exit_code_of(lambda: _start(words, shared), f"python -m {shared.module} --help")
    take_slurm(os.environ)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return command(words)
    return exit_code_of(lambda: _as_rank(words, shared, command), f"python -m {shared.module} --help")


def _as_rank(words: list[str], shared: Shared, command: Callable[[list[str]], int]) -> int:
    rank_group = RankGroup.join()
    code = 1
    if rank_group.rank:
        code = _follow(rank_group, shared)
    else:
        _Launch.rank_group = rank_group
        try:
            code = command(words)
        finally:
            rank_group.leave(code)
    if code:
        end_process(code)
    return code


@contextmanager
def sent_to_all(rank_group: RankGroup, work: dict[str, Any], stage: str) -> Iterator[None]:
    """Rank 0: the others take part in ``work`` while the block does it here. Errors: XlmrError, of whichever rank."""
    _Launch.sent += 1
    rank_group.send(_Launch.sent, work)
    with rank_group.watch(stage):
        try:
            yield
        except Exception as error:
            line = None if _is_own(error) else rank_group.first_trouble()
            if line is None:
                raise
            raise XlmrError(*line.split("; ", 1)) from error


def take_slurm(environment: MutableMapping[str, str]) -> None:
    """Where srun started us with several tasks, say so by the names that PyTorch asks for.

    The first node's name and a port come from the batch script, which knows them: MASTER_ADDR and MASTER_PORT.
    """
    names = {"RANK": "SLURM_PROCID", "WORLD_SIZE": "SLURM_STEP_NUM_TASKS", "LOCAL_RANK": "SLURM_LOCALID"}
    if "RANK" in environment or int(environment.get("SLURM_STEP_NUM_TASKS", "1")) == 1:
        return
    for ours, theirs in names.items():
        environment[ours] = environment[theirs]


def _start(words: list[str], shared: Shared) -> int:
    from pretrain.ranks.local_ranks import command_without, start_ranks

    amount = words[1] if len(words) > 1 else ""
    if not amount.isdigit() or amount == "0":
        raise UsageError(f"{RANKS} {amount}: not a number of ranks", f"as in python -m {shared.module} {RANKS} 2 run …")
    return start_ranks(int(amount), command_without(RANKS))


def _follow(rank_group: RankGroup, shared: Shared) -> int:
    """Take part in each job. Gives the exit code; rank 0 does the talking."""
    number = 1
    while (work := rank_group.receive(number)) is not None:
        with rank_group.watch(shared.stage):
            try:
                shared.take_part(work, rank_group)
            except (Exception, KeyboardInterrupt) as error:
                line = str(error) if isinstance(error, XlmrError) else f"{type(error).__name__}: {error}"
                rank_group.failed(" ".join(line.split()), lost=not _is_own(error))
                return 1
        number += 1
    code = rank_group.code_of_rank_0()
    return code[0] if code else 1


def _is_own(error: BaseException) -> bool:
    """Whether the error is this rank's, and not a collective's complaint about another."""
    from pretrain.ranks.stopping import of_a_lost_rank

    return not of_a_lost_rank(error.__cause__ if isinstance(error, XlmrError) else error)
