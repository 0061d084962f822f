"""One door to all tasks: which module finds a task's files, which reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from finetune.data import conll, glue, own, squad, xnli
from finetune.data.examples import TaskData
from finetune.data.files import Files
from finetune.data.settings import GLUE, TaskSettings
from pipeline.errors import XlmrError

Find = Callable[[TaskSettings], Files]
Read = Callable[[TaskSettings, Files], TaskData]

READERS: Mapping[str, tuple[Find, Read]] = {
    "own": (own.files, own.read),
    "xnli": (xnli.files, xnli.read),
    "conll": (conll.conll_files, conll.read_conll),
    "wikiann": (conll.wikiann_files, conll.read_wikiann),
    "squad": (squad.squad_files, squad.read),
    "squad2": (squad.squad2_files, squad.read),
    "xquad": (squad.xquad_files, squad.read),
    "mlqa": (squad.mlqa_files, squad.read),
    **dict.fromkeys(GLUE, (glue.files, glue.read)),
}


def read_task(settings: TaskSettings) -> TaskData:
    """The task, read and checked. Errors: XlmrError naming the file that is missing, or the file and row at fault."""
    if settings.source == "hub":
        from finetune.data.hub import read_from_hub

        task = read_from_hub(settings)
    else:
        find, read = READERS[settings.name]
        task = read(settings, find(settings))
    for name, split in (("training", task.train), ("dev", task.dev), ("test", task.test)):
        if not split:
            raise XlmrError(f"{task.name}: no {name} data", "check the files and the languages that are asked for")
    return task


def task_files(settings: TaskSettings) -> list[str]:
    """The addresses that ``read_task`` would read, sorted; none from the hub. Errors: XlmrError for a missing file."""
    if settings.source == "hub":
        return []
    found = READERS[settings.name][0](settings)
    return sorted({address for split in found.values() for address in split.values()})
