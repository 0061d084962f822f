"""What identifiers are measured on: slices of labelled text by length, and the same slices in other forms."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpus.language.characters.scripts import main_scripts
from corpus.language.characters.splitters import split
from corpus.language.training.labelled_text import cut, find_files, read_documents
from samples.builder.languages import UDHR

ROMANISED = ("bn_rom", "hi_rom", "ta_rom", "te_rom", "ur_rom")
CODES = {*UDHR.values(), *ROMANISED, "my_zaw", "as", "or", "sd", "zh"}
"""What is measured: the languages of CC100."""
LENGTHS = {"1–10": (1, 10), "11–20": (11, 20), "21–50": (21, 50), "51–100": (51, 100), "100+": (101, 400)}
"""Characters of a slice."""
SLICES = 12
"""Of each language, kind of text and length."""
_TRIES = 6
"""How often a slice is drawn for each that is wanted: words end where they end, so not all have a length asked for."""
_LATIN_NAMES = ("Visa MasterCard PayPal", "Windows 8.1", "Samsung Galaxy", "Harry Potter", "YouTube")
FORM_LENGTHS = ("21–50", "51–100")
"""Of the slices that are measured in other forms, too."""


@dataclass(frozen=True)
class Slice:
    """A text to identify, and what it is."""

    language: str
    kind: str
    length: str
    text: str


def read_slices(folder: Path, seed: int = 1, count: int = SLICES) -> list[Slice]:
    """Slices of all kinds of text in a folder of folders. The same text gives the same slices.

    ``count``: of each language, kind and length, or as many as its text has.
    """
    kinds = sorted(path for path in folder.iterdir() if path.is_dir())
    made = [one for kind in kinds for one in _slices_of_kind(kind, seed, count)]
    scripts = split([one.language for one in made], [one.text for one in made])
    # A label zh has no script: it is right for the script that the text is in.
    return [
        Slice(script if one.language == "zh" else one.language, one.kind, one.length, one.text)
        for one, script in zip(made, scripts, strict=True)
    ]


def _slices_of_kind(kind: Path, seed: int, count: int) -> Iterator[Slice]:
    for language, files in sorted(find_files(str(kind)).items()):
        paragraphs = [p for document in read_documents(language, files) for p in document.paragraphs]
        for length, (shortest, longest) in LENGTHS.items():
            rng = np.random.default_rng([seed, shortest, *f"{kind.name} {language}".encode()])
            for text in _drawn(paragraphs, (shortest, longest), count, rng):
                yield Slice(language, kind.name, length, text)


def _drawn(paragraphs: Sequence[str], lengths: tuple[int, int], count: int, rng: np.random.Generator) -> list[str]:
    shortest, longest = lengths
    long_enough = [p for p in paragraphs if len(p) >= shortest]
    found: dict[str, None] = {}
    for _ in range(count * _TRIES if long_enough else 0):
        paragraph = long_enough[int(rng.integers(len(long_enough)))]
        wanted = int(rng.integers(shortest, longest + 1))
        text = cut(paragraph, int(rng.integers(max(len(paragraph) - wanted, 0) + 1)), wanted)
        if shortest <= len(text) <= longest and any(map(str.isalpha, text)):
            found[text] = None
        if len(found) == count:
            break
    return list(found)


def with_latin_name(texts: Sequence[str]) -> list[str]:
    """The texts with the name of a product or a person behind them."""
    return [f"{text} {_LATIN_NAMES[place % len(_LATIN_NAMES)]}" for place, text in enumerate(texts)]


FORMS: dict[str, Callable[[Sequence[str]], list[str]]] = {
    "as it is (NFC)": list,
    "NFD": lambda texts: [unicodedata.normalize("NFD", text) for text in texts],
    "capitals": lambda texts: [text.upper() for text in texts],
    "lower case": lambda texts: [text.lower() for text in texts],
    "Title Case": lambda texts: [text.title() for text in texts],
}
LATIN_NAME = "other scripts, and a Latin name"


def in_forms(slices: Sequence[Slice]) -> dict[str, tuple[list[str], list[str]]]:
    """By form: the languages of the slices of middle length, and the texts; names only behind other scripts."""
    chosen = [one for one in slices if one.length in FORM_LENGTHS]
    languages, texts = [one.language for one in chosen], [one.text for one in chosen]
    forms = {name: (languages, change(texts)) for name, change in FORMS.items()}
    other = [place for place, script in enumerate(main_scripts(texts)) if script not in ("Latin", "")]
    alone = [languages[i] for i in other], [texts[i] for i in other]
    return forms | {"other scripts alone": alone, LATIN_NAME: (alone[0], with_latin_name(alone[1]))}
