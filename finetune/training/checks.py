"""What has to hold before a comparison begins, and what is worth a warning: looked at before anything is encoded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from finetune.config_file import BESIDE_A_QUESTION
from finetune.data.examples import TaskData
from finetune.heads.kind import Kind
from finetune.metrics import mean
from finetune.stages import Protocol, Recipe, too_long
from finetune.training.run import SPLITS
from pipeline.errors import XlmrError
from pretrain.config_file import read_config
from pretrain.folder import check_tokens, open_weights
from pretrain.ranks.collectives import current_rank_group
from tokenizer.folder import load_tokenizer
from tokenizer.hugging_face import check_exportable
from tokenizer.pieces import Tokenizer


def check(data: TaskData, recipe: Recipe, protocol: Protocol, encoder: Path) -> Tokenizer:
    """Settings, files and the encoder's folder against each other. Gives the folder's tokenizer.

    Errors: XlmrError for those that do not fit, and for a tokenizer that could not be written beside the trained model.
    """
    config = read_config(encoder)
    open_weights(encoder, config)
    _check_recipe(recipe, data.kind, config.max_sequence_length)
    for split in SPLITS:
        if not getattr(data, split):
            raise XlmrError(f"task {data.name}: there are no {split} examples", "check finetune.task and its files")
    tokenizer = load_tokenizer(encoder)
    check_tokens(encoder, tokenizer.vocab_size, config)
    check_exportable(tokenizer)  # it is written into the folder of each trained model
    if protocol.choose == "language" and (without := [lang for lang in data.test if lang not in data.dev]):
        raise XlmrError(
            f"task {data.name}: there is no dev data in {', '.join(without)} to choose on",
            "set finetune.protocol.choose to joint, or leave these languages out",
        )
    return tokenizer


def check_metric(kind: Kind) -> None:
    """Errors: UsageError, XlmrError for a metric that the kind of task does not have, or that cannot be imported."""
    _ = kind.metric, kind.own_metric


def _check_recipe(recipe: Recipe, kind: str, most: int) -> None:
    if recipe.longest > most:
        raise too_long(recipe.longest, most)
    shared = recipe.tensor_parallel
    if shared > 1 and current_rank_group() is None:
        raise XlmrError(
            f"finetune.recipe.tensor_parallel is {shared}, and this is one process",
            f"start python -m finetune --ranks {shared} run CONFIG",
        )
    if kind == "span" and recipe.longest < recipe.longest_question + BESIDE_A_QUESTION:
        raise XlmrError(
            f"windows of {recipe.longest} tokens leave no space beside questions of {recipe.longest_question}",
            "set finetune.recipe.longest_question lower",
        )


def seen_texts(data: TaskData, kind: Kind) -> Iterator[str]:
    """A line for each held-out file with texts that stand in a training file, word for word."""
    known = {_key(kind, example) for examples in data.train.values() for example in examples}
    for split, language, examples in data.splits():
        seen = sum(_key(kind, example) in known for example in examples) if split != "train" else 0
        if seen:
            yield f"{seen} texts of {split}.{language} stand in a training file, word for word"


def learnt_nothing(data: TaskData, kind: Kind, results: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each run that is no better on dev than always saying dev's commonest label."""
    if kind.name != "classification" or kind.metric != "accuracy":
        return
    counts = [Counter(kind.gold(example) for example in examples) for examples in data.dev.values()]
    majority = mean([max(count.values()) / count.total() for count in counts])
    for run in results:
        if run["dev_score"] <= majority:
            yield (
                f"{run['name']} is no better on dev ({run['dev_score']:.3f}) than one label for every text"
                f" ({majority:.3f}): raise finetune.recipe.epochs or learning_rates"
            )


def _key(kind: Kind, example: Any) -> str:
    return json.dumps(kind.text(example))
