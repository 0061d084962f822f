"""Stage finetune.help_pages: which module of an office suite a help page is about; trained on English, tested in all.

Labelled files and pretrain.export's folder -> results.json, predictions.jsonl.gz, model/ (the best on dev).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from finetune.data.reading import read_task
from finetune.stages import HelpPagesConfig, encoder_of
from finetune.training.comparison import Comparison
from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.stage import Inputs


def run(config: HelpPagesConfig, inputs: Inputs, output: Path, context: Context) -> Counts:
    """The stage. Errors: XlmrError for labelled files or settings that do not fit."""
    data = replace(read_task(config.task), name="help_pages")
    for line in data.notes:
        context.warn(line)
    encoder = encoder_of(config, inputs)
    return Comparison(data, config.recipe, config.protocol, encoder, config.encoder.head).run(output, context)
