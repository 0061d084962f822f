"""The papers' settings as data: what is trained on, what is chosen on which dev set, and with which recipe.

A protocol of the papers -> the models to fit (``fits_of``) -> sections of a configuration (``sections_of``). What the
papers leave unsaid is named in ``Recipe.unpublished`` and is the default of ``finetune.recipe``. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from finetune.data.settings import GLUE

TrainOn = Literal["source", "each", "all"]
"""One language for all; a model a language on its own texts; one model on the texts of all."""

ChooseOn = Literal["source", "joint", "language"]
"""What epochs and rates are chosen on: dev of the language trained on, of all together, of each for itself."""


@dataclass(frozen=True)
class Choice:
    """One model kept: the epoch with the best mean score on ``dev`` is the one tested on ``test``."""

    dev: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Fit:
    """One training, from which one or several epochs are kept."""

    train: tuple[str, ...]
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class PaperPlan:
    """How languages are used. ``translated_test``: what is chosen and tested on was machine-translated to English."""

    train_on: TrainOn
    choose_on: ChooseOn
    translated_test: bool = False
    source_language: str = "en"


TRANSFER = PaperPlan("source", "joint")
"""Cross-lingual transfer, with one model for all languages (XLM-R, section 5.2)."""

ZERO_SHOT = PaperPlan("source", "source")
"""Cross-lingual transfer that sees no other language, not even to choose."""

TRANSLATE_TEST = PaperPlan("source", "joint", translated_test=True)
TRANSLATE_TRAIN = PaperPlan("each", "language")
TRANSLATE_TRAIN_ALL = PaperPlan("all", "joint")


def fits_of(plan: PaperPlan, languages: Sequence[str]) -> list[Fit]:
    """What to train for ``languages``, the source language among them or not."""
    everything = tuple(languages)

    def choices(train: tuple[str, ...], tested: tuple[str, ...]) -> tuple[Choice, ...]:
        if plan.choose_on == "language":
            return tuple(Choice((language,), (language,)) for language in tested)
        return (Choice(train if plan.choose_on == "source" else everything, tested),)

    if plan.train_on == "each":
        return [Fit((language,), choices((language,), (language,))) for language in everything]
    train = everything if plan.train_on == "all" else (plan.source_language,)
    return [Fit(train, choices(train, everything))]


def models_of(plan: PaperPlan, languages: Sequence[str]) -> int:
    """How many models the plan ends with: the papers' column #M."""
    return sum(len(fit.choices) for fit in fits_of(plan, languages))


@dataclass(frozen=True)
class PaperRecipe:
    """Values for ``finetune.recipe`` that are known, seeds, and the settings of it that nobody outside knows."""

    values: Mapping[str, Any]
    seeds: int
    source: str
    unpublished: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())


_OPTIMISER = ("betas", "epsilon", "weight_decay", "max_grad_norm", "warmup_ratio")

XNLI = PaperRecipe(
    {
        "batch": 128,
        "learning_rates": (2e-6, 5e-6, 7.5e-6, 1e-5),
        "steps_per_epoch": 5000,
        "patience": 5,
        "epochs": 250,
        "warmup_ratio": 0.0,
    },
    5,
    "XLM-R's known XNLI recipe (the XLM code's fine-tuning script)",
    ("longest", "dropout", "betas", "epsilon", "weight_decay", "max_grad_norm"),
    ("that code keeps the rate constant; ours decays to zero over 250 epochs, of which patience leaves the first few",),
)
XL = PaperRecipe(
    {"batch": 32, "epochs": 10},
    1,
    "XL paper, section 3",
    ("learning_rates", "patience", "longest", "dropout", "seeds", *_OPTIMISER),
    ("early stop is on the mean over all languages' dev sets",),
)
NER = PaperRecipe(
    {"learning_rates": (1e-5, 2e-5, 3e-5, 4e-5, 5e-5)},
    5,
    "XLM-R's known NER sweep",
    ("batch", "epochs", "patience", "longest", "dropout", "seeds", *_OPTIMISER),
)
_WINDOWS = {"longest": 384, "stride": 128, "longest_answer": 30}
QUESTIONS = PaperRecipe(
    {**_WINDOWS, "learning_rates": (3e-5,), "epochs": 2},
    5,
    "MLQA's windows (Lewis et al. 2019); rate and epochs are BERT's for SQuAD",
    ("batch", "patience", "dropout", "seeds", *_OPTIMISER),
)
GLUE_RECIPE = PaperRecipe(
    {"learning_rates": (1e-5,), "batch": 32, "epochs": 10, "warmup_ratio": 0.06, "weight_decay": 0.1},
    5,
    "RoBERTa's known GLUE settings (fairseq's examples)",
    ("patience", "longest", "seeds"),
    ("RoBERTa tells the median of five seeds on dev; here it is the mean",),
)
GLUE_SMALL = replace(GLUE_RECIPE, values={**GLUE_RECIPE.values, "batch": 16})
"""MRPC: RoBERTa's small tasks have half the batch."""
STS = replace(GLUE_SMALL, values={**GLUE_SMALL.values, "learning_rates": (2e-5,)})


@dataclass(frozen=True)
class PaperProtocol:
    """One row of a table. ``languages`` in the table's order; empty where a task has English alone."""

    task: str
    plan: PaperPlan
    recipe: PaperRecipe
    languages: tuple[str, ...]
    row: str


XNLI_LANGUAGES = ("en", "fr", "es", "de", "el", "bg", "ru", "tr", "ar", "vi", "th", "zh", "hi", "sw", "ur")
NER_LANGUAGES = ("en", "nl", "es", "de")
MLQA_LANGUAGES = ("en", "es", "de", "ar", "hi", "vi", "zh")
XQUAD_LANGUAGES = ("en", "ar", "de", "el", "es", "hi", "ru", "th", "tr", "vi", "zh")


def _xnli(plan: PaperPlan, row: str, recipe: PaperRecipe = XNLI) -> PaperProtocol:
    return PaperProtocol("xnli", plan, recipe, XNLI_LANGUAGES, row)


def _ner(plan: PaperPlan, row: str) -> PaperProtocol:
    return PaperProtocol("conll", plan, NER, NER_LANGUAGES, row)


def _glue(recipe: Mapping[str, PaperRecipe], row: str) -> dict[str, PaperProtocol]:
    return {
        name: PaperProtocol(name, ZERO_SHOT, recipe.get(name, recipe[""]), ("en",), f"{row}, {name}") for name in GLUE
    }


_XL_QUESTIONS = replace(
    XL,
    values={**XL.values, **_WINDOWS},
    source=f"{XL.source}; windows are MLQA's",
    unpublished=tuple(name for name in XL.unpublished if name not in _WINDOWS),
)
_GLUE_RECIPES = {"": GLUE_RECIPE, "mrpc": GLUE_SMALL, "stsb": STS}

PROTOCOLS: Mapping[str, PaperProtocol] = {
    "xnli-transfer": _xnli(TRANSFER, "XLM-R, Table 1, cross-lingual transfer"),
    "xnli-transfer-by-language": _xnli(
        replace(TRANSFER, choose_on="language"), "XLM-R, Table 1, cross-lingual transfer with #M = N"
    ),
    "xnli-translate-test": _xnli(TRANSLATE_TEST, "XLM-R, Table 1, translate-test"),
    "xnli-translate-train": _xnli(TRANSLATE_TRAIN, "XLM-R, Table 1, translate-train"),
    "xnli-translate-train-all": _xnli(TRANSLATE_TRAIN_ALL, "XLM-R, Table 1, translate-train-all"),
    "ner-en": _ner(ZERO_SHOT, "XLM-R, Table 2, train en"),
    "ner-each": _ner(TRANSLATE_TRAIN, "XLM-R, Table 2, train each"),
    "ner-all": _ner(TRANSLATE_TRAIN_ALL, "XLM-R, Table 2, train all"),
    "mlqa": PaperProtocol("mlqa", ZERO_SHOT, QUESTIONS, MLQA_LANGUAGES, "XLM-R, Table 3"),
    **{f"glue-{name}": one for name, one in _glue(_GLUE_RECIPES, "XLM-R, Table 4").items()},
    "xl-xnli-transfer": _xnli(TRANSFER, "XL paper, Table 1, cross-lingual transfer", XL),
    "xl-xnli-translate-train-all": _xnli(TRANSLATE_TRAIN_ALL, "XL paper, Table 1, translate-train-all", XL),
    "xl-xquad": PaperProtocol("xquad", ZERO_SHOT, _XL_QUESTIONS, XQUAD_LANGUAGES, "XL paper, Table 3"),
    "xl-mlqa": PaperProtocol("mlqa", TRANSFER, _XL_QUESTIONS, MLQA_LANGUAGES, "XL paper, Table 4"),
    **{f"xl-glue-{name}": one for name, one in _glue({"": XL}, "XL paper, Table 2").items() if name != "stsb"},
}
"""Every row that the papers give for their own models. XQuAD is chosen on English: it has no dev set of its own."""


def _protocol(protocol: PaperProtocol, fit: Fit) -> dict[str, Any]:
    seeds = tuple(range(1, protocol.recipe.seeds + 1))
    by_language = {"choose": "language"} if len(fit.choices) > 1 else {}
    return {"seeds": seeds, "initialisations": ("pretrained",), **by_language}


def sections_of(protocol: PaperProtocol, folder: str) -> list[dict[str, Any]]:
    """The sections ``finetune.task``, ``recipe`` and ``protocol`` of a configuration, for each training."""
    return [
        {
            "task": _task(protocol, folder, fit),
            "recipe": dict(protocol.recipe.values),
            "protocol": _protocol(protocol, fit),
        }
        for fit in fits_of(protocol.plan, protocol.languages)
    ]


def _task(protocol: PaperProtocol, folder: str, fit: Fit) -> dict[str, Any]:
    task: dict[str, Any] = {"name": protocol.task, "folder": folder, "train_languages": fit.train}
    dev, test = (dict.fromkeys(lang for one in fit.choices for lang in getattr(one, s)) for s in ("dev", "test"))
    task |= {"dev_languages": tuple(dev), "test_languages": tuple(test)}
    if protocol.task == "mnli":
        task["test_languages"] = ("en", "en-mismatched")
    if protocol.plan.translated_test:
        task["translated_test"] = True
    return task
