"""Examples a second of fine-tuning: this project's loop against the loop of Hugging Face's Trainer, on the same task.

Same machine, encoder, texts, batch, optimiser and arithmetic, and both are given encoded texts: what differs is which
texts share a batch, the model's code and the loop. Trainer's loop is written out here (random batches, padded to their
longest; its default), because Trainer itself needs one more package. Interleaved rounds, medians.

    python -m benchmarks.finetune FOLDER --scratch FOLDER [--longest 128] [--batch 32] [--steps 12] [--rounds 5]
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from finetune.data.reading import read_task
from finetune.data.settings import HelpPages, TaskSettings
from finetune.folder import save_fine_tuned
from finetune.heads.encoding import Encoded
from finetune.heads.kinds import ClassificationKind
from finetune.stages import Recipe
from finetune.training.batches import training_batches
from finetune.training.engines import OneProcess
from finetune.training.trainer import Trainer, rate_factor
from pretrain.engine import choose_dtype
from pretrain.folder import TOKENIZER_MODEL, load_encoder
from tokenizer.folder import load_tokenizer

RATE = 1e-5

_SENTENCE = re.compile(r"[^.\n]{3,}")
"""Whole pages are all cut at ``--longest``; their sentences are of mixed lengths, as most tasks' texts are."""


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("folder", type=Path)
    words.add_argument("--longest", type=int, default=128)
    words.add_argument("--batch", type=int, default=32)
    words.add_argument("--steps", type=int, default=12)
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--threads", type=int, default=1)
    words.add_argument("--scratch", type=Path, required=True, help="folder for the exported model")
    given = words.parse_args()
    torch.set_num_threads(given.threads)
    recipe = Recipe(longest=given.longest, batch=given.batch)
    data = read_task(TaskSettings(name="own", own=HelpPages()))
    kind = ClassificationKind(data.labels, recipe)
    pages: Sequence[Any] = data.train["en"]
    examples = [replace(page, text=line) for page in pages for line in _SENTENCE.findall(page.text)]
    texts = kind.encode(examples, load_tokenizer(given.folder))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = kind.model(load_encoder(given.folder), recipe.dropout).to(device)
    save_fine_tuned(model, kind, given.folder / TOKENIZER_MODEL, given.scratch)
    rounds = {
        "xlmr": ours(model, texts, kind, given.steps),
        "trainer": trainers(given.scratch, texts, recipe, given.steps, device),
    }
    seconds: dict[str, list[float]] = {name: [] for name in rounds}
    for number in range(given.rounds + 1):
        for name, one in rounds.items():
            start = time.perf_counter()
            seen = one(number)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if number:  # the first round warms up
                seconds[name].append((time.perf_counter() - start) / seen)
    rates = {name: 1 / statistics.median(found) for name, found in seconds.items()}
    lengths = texts.lengths
    print(f"{len(texts)} texts of {lengths.min()} to {lengths.max()} tokens, mean {lengths.mean():.0f}")
    print(f"{device}, {choose_dtype('auto', device)}, {given.threads} threads, batch {given.batch}")
    for name, rate in rates.items():
        spread = ", ".join(f"{1 / one:.1f}" for one in seconds[name])
        print(f"{name:8} {rate:8.1f} examples/s   (rounds: {spread})")
    print(f"ratio    {rates['xlmr'] / rates['trainer']:8.2f}")


def ours(model: nn.Module, texts: Encoded, kind: ClassificationKind, steps: int) -> Callable[[int], int]:
    """A round of the project's loop: as many steps of an epoch of its own."""
    own = Trainer(OneProcess(model, kind.recipe), kind.recipe, kind.loss, RATE, 10_000, seed=1)

    def one(number: int) -> int:
        batches = list(islice(training_batches(texts.lengths, kind.recipe.batch, 1, number), steps))
        own.make(texts, batches)
        return sum(map(len, batches))

    return one


def trainers(folder: Path, texts: Encoded, recipe: Recipe, steps: int, device: torch.device) -> Callable[[int], int]:
    """A round of Trainer's loop, with its order of steps and its defaults."""
    from torch.utils.data import DataLoader, RandomSampler
    from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding, PreTrainedTokenizerFast

    model = AutoModelForSequenceClassification.from_pretrained(folder).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: rate_factor(n, 10_000, recipe.warmup_ratio))
    rows: Any = [
        {"input_ids": texts.tokens[a:b].tolist(), "attention_mask": [1] * int(b - a), "labels": int(label)}
        for a, b, label in zip(texts.offsets, texts.offsets[1:], texts.labels, strict=False)
    ]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    dtype = choose_dtype("auto", device)

    def one(number: int) -> int:
        sampler = RandomSampler(rows, generator=torch.Generator().manual_seed(number))
        loader: Any = DataLoader(rows, recipe.batch, sampler=sampler, collate_fn=DataCollatorWithPadding(tokenizer))
        model.train()
        seen = 0
        for batch in islice(loader, steps):
            on_device = {name: value.to(device) for name, value in batch.items()}
            with torch.autocast(device.type, dtype, enabled=dtype is torch.bfloat16):
                loss = model(**on_device).loss
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.max_grad_norm)
            optimizer.step()
            schedule.step()
            model.zero_grad()
            seen += len(on_device["labels"])
        return seen

    return one


if __name__ == "__main__":
    main()
