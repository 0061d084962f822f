"""What a model has to beat: answers that need no model, fastText trained on the same texts, an encoder never trained.

Each baseline is a function of the training examples and of those to answer, and answers like a model.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch

from finetune.data.examples import Classification, Question, Regression, Tagging
from finetune.data.tags import OUTSIDE
from finetune.heads.kind import Kind
from finetune.stages import Encoders, Initialisation
from finetune.training.ranks import ALONE, Ranks, encoder_for
from pipeline.child import ZEROED, run_script
from pretrain.ablation import MODEL as ABLATED
from pretrain.comparable.start import put_vectors
from pretrain.config_file import read_config
from pretrain.model import Encoder

Answers = list[dict[str, Any]]
Baseline = Callable[[Sequence[Any], Sequence[Any]], Answers]
"""(training examples, examples) -> a prediction each."""

RANDOM_WORDS = 3
"""Words of a random answer: the median of SQuAD's answers is 2 to 3."""

FAST_TEXT = {"minn": 2, "maxn": 5, "dim": 64, "epoch": 50, "lr": 0.5, "wordNgrams": 1, "bucket": 200_000, "seed": 1}
"""Character n-grams, for words are of no use in a language that was not trained on. The same for every task."""

TRAINER = Path(__file__).with_name("fast_text_trainer.py")

SLOW = ("fasttext",)
"""Those whose learning takes long: they are given no more rows than the settings say."""

_SENTENCE = re.compile(r"[^.!?。！？।؟\n]+[.!?。！？।؟]*")


def baselines_of(kind: str) -> dict[str, Baseline]:
    """Name -> baseline, of a kind of task."""
    found: dict[str, dict[str, Baseline]] = {
        "classification": {"majority": majority, "fasttext": fast_text},
        "regression": {"mean": mean_value},
        "tagging": {"one tag": one_tag, "word list": word_list},
        "span": {"random words": random_words, "nearest sentence": nearest_sentence},
    }
    return found[kind]


def starting_encoder(encoders: Encoders, initialisation: Initialisation, seed: int, ranks: Ranks = ALONE) -> Encoder:
    """The pretrained encoder, that of the ablation, or a network of the same shape with weights drawn by ``seed``.

    Of these, those of comparable pages have the vectors of pretrain.comparable as rows of the tokens' table.
    """
    if initialisation == "pretrained":
        return encoder_for(encoders.pretrained, ranks)
    if initialisation == "ablation":
        return encoder_for(encoders.others["ablation"] / ABLATED, ranks)
    torch.manual_seed(seed)
    fresh = Encoder(read_config(encoders.pretrained))
    if initialisation == "comparable_pages":
        with torch.no_grad():
            put_vectors(fresh.embeddings.tokens.weight, encoders.others["comparable_pages"])
    return encoder_for(encoders.pretrained, ranks, fresh)


def majority(train: Sequence[Classification], test: Sequence[Classification]) -> Answers:
    """The commonest label; the first by name of those that are equally common."""
    counts = Counter(example.label for example in train)
    label = min(counts, key=lambda name: (-counts[name], name))
    return [{"predicted": label}] * len(test)


def fast_text(train: Sequence[Classification], test: Sequence[Classification]) -> Answers:
    """FastText's classifier on character n-grams, on one thread, so that it says the same each time."""
    import fasttext

    fasttext.FastText.eprint = lambda *words, **options: None  # it greets on stderr
    labels = sorted({example.label for example in train})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.txt"
        lines = [f"__label__{labels.index(example.label)} {_one_line(example)}\n" for example in train]
        file.write_text("".join(lines), encoding="utf-8")
        learnt = str(Path(folder) / "model.bin")
        order = {"text": str(file), "model": learnt, "options": FAST_TEXT}
        run_script(TRAINER, order, ZEROED, "set finetune.protocol.baselines to false")
        model = fasttext.load_model(learnt)
    predicted, _ = model.predict([_one_line(example) for example in test], k=1)
    return [{"predicted": labels[int(one[0].removeprefix("__label__"))] if one else labels[0]} for one in predicted]


def mean_value(train: Sequence[Regression], test: Sequence[Regression]) -> Answers:
    """The training examples' mean."""
    return [{"predicted": float(np.mean([example.value for example in train]))}] * len(test)


def one_tag(train: Sequence[Tagging], test: Sequence[Tagging]) -> Answers:
    """O for every word: no name is ever found. Where tags are plain, the commonest in training."""
    tag = _usual_tag(train)
    return [{"predicted": [tag] * len(example.words)} for example in test]


def word_list(train: Sequence[Tagging], test: Sequence[Tagging]) -> Answers:
    """Each word's commonest tag in training, O for words that are new (of plain tags the commonest of all)."""
    counts: dict[str, Counter[str]] = {}
    for example in train:
        for word, tag in zip(example.words, example.tags, strict=True):
            counts.setdefault(word, Counter())[tag] += 1
    tags = {word: found.most_common(1)[0][0] for word, found in counts.items()}
    usual = _usual_tag(train)
    return [{"predicted": [tags.get(word, usual) for word in example.words]} for example in test]


def _usual_tag(train: Sequence[Tagging]) -> str:
    counts = Counter(tag for example in train for tag in example.tags)
    return OUTSIDE if OUTSIDE in counts else min(counts, key=lambda tag: (-counts[tag], tag))


def random_words(train: Sequence[Question], test: Sequence[Question]) -> Answers:
    """Three words of the context (nine characters where it has no spaces), drawn by the question's id."""
    del train
    return [{"predicted": _random_words(example)} for example in test]


def nearest_sentence(train: Sequence[Question], test: Sequence[Question]) -> Answers:
    """The sentence of the context that has most pairs of neighbouring letters in common with the question."""
    del train
    return [{"predicted": max(_sentences(one.context), key=lambda s: _likeness(s, one.question))} for one in test]


def _random_words(example: Question) -> str:
    words = list(re.finditer(r"\S+", example.context))
    draw = np.random.default_rng(crc32(example.id.encode()))
    if len(words) < len(example.context) / 30:  # no spaces between words
        start = int(draw.integers(max(1, len(example.context) - 3 * RANDOM_WORDS)))
        return example.context[start : start + 3 * RANDOM_WORDS]
    first = int(draw.integers(max(1, len(words) - RANDOM_WORDS + 1)))
    last = min(first + RANDOM_WORDS, len(words)) - 1
    return example.context[words[first].start() : words[last].end()]


def _sentences(context: str) -> list[str]:
    return [found.strip() for found in _SENTENCE.findall(context) if found.strip()] or [context]


def _likeness(sentence: str, question: str) -> float:
    one, other = _pairs(sentence), _pairs(question)
    return len(one & other) / max(1, len(one)) ** 0.5


def _pairs(text: str) -> set[str]:
    text = text.lower()
    return {text[place : place + 2] for place in range(len(text) - 1)}


def _one_line(example: Classification) -> str:
    return " ".join(f"{example.text} {example.pair or ''}".split())


def score_baselines(
    train: Sequence[Any],
    test: Mapping[str, Sequence[Any]],
    kind: Kind,
    rows: int,
    scored: Callable[[str], None] = lambda name: None,
) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, list[int]]]:
    """Baseline -> language -> scores; and baseline -> [rows learnt from, of how many] where it was not all.

    ``rows`` is the most that the slow ones learn from; 0: all. ``scored`` is called with each.
    """
    scores, learnt = {}, {}
    for name, baseline in baselines_of(kind.name).items():
        own = drawn(train, rows) if name in SLOW else train
        scores[name] = _scores(own, test, baseline, kind.score)
        if len(own) < len(train):
            learnt[name] = [len(own), len(train)]
        scored(name)
    return scores, learnt


def drawn(examples: Sequence[Any], most: int) -> Sequence[Any]:
    """``most`` of the examples, each as likely as any other, in their order and the same each time; 0: all."""
    if not most or len(examples) <= most:
        return examples
    return [examples[n] for n in np.sort(np.random.default_rng(1).choice(len(examples), most, replace=False))]


def _scores(
    train: Sequence[Any], test: Mapping[str, Sequence[Any]], baseline: Baseline, judge: Callable[..., dict[str, float]]
) -> dict[str, dict[str, float]]:
    """Language -> scores. The baseline learns once and answers all languages."""
    every = [example for examples in test.values() for example in examples]
    predicted = baseline(train, every)
    found, start = {}, 0
    for language, examples in test.items():
        found[language] = judge(examples, predicted[start : start + len(examples)], language)
        start += len(examples)
    return found
