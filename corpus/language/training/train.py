"""Training an identifier of our own: labelled text in, a fastText model and its card out.

Every language gives text by temperature, cut into excerpts of a crawl's lengths; whole documents are held out. The card
says what it was trained on, with which settings, how right it is on text that it did not see, and how it is combined
with the identifier that it is to help.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from corpus.language.accuracy import accuracy
from corpus.language.characters.prepare import prepared
from corpus.language.characters.scripts import WrittenLanguages
from corpus.language.characters.splitters import split
from corpus.language.combination.combined import Combined, learn_combination
from corpus.language.combination.rule import all_codes
from corpus.language.model_file import model_path
from corpus.language.models.coded_model import CodedModel
from corpus.language.models.model_card import CARD_VERSION, write_card
from corpus.language.models.own_model import OwnModel, code_of, words_alone
from corpus.language.prior.base_rates import prior_of
from corpus.language.settings import CC100
from corpus.language.training.labelled_text import (
    MEDIAN_CHARACTERS,
    LabelledDocument,
    checksums,
    draw_excerpts,
    find_files,
    read_documents,
    split_off,
)
from corpus.language.training.settings import IdentifierTraining
from pipeline.child import ZEROED, run_script
from pipeline.errors import XlmrError
from pipeline.storage import is_local, read_json, sha256_of_file

TRAINER = Path(__file__).with_name("fast_text_trainer.py")

MODEL_FILE = "own.ftz"
MODEL_FILE_FULL = "own.bin"
SOURCES = "sources.json"
"""Beside the text: the packages that it came from and their licences, for the card."""

Texts = dict[str, list[LabelledDocument]]


def train(
    text: str, folder: Path, settings: IdentifierTraining, base: str, labels: str = CC100, calibration: str = ""
) -> Path:
    """Write the model and its card into ``folder``, and say where the model is. The same bytes for the same text.

    ``calibration``: labelled text of another source, which the combination is learnt from; without it, half of what is
    held out. Errors: XlmrError for text that is not there or has fewer than two languages.
    """
    files = find_files(text)
    documents = {language: list(read_documents(language, found)) for language, found in sorted(files.items())}
    documents = {language: found for language, found in documents.items() if found}
    if len(documents) < 2:
        raise XlmrError(f"{text}: text in {len(documents)} languages", "give two or more files <language>.txt")
    kept, held_out = _hold_out(documents, settings.held_out)
    path = folder / (MODEL_FILE if settings.quantise else MODEL_FILE_FULL)
    folder.mkdir(parents=True, exist_ok=True)
    learnt_on = _fit(kept, settings, path)
    card = _card(path, settings, base, labels)
    sums = checksums(files)
    card["text"] = {
        language: {
            "files": sums[language],
            "documents": len(documents[language]),
            "characters": sum(len(one.text) for one in documents[language]),
            "characters_learnt_on": learnt_on[language],
        }
        for language in documents
    }
    sources = f"{text.rstrip('/')}/{SOURCES}"
    if is_local(sources) and Path(sources).is_file():
        card["sources"] = read_json(Path(sources))
    write_card(path, card)
    halves = _halves(held_out, calibration)
    if calibration:
        card["calibration"] = {"files": checksums(find_files(calibration))}
    _combine_and_measure(card, path, halves, settings, base, labels)
    write_card(path, card)
    return path


def _hold_out(documents: Texts, share: float) -> tuple[Texts, Texts]:
    sides = {language: split_off(found, share) for language, found in documents.items()}
    kept = {language: side[0] or side[1] for language, side in sides.items()}
    return kept, {language: side[1] for language, side in sides.items() if side[0] and side[1]}


def _halves(held_out: Texts, calibration: str) -> tuple[Texts, Texts]:
    """Text that the combination is learnt from, and text to measure it with."""
    first, second = {k: v[::2] for k, v in held_out.items()}, {k: v[1::2] for k, v in held_out.items()}
    if not calibration:
        return first, second
    files = find_files(calibration)
    other = {language: list(read_documents(language, found)) for language, found in files.items()}
    # A language that the other source lacks has half of what is held out.
    return first | other, second | {language: held_out[language] for language in held_out if language in other}


def _fit(documents: Texts, settings: IdentifierTraining, path: Path) -> dict[str, int]:
    """Train on excerpts of the documents; the characters that each language gave."""
    sizes = {language: sum(len(one.text) for one in found) for language, found in documents.items()}
    largest = max(sizes.values())
    lines, learnt_on = [], {}
    for language, found in documents.items():
        wanted = min(largest, settings.characters) * (sizes[language] / largest) ** settings.temperature
        rng = np.random.default_rng([settings.seed, *language.encode()])
        made = [words_alone(excerpt) for excerpt in draw_excerpts(found, wanted, rng)]
        learnt_on[language] = sum(map(len, made))
        lines += [f"__label__{language} {excerpt}\n" for excerpt in made if excerpt.strip()]
    np.random.default_rng(settings.seed).shuffle(lines)
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "train.txt"
        file.write_text("".join(lines), encoding="utf-8")
        small = {"cutoff": settings.features, "epoch": 1, "lr": settings.learning_rate / 5}
        order = {
            "text": str(file),
            "model": str(path),
            "options": settings.fast_text(),
            "quantise": small if settings.quantise else None,
        }
        run_script(TRAINER, order, ZEROED, "try a lower learning rate")
    return learnt_on


def _card(path: Path, settings: IdentifierTraining, base: str, labels: str) -> dict[str, Any]:
    return {
        "card_version": CARD_VERSION,
        "model": {"file": path.name, "sha256": sha256_of_file(path), "bytes": path.stat().st_size},
        "settings": settings.model_dump(),
        "base": {"model": base, "sha256": sha256_of_file(model_path(base)), "labels": labels},
    }


def _combine_and_measure(
    card: dict[str, Any], path: Path, halves: tuple[Texts, Texts], settings: IdentifierTraining, base: str, labels: str
) -> None:
    coded, own = CodedModel(base, labels), OwnModel(str(path))
    truth, texts = _sample(halves[0], settings)
    prior = prior_of(all_codes([coded.codes, own.codes]), settings.base_rate_exponent, settings.outside)
    learnt = learn_combination(coded, own, settings.cld2, (truth, prepared(texts)), prior)
    card["combination"] = learnt.to_card()
    write_card(path, card)
    own = OwnModel(str(path))  # with its rule, as it will be read
    card["held_out"] = {}
    for size, (truth, texts) in {
        "paragraph": _sample(halves[1], settings),
        "document": _whole(halves[1]),
    }.items():
        if texts:
            card["held_out"][size] = measure(coded, own, truth, texts)


def measure(base: CodedModel, own: OwnModel, truth: Sequence[str], texts: Sequence[str]) -> dict[str, Any]:
    """The accuracy of the first identifier, of ours and of all combined on the same texts, in the form of the card."""
    truth, texts, combined = list(map(code_of, truth)), prepared(texts), Combined(base, own)
    likely = combined.probabilities(texts) * WrittenLanguages(combined.codes).allowed(texts)
    answers: Mapping[str, tuple[Sequence[str], Any]] = {
        "base": (base.codes, base.probabilities(texts)),
        "own": (own.codes, own.probabilities(texts)),
        "combined": (combined.codes, likely),
    }
    return {
        name: accuracy(truth, split([codes[i] for i in likely.argmax(1).tolist()], texts))
        for name, (codes, likely) in answers.items()
    }


def _sample(documents: Texts, settings: IdentifierTraining) -> tuple[list[str], list[str]]:
    """The same number of excerpts of every language, or as many as its text holds."""
    truth: list[str] = []
    texts: list[str] = []
    for language, found in sorted(documents.items()):
        rng = np.random.default_rng([settings.seed, 1, *language.encode()])
        size = sum(len(one.text) for one in found)
        made = (
            draw_excerpts(found, min(size, settings.excerpts_held_out * MEDIAN_CHARACTERS * 1.4), rng) if size else []
        )
        truth += [language] * len(made)
        texts += made
    return truth, texts


def _whole(documents: Texts) -> tuple[list[str], list[str]]:
    texts = [(language, one.text) for language, found in sorted(documents.items()) for one in found]
    return [language for language, _ in texts], [text for _, text in texts]
