"""XNLI: premise and hypothesis in 15 languages; English and machine-translated training, dev and test by people.

For translate-test the dev and test texts are machine translations to English, by the language that they came from.
"""

from __future__ import annotations

from finetune.data.content import read_text
from finetune.data.examples import Classification, Location, TaskData
from finetune.data.files import Files, ask_languages, languages_asked, need_file, split_files
from finetune.data.rows import cell, known_label, tab_rows
from finetune.data.settings import TaskSettings
from pipeline.errors import XlmrError

LANGUAGES = ("en", "fr", "es", "de", "el", "bg", "ru", "tr", "ar", "vi", "th", "zh", "hi", "sw", "ur")
"""In the order of the papers' tables."""

LABELS = ("entailment", "neutral", "contradiction")
OTHER_NAMES = {"contradictory": "contradiction"}
"""The training files' word for it."""

PUBLISHED = "XNLI-1.0.zip (https://github.com/facebookresearch/XNLI)"
PUBLISHED_TRANSLATED = "XNLI-MT-1.0.zip (https://github.com/facebookresearch/XNLI)"


def files(settings: TaskSettings) -> Files:
    """``multinli.train.<language>.tsv``; all languages of dev, and of test, stand in one file."""
    places = ("", "multinli/", "XNLI-MT-1.0/multinli/")
    names = {lg: [f"{place}multinli.train.{lg}.tsv" for place in places] for lg in LANGUAGES}
    found = {"train": split_files(settings, "train", names, PUBLISHED_TRANSLATED)}
    for split in ("dev", "test"):
        address = _evaluation_file(settings, split)
        asked = ask_languages("xnli", split, languages_asked(settings, split), LANGUAGES)
        found[split] = dict.fromkeys(asked, address)
    return found


def read(settings: TaskSettings, files: Files) -> TaskData:
    """Every file once. Errors: XlmrError with file and row, and for a language that the file does not hold."""
    train = {language: read_training(address) for language, address in files["train"].items()}
    splits = {}
    for split in ("dev", "test"):
        address = next(iter(files[split].values()))
        there = read_evaluation(address)
        asked = languages_asked(settings, split) or tuple(lg for lg in LANGUAGES if lg in there)
        for language in asked:
            if language not in there:
                raise XlmrError(f"{address}: holds nothing in language {language!r}", f"there is {', '.join(there)}")
        splits[split] = {language: there[language] for language in asked}
    return TaskData("xnli", "classification", LABELS, train, splits["dev"], splits["test"])


def read_training(address: str) -> list[Classification]:
    """A training file: premise, hypo, label."""
    found = []
    for row, values in tab_rows(address, read_text(address)):
        location = Location(address, row)
        premise, hypothesis = (cell(values, column, location, empty=True) for column in ("premise", "hypo"))
        found.append(
            Classification(
                str(row - 1), premise, hypothesis, _label(cell(values, "label", location), location), location
            )
        )
    return _some(found, address)


def read_evaluation(address: str) -> dict[str, list[Classification]]:
    """Language -> examples of a dev or test file: language, gold_label, sentence1, sentence2, pairID among others."""
    found: dict[str, list[Classification]] = {}
    for row, values in tab_rows(address, read_text(address)):
        location = Location(address, row)
        premise, hypothesis = (cell(values, column, location, empty=True) for column in ("sentence1", "sentence2"))
        label = _label(cell(values, "gold_label", location), location)
        example = Classification(str(values.get("pairID") or row), premise, hypothesis, label, location)
        found.setdefault(cell(values, "language", location), []).append(example)
    if not found:
        raise XlmrError(f"{address}: holds no example", "check the file")
    return found


def _evaluation_file(settings: TaskSettings, split: str) -> str:
    if settings.translated_test:
        places = ("", "xnli/", "XNLI-MT-1.0/xnli/")
        return need_file(settings.folder, [f"{place}xnli.{split}.en.tsv" for place in places], PUBLISHED_TRANSLATED)
    return need_file(settings.folder, [f"{place}xnli.{split}.tsv" for place in ("", "XNLI-1.0/")], PUBLISHED)


def _label(label: str, location: Location) -> str:
    label = label.strip()
    return known_label(OTHER_NAMES.get(label, label), LABELS, location)


def _some(found: list[Classification], address: str) -> list[Classification]:
    if not found:
        raise XlmrError(f"{address}: holds no example", "check the file")
    return found
