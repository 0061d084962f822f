"""The model card of a pretrained encoder: README.md in Hugging Face's form, drawn from manifests and metrics.

The same manifests give the same bytes. What no run can know, as the licence, is said to be missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.history import History, described_settings, history_of, setting_of
from pipeline.markdown import card_of, hub_languages, markdown_table, settings_table
from pipeline.stage import Inputs
from pipeline.storage import atomic_write
from pretrain.model import ModelConfig
from pretrain.settings import TrainSettings
from pretrain.tracking.metrics import METRICS, read_metrics

CARD = "README.md"
USED = ("deepspeed", "numpy", "sentencepiece", "torch")
"""Packages that decide what a model is."""
TRAIN = "pretrain.train"
LICENCE = (
    "Not stated: a run cannot know it. The terms of the initial weights apply, if there were some, and those of the "
    "text as far as your law says so. State the licence here, and as `license` in the head, before you publish."
)
LIMITS = (
    "A masked language model predicts words; it follows no instructions and writes no texts. Fine-tune it for a task.",
    "It repeats what is frequent in its text: errors, stereotypes, and names of persons.",
    "A language that had little text, or none, is represented badly; the table above says which.",
)


def write_card(output: Path, inputs: Inputs, architecture: ModelConfig, parameters: int) -> None:
    """Write the card of the model in ``output``; ``inputs`` are pretrain.train and tokenizer.train."""
    records = read_metrics(inputs[TRAIN] / METRICS)
    validations = [record for record in records if record.get("validation_loss") is not None]
    tokens = [record["tokens"] for record in records if "tokens" in record]
    last = validations[-1] if validations else {}
    text = draw_card(architecture, parameters, history_of(inputs), last, tokens[-1] if tokens else None)
    with atomic_write(output / CARD, "w") as handle:
        handle.write(text)


def draw_card(
    architecture: ModelConfig, parameters: int, history: History, validation: Mapping[str, Any], tokens: int | None
) -> str:
    """The card. ``validation`` is the last record of it in the metrics; ``tokens`` were trained on."""
    languages = languages_of(history, validation)
    parts = [
        f"# {title(parameters, languages)}",
        _what_it_is(architecture, history, tokens),
        "## Use",
        USE,
        "## Architecture",
        markdown_table(("", ""), list(_architecture(architecture, parameters))),
        "## Text",
        *_text(history, validation),
        "## Training",
        *_training(history),
        "## Limits",
        "\n".join(f"- {line}" for line in LIMITS),
        "## Licence",
        LICENCE,
    ]
    head = {
        "language": hub_languages(languages),
        "library_name": "transformers",
        "pipeline_tag": "fill-mask",
        "license": "unknown",
        "tags": ["xlm-roberta" if architecture.norm == "post" else "xlm-roberta-xl", "masked-language-modeling"],
    }
    return card_of(head, parts)


USE = """```python
from transformers import pipeline

pipeline("fill-mask", model="FOLDER")("A text with a <mask>.")
```

`xlmr pretrain fill-mask` does the same; `xlmr run --finetune.encoder.folder FOLDER` fine-tunes it."""


def title(parameters: int, languages: Sequence[str]) -> str:
    """``Masked language model, 5.8 M parameters, 13 languages``."""
    many = f", {len(languages)} language{'s' if len(languages) != 1 else ''}" if languages else ""
    return f"Masked language model, {parameters / 1e6:,.1f} M parameters{many}"


def languages_of(history: History, validation: Mapping[str, Any]) -> list[str]:
    """The languages that it was measured in; else those that were asked for."""
    return sorted(validation.get("by_language", {})) or list(
        setting_of(history, "tokenizer.encode", "encode.languages") or ()
    )


def _what_it_is(architecture: ModelConfig, history: History, tokens: int | None) -> str:
    of = "XLM-R XL's" if architecture.norm == "pre" else "XLM-R's"
    steps = setting_of(history, TRAIN, "train.steps")
    seen = f", {tokens:,} tokens" if tokens is not None else ""
    how = f" Trained for {steps:,} steps{seen}." if steps is not None else ""
    return f"An encoder of {of} architecture, trained by masked language modelling.{how} {_start(history)}"


def _start(history: History) -> str:
    if folder := setting_of(history, TRAIN, "train.init_from"):
        return f"Training continued from the weights of {Path(str(folder)).name}."
    if setting_of(history, TRAIN, "train.initialisation") == "comparable_pages":
        return "Its table of tokens began as vectors of comparable pages, the other weights as random numbers."
    return "Training began from random weights."


def _architecture(config: ModelConfig, parameters: int) -> Iterator[tuple[str, int | str]]:
    yield "parameters", parameters
    yield "layers", config.num_hidden_layers
    yield "hidden size", config.hidden_size
    yield "attention heads", config.num_attention_heads
    yield "feed-forward size", config.intermediate_size
    yield "vocabulary", config.vocab_size
    yield "longest sequence", config.max_sequence_length
    yield "layer normalisation", f"{config.norm}-LN"


def _text(history: History, validation: Mapping[str, Any]) -> Iterator[str]:
    encoded = history.get("tokenizer.encode")
    train = encoded.counts.get("train", {}) if encoded else {}
    if train:
        yield (
            f"{train['documents']:,} documents, {train['tokens']:,} tokens for training, in sequences of "
            f"{setting_of(history, 'tokenizer.encode', 'encode.sequence_length'):,}.{_mixing(history)}"
        )
    if by_language := validation.get("by_language"):
        yield "Cross-entropy of masked tokens in text that was held out, in nats:"
        yield markdown_table(
            ("language", "loss"), [(name, round(loss, 3)) for name, loss in sorted(by_language.items())]
        )


def _mixing(history: History) -> str:
    mixing = setting_of(history, TRAIN, "data.mixing")
    if mixing != "alpha":
        return f" How often each language was drawn: data.mixing is {mixing}." if mixing else ""
    alpha = setting_of(history, TRAIN, "data.alpha")
    return f" Languages were drawn by their share of the sequences to the power {alpha}."


def _training(history: History) -> Iterator[str]:
    made = history.get(TRAIN)
    if made is None:
        yield "Nothing is known of it: the manifest of pretrain.train is not there."
        return
    if code := made.code(USED):
        yield f"By {code}."
    yield settings_table(described_settings(TrainSettings, made.config.get("train", {})))
