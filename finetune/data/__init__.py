"""Tasks from the files that they are distributed in: ``read_task`` turns settings into checked examples by language.

``finetune.data.settings`` alone is light; ``read_task`` and the readers stand in ``finetune.data.reading``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetune.data.settings import TaskSettings

if TYPE_CHECKING:
    from finetune.data.reading import read_task, task_files


def __getattr__(name: str) -> object:
    """``read_task`` and ``task_files``, imported when they are asked for: the command line starts without them."""
    if name in ("read_task", "task_files"):
        from finetune.data import reading

        return getattr(reading, name)
    raise AttributeError(name)


__all__ = ["TaskSettings", "read_task", "task_files"]
