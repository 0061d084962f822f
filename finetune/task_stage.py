"""Stage finetune.task: any task that the settings name, with the same runs, results and files as the embedded one.

A task's published files and pretrain.export's folder -> results.json, predictions.jsonl.gz, model/ (the best on dev).
"""

from __future__ import annotations

from pathlib import Path

from finetune.data.examples import Question, TaskData
from finetune.data.reading import read_task
from finetune.stages import Recipe, TaskConfig, encoder_of
from finetune.training.comparison import Comparison
from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.stage import Inputs


def run(config: TaskConfig, inputs: Inputs, output: Path, context: Context) -> Counts:
    """The stage; nothing is done where no task is named. Errors: XlmrError for files or settings that do not fit."""
    if config.task.name == "none":
        return {}
    data = read_task(config.task)
    for line in data.notes:
        context.warn(line)
    encoder = encoder_of(config, inputs)
    recipe, about = recipe_for(data, config.recipe), {"translated_test": config.task.translated_test}
    comparison = Comparison(data, recipe, config.protocol, encoder, config.encoder.head, about, config.task.metric)
    return comparison.run(output, context)


def recipe_for(data: TaskData, recipe: Recipe) -> Recipe:
    """The recipe; where a task has questions without an answer, with a threshold above which nothing is answered."""
    examples = (example for _, _, some in data.splits() for example in some)
    if recipe.no_answer_threshold is not None or not any(
        isinstance(example, Question) and not example.answers for example in examples
    ):
        return recipe
    return recipe.model_copy(update={"no_answer_threshold": 0.0})
