"""How right lid.176, the identifier of our own, and both combined are, on text that ours was not trained on; how fast.

``python -m benchmarks.language TEXT`` prints Markdown. TEXT is the test part of benchmarks.language_text, or any folder
of labelled text. Paragraphs of 20 characters or more, and whole documents; at each, the share of right answers, the
mean over languages, and what the wrong ones say.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from corpus.language.combine import Combination
from corpus.language.identifier import CodedModel, load_identifier
from corpus.language.labelled_text import SHORTEST, find_files, read_documents
from corpus.language.model_file import BUILT_IN_IDENTIFIER, BUILT_IN_OWN_MODEL
from corpus.language.own_model import OwnModel
from corpus.language.settings import CC100, LanguageId
from corpus.language.train import measure

LACKED_BY_LID_176 = re.findall(
    r"\S+", "bn_rom hi_rom ta_rom te_rom ur_rom my_zaw zh-Hans zh-Hant ff ha ig lg ln ns om ss tn wo xh zu"
)

PAIRS_SHOWN = 30
NAMES = {"base": "lid.176", "own": "ours", "combined": "combined"}
BATCH = 1_000


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.language", description=__doc__)
    parser.add_argument("text", help="folder of labelled text")
    parser.add_argument("--own", default=BUILT_IN_OWN_MODEL)
    parser.add_argument("--model", default=BUILT_IN_IDENTIFIER)
    arguments = parser.parse_args()
    own, base = OwnModel(arguments.own), CodedModel(arguments.model, CC100)
    combination = Combination.from_card(own.card["combination"], own.codes)
    documents = [d for language, files in find_files(arguments.text).items() for d in read_documents(language, files)]
    paragraphs = [(d.language, p) for d in documents for p in d.paragraphs if len(p) >= SHORTEST]
    samples = {"paragraph": paragraphs, "document": [(d.language, d.text) for d in documents]}
    measured = {
        size: measure(base, own, combination, [language for language, _ in rows], [text for _, text in rows])
        for size, rows in samples.items()
    }
    for part in (_summary(measured), _lacked(measured), _errors(measured), _worst(measured)):
        print("\n".join(part), end="\n\n")
    texts = [text for _, text in paragraphs]
    print("\n".join(_speed(arguments.model, arguments.own, texts)))


def _table(head: Sequence[str], rows: Iterator[Sequence[object]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "| --- |" + " ---: |" * (len(head) - 1)
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _mean_right(measured: dict[str, Any], wanted: Callable[[str], bool]) -> str:
    shares = [figures["right"] for code, figures in measured["languages"].items() if wanted(code)]
    return _percent(sum(shares) / len(shares)) if shares else "–"


def _summary(measured: dict[str, Any]) -> Iterator[str]:
    def rows() -> Iterator[Sequence[object]]:
        for size, answers in measured.items():
            for name, figures in answers.items():
                yield (
                    f"{size}: {NAMES[name]}",
                    f"{figures['texts']:,}",
                    _percent(figures["right"]),
                    _mean_right(figures, lambda code: code not in LACKED_BY_LID_176),
                    _mean_right(figures, lambda code: code in LACKED_BY_LID_176),
                )

    head = ("% right", "texts", "of all texts", "mean of what lid.176 can say", "mean of what it cannot")
    yield from _table(head, rows())


def _lacked(measured: dict[str, Any]) -> Iterator[str]:
    def rows() -> Iterator[Sequence[object]]:
        for code in LACKED_BY_LID_176:
            cells: list[object] = [code]
            for answers in measured.values():
                languages = [answers[name]["languages"].get(code) for name in NAMES]
                cells.append(languages[0]["texts"] if languages[0] else 0)
                cells += [_percent(figures["right"] if figures else None) for figures in languages]
                cells.append(_percent(languages[-1]["precise"] if languages[-1] else None))
            yield cells

    columns = [f"{size}s {what}" for size in measured for what in ("texts", *NAMES.values(), "precise")]
    yield from _table(("% right", *columns), rows())


def _errors(measured: dict[str, Any]) -> Iterator[str]:
    def rows() -> Iterator[Sequence[object]]:
        for language, said, texts in measured["paragraph"]["combined"]["confused"][:PAIRS_SHOWN]:
            yield (
                f"{language} → {said}",
                *(_pair(measured["paragraph"][name], language, said) for name in ("base", "own")),
                texts,
                measured["paragraph"]["combined"]["languages"][language]["texts"],
            )

    yield from _table(("paragraphs taken for", "lid.176", "ours", "combined", "of"), rows())


def _pair(figures: dict[str, Any], language: str, said: str) -> int:
    return sum(texts for one, other, texts in figures["confused"] if (one, other) == (language, said))


def _worst(measured: dict[str, Any]) -> Iterator[str]:
    """Languages of which the combination misses one paragraph in twenty or more."""

    def rows() -> Iterator[Sequence[object]]:
        combined = measured["paragraph"]["combined"]["languages"]
        for code in sorted(combined, key=lambda code: combined[code]["right"]):
            if combined[code]["right"] < 0.95:
                yield code, *(_percent(measured["paragraph"][name]["languages"][code]["right"]) for name in NAMES)

    yield from _table(("% of paragraphs right", *NAMES.values()), rows())


def _speed(model: str, own_model: str, texts: Sequence[str]) -> Iterator[str]:
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    choices = {
        "as they are (cc_net)": LanguageId(model=model),
        "cc100": LanguageId(model=model, labels=CC100),
        "cc100, combined": LanguageId(model=model, labels=CC100, own_model=own_model),
    }

    def rows() -> Iterator[Sequence[object]]:
        for name, settings in choices.items():
            seconds = sorted(_seconds(settings, texts) for _ in range(3))[1]
            yield name, f"{len(texts) / seconds:,.0f}", f"{megabytes / seconds:.1f}"

    yield from _table(("one core, median of 3", "paragraphs/s", "MB/s"), rows())


def _seconds(settings: LanguageId, texts: Sequence[str]) -> float:
    identifier = load_identifier(settings)
    start = time.perf_counter()
    for first in range(0, len(texts), BATCH):
        identifier.identify(texts[first : first + BATCH])
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
