"""Stage finetune.help_pages: which module of an office suite a help page is about; trained on English, tested in all.

Labelled files and pretrain.export's folder -> results.json, predictions.jsonl.gz, model/ (the best on dev).
"""

from __future__ import annotations

from pathlib import Path

from finetune import tasks
from finetune.data.examples import Classification, Split, TaskData
from finetune.stages import HelpPagesConfig, encoder_of
from finetune.training.comparison import compare
from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.stage import Inputs


def run(config: HelpPagesConfig, inputs: Inputs, output: Path, context: Context) -> Counts:
    """The stage. Errors: XlmrError for labelled files or settings that do not fit."""
    data = task_data(tasks.read_task(config.help_pages))
    return compare(data, config.recipe, config.protocol, encoder_of(config, inputs), output, context)


def task_data(task: tasks.Task) -> TaskData:
    """The labelled files as every other task."""
    return TaskData(
        "help_pages", "classification", tuple(task.labels), _split(task.train), _split(task.dev), _split(task.test)
    )


def _split(split: tasks.Split) -> Split:
    return {
        language: [Classification(one.id, one.text, None, one.label) for one in examples]
        for language, examples in split.items()
    }
