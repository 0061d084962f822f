"""How right ours, lid.176 and other identifiers are, by length, form and kind of text; how reliable scores are; speed.

``python -m benchmarks.language TEXT/test [--peers PYTHON]`` prints Markdown. TEXT is what benchmarks.language.text
wrote. PYTHON is one that has pycld2, heliport and py3langid: a virtual environment of their own. Only CC100's languages
are measured, but for the table of those that are none.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

import corpus
from benchmarks.language import figures
from benchmarks.language.identifiers import LID_176, OURS, Answers, answers_of, answers_of_peer, lid_176, ours, peers
from benchmarks.language.markdown import percent, table
from benchmarks.language.samples import CODES, LENGTHS, SLICES, Slice, in_forms, read_slices
from corpus.language.labels import load_table
from corpus.language.model_file import BUILT_IN_IDENTIFIER, BUILT_IN_OWN_MODEL
from corpus.language.models.coded_model import CodedModel
from corpus.language.settings import CC100

Ask = Callable[[Sequence[str]], Answers]

PAIRS_SHOWN = 30
HARDEST_SHOWN = 20
CRAWL = Path(__file__).parents[2] / "samples/crawl/*.warc.wet.gz"
POINT = 0.01


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.language", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("text", type=Path, help="folder of folders of labelled text")
    parser.add_argument("--own", default=BUILT_IN_OWN_MODEL, help="the model of ours")
    parser.add_argument("--slices", type=int, default=SLICES, help="of each language, kind of text and length")
    parser.add_argument("--peers", default="", help="a Python that has the peers")
    arguments = parser.parse_args()
    everything = read_slices(arguments.text, count=arguments.slices)
    slices = [one for one in everything if one.language in CODES]
    asked = _identifiers(arguments.own, arguments.peers)
    texts = [one.text for one in slices]
    answers = {name: ask(texts) for name, ask in asked.items()}
    print(f"{len(slices):,} slices in {len({one.language for one in slices})} codes", end="\n\n")
    _print(_by_group(slices, answers, "length", tuple(LENGTHS)))
    _print(_by_group(slices, answers, "kind", sorted({one.kind for one in slices})))
    _print(_forms(slices, asked))
    _print(_reliability(slices, answers))
    _print(_diagram(slices, answers[OURS]))
    recalls = _recalls(slices, answers)
    _print(_below(recalls))
    _print(_hardest(recalls))
    _print(_pairs(slices, answers))
    _print(_neighbours([one for one in everything if one.language not in CODES], asked))
    _print(_speed(texts, answers, asked))


def _identifiers(own_model: str, python: str) -> dict[str, Ask]:
    asked: dict[str, Ask] = {
        LID_176: lambda texts: answers_of(lid_176(), texts),
        OURS: lambda texts: answers_of(ours(own_model), texts),
    }
    for peer in peers(python):
        asked[peer] = lambda texts, peer=peer: answers_of_peer(peer, python, texts)  # type: ignore[misc]
    return asked


def _print(lines: Iterator[str]) -> None:
    print("\n".join(lines), end="\n\n")


def _both(truth: Sequence[str], said: Sequence[str]) -> str:
    return f"{percent(figures.accuracy(truth, said))} / {percent(figures.macro_f1(truth, said))}"


def _by_group(
    slices: Sequence[Slice], answers: Mapping[str, Answers], name: str, groups: Sequence[str]
) -> Iterator[str]:
    def rows() -> Iterator[Sequence[object]]:
        for group in (*groups, "all"):
            places = [i for i, one in enumerate(slices) if group in ("all", getattr(one, name))]
            truth = [slices[i].language for i in places]
            cells = [_both(truth, [found.codes[i] for i in places]) for found in answers.values()]
            yield (group, f"{len(places):,}", *cells)

    head = "characters" if name == "length" else name
    yield from table((f"{head}: % right / macro-F1", "texts", *answers), rows())


def _forms(slices: Sequence[Slice], asked: Mapping[str, Ask]) -> Iterator[str]:
    def rows() -> Iterator[Sequence[object]]:
        for form, (truth, texts) in in_forms(slices).items():
            shares = (percent(figures.accuracy(truth, ask(texts).codes)) for ask in asked.values())
            yield (form, f"{len(texts):,}", *shares)

    yield from table(("21–100 characters: % right", "texts", *asked), rows())


def _reliability(slices: Sequence[Slice], answers: Mapping[str, Answers]) -> Iterator[str]:
    """How many answers have a score of 0.9 or more, and how many of these are right."""

    def cell(found: Answers, places: Sequence[int]) -> str:
        right = np.array([found.codes[i] == slices[i].language for i in places], bool)
        share, true = figures.sure_and_right(right, [found.scores[i] for i in places])
        return f"{percent(share)} / {percent(true)}"

    def rows() -> Iterator[Sequence[object]]:
        for length in LENGTHS:
            places = [i for i, one in enumerate(slices) if one.length == length]
            none = sum(answers[OURS].codes[i] == "" for i in places) / max(len(places), 1)
            yield (length, *(cell(answers[name], places) for name in (LID_176, OURS)), percent(none))

    yield from table(("characters: % with score ≥ 0.9 / of these right", LID_176, OURS, "ours: no answer"), rows())


def _diagram(slices: Sequence[Slice], found: Answers) -> Iterator[str]:
    def rows() -> Iterator[Sequence[object]]:
        for length in LENGTHS:
            places = [i for i, one in enumerate(slices) if one.length == length and found.codes[i]]
            right = np.array([found.codes[i] == slices[i].language for i in places], bool)
            bins = figures.reliability(right, [found.scores[i] for i in places])
            yield (length, *(f"{percent(share)} of {number:,}" for number, share in bins))

    edges = [f"{low:g}–{min(high, 1):g}" for low, high in zip(figures.BINS, figures.BINS[1:], strict=False)]
    yield from table(("ours, % right by score", *edges), rows())


def _recalls(slices: Sequence[Slice], answers: Mapping[str, Answers]) -> dict[str, dict[str, float]]:
    """The share right of each language, in texts of more than 10 characters, by identifier."""
    places = [i for i, one in enumerate(slices) if one.length != "1–10"]
    truth = [slices[i].language for i in places]
    return {name: figures.recall(truth, [found.codes[i] for i in places]) for name, found in answers.items()}


def _below(shares: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """Languages that lid.176 has a label for, and that ours is more than a point below it in."""
    known = {*CodedModel(BUILT_IN_IDENTIFIER, CC100).codes, "zh-Hans", "zh-Hant"}

    def rows() -> Iterator[Sequence[object]]:
        for code in sorted(shares[OURS], key=lambda code: shares[OURS][code] - shares[LID_176][code]):
            if code in known and shares[OURS][code] < shares[LID_176][code] - POINT:
                yield (code, *(percent(share[code]) for share in shares.values()))

    yield from table(("more than 10 characters, % right: below lid.176", *shares), rows())


def _hardest(shares: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """The languages that ours is least often right in."""
    hardest = sorted(shares[OURS], key=lambda code: shares[OURS][code])[:HARDEST_SHOWN]
    rows = ((code, *(percent(share[code]) for share in shares.values())) for code in hardest)
    yield from table(("more than 10 characters, % right: the hardest", *shares), rows)


def _pairs(slices: Sequence[Slice], answers: Mapping[str, Answers]) -> Iterator[str]:
    """The most frequent errors of ours in texts of more than 20 characters."""
    places = [i for i, one in enumerate(slices) if one.length not in ("1–10", "11–20")]
    truth = [slices[i].language for i in places]

    def count(found: Answers) -> dict[tuple[str, str], int]:
        counted: dict[tuple[str, str], int] = {}
        for language, i in zip(truth, places, strict=True):
            if found.codes[i] != language:
                counted[language, found.codes[i]] = counted.get((language, found.codes[i]), 0) + 1
        return counted

    counts = {name: count(found) for name, found in answers.items()}

    def rows() -> Iterator[Sequence[object]]:
        frequent = sorted(counts[OURS], key=lambda pair: (-counts[OURS][pair], pair))[:PAIRS_SHOWN]
        for pair in frequent:
            numbers = (counted.get(pair, 0) for counted in counts.values())
            yield (f"{pair[0]} → {pair[1] or 'none'}", *numbers, truth.count(pair[0]))

    yield from table(("more than 20 characters, taken for", *counts, "of"), rows())


def _neighbours(slices: Sequence[Slice], asked: Mapping[str, Ask]) -> Iterator[str]:
    """How many texts in languages outside CC100 get one of its codes."""
    codes = load_table(CC100)
    chosen = [one for one in slices if codes.get(one.language, one.language) not in CODES]

    def rows() -> Iterator[Sequence[object]]:
        for length in LENGTHS:
            texts = [one.text for one in chosen if one.length == length]
            shares = (np.mean([code in CODES for code in ask(texts).codes]) for ask in asked.values())
            yield (length, f"{len(texts):,}", *map(percent, map(float, shares)))

    head = "other languages: % that get a code of CC100"
    yield from table((head, "texts", *asked), rows())


def _speed(texts: Sequence[str], answers: Mapping[str, Answers], asked: Mapping[str, Ask]) -> Iterator[str]:
    """By processor time: of the slices, which are in all languages, and of a crawl's lines, which are in few."""
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    lines = _crawl_lines()

    def rows() -> Iterator[Sequence[object]]:
        for name, found in answers.items():
            of_crawl = len(lines) / asked[name](lines).seconds
            yield name, f"{len(texts) / found.seconds:,.0f}", f"{megabytes / found.seconds:.1f}", f"{of_crawl:,.0f}"

    yield from table(("one core", "slices/s", "MB/s", "lines/s of the embedded crawl"), rows())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    yield from ("", f"Peak memory of this process: {peak} MB")


def _crawl_lines() -> list[str]:
    """The distinct lines of the embedded crawl."""
    texts = (text for batch in corpus.read(CRAWL, min_characters=0) for text in batch["raw_content"].to_pylist())
    return list(dict.fromkeys(line for text in texts for line in text.split("\n") if line))


if __name__ == "__main__":
    main()
