"""Processes that are killed at a moment of their work, which comes on a slow machine as on a fast one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from pipeline.shards import ShardFolder, ShardMark


def kill_at_mark(number: int, folder: str = "") -> None:
    """From now on: kill -9 of this process and its group when mark ``number`` would be written of the shards of an
    output, in a folder of this name if one is given. The shard's files are in their place by then.
    """
    keep = ShardFolder.keep

    def keep_or_die(shards: ShardFolder, name: str, mark: ShardMark) -> None:
        if len(shards.named()) + 1 >= number and folder in ("", shards.output.name):
            os.killpg(0, signal.SIGKILL)
        keep(shards, name, mark)

    ShardFolder.keep = keep_or_die  # type: ignore[method-assign, assignment]


def run_until_killed(code: str, *words: object, number: int = 2, folder: str = "") -> None:
    """Run Python code with these arguments in a process that ``kill_at_mark`` kills."""
    here, root = Path(__file__).parent, Path(__file__).parents[2]
    before = (
        f"import sys; sys.path[:0] = [{str(root)!r}, {str(here)!r}, {str(here.parent / 'corpus')!r}]\n"
        f"from kill_at_mark import kill_at_mark; kill_at_mark({number}, {folder!r})\n"
    )
    command = [sys.executable, "-c", before + code, *map(str, words)]
    done = subprocess.run(command, cwd=root, start_new_session=True, stderr=subprocess.DEVNULL, check=False)
    assert done.returncode == -signal.SIGKILL, "it came to its end"
