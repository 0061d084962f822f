"""Speed of perplexity on one core, beside what SentencePiece and KenLM alone take; and what models cost in memory.

    python -m benchmarks.perplexity speed MINED MODELS         MB/s of each step and of the whole, by language
    python -m benchmarks.perplexity shelf MINED MODELS         memory and speed of many languages under a limit
    python -m benchmarks.perplexity structures de.txt.xz       size, speed and exactness of KenLM's data structures

MINED is the output folder of corpus.mine, MODELS that of corpus.language_models. The floor is both libraries on text
that is normalised already, a document a call, strings in and out, as cc_net calls them; for paragraphs, a paragraph a
call. Seconds are processor time of this process; medians over rounds in which all take turns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import kenlm
import numpy as np
import pyarrow as pa
import sentencepiece

from corpus.normalise import normalise_for_language_model
from corpus.perplexity.normalise import normalise_batch
from corpus.perplexity.score import (
    NGRAMS_SUFFIX,
    SENTENCEPIECE_SUFFIX,
    LanguageModel,
    ModelCache,
    languages_with_models,
)
from corpus.perplexity.settings import LanguageModels
from corpus.perplexity.texts import read_texts
from corpus.perplexity.train import STRUCTURES, publish_models
from pipeline.storage import read_json

MOST_BYTES = 1_000_000
"""Text of each language at the most."""
LEAST_BYTES = 50_000
STEPS = ("normalise", "encode", "KenLM", "whole", "floor", "paragraphs", "floor of paragraphs", "cc_net")


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = words.add_subparsers(required=True)
    for name, function in (("speed", speed), ("shelf", shelf)):
        part = parts.add_parser(name)
        part.add_argument("mined", type=Path)
        part.add_argument("models", type=Path)
        part.add_argument("--rounds", type=int, default=5)
        part.set_defaults(function=lambda given, run=function: run(given.mined, given.models, given.rounds))
    part = parts.add_parser("structures")
    part.add_argument("text")
    part.add_argument("--rounds", type=int, default=5)
    part.set_defaults(function=lambda given: structures(given.text, given.rounds))
    given = words.parse_args()
    given.function(given)


def documents_by_language(mined: Path, models: Path) -> dict[str, list[str]]:
    """The documents that corpus.mine kept, of languages that have models and enough text."""
    found: dict[str, list[str]] = defaultdict(list)
    sizes: dict[str, int] = defaultdict(int)
    modelled = set(languages_with_models(models))
    for path in sorted(mined.glob("*.arrow")):
        languages = read_json(path.with_suffix(".languages.json"))
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            for number, language in enumerate(languages):
                for text in reader.get_batch(number).column("raw_content").to_pylist():
                    if language in modelled and sizes[language] < MOST_BYTES:
                        found[language].append(text)
                        sizes[language] += len(text.encode())
    return {language: found[language] for language in sorted(found) if sizes[language] >= LEAST_BYTES}


def seconds(steps: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median processor time of each step."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.process_time()
            step()
            taken[name].append(time.process_time() - start)
    return {name: median(times) for name, times in taken.items()}


def speed(mined: Path, models: Path, rounds: int) -> None:
    """MB/s of every step."""
    total: dict[str, float] = defaultdict(float)
    print("language", "MB", *(f"{step} MB/s" for step in STEPS), "whole:floor", "paragraphs:floor", sep="\t")
    for language, documents in documents_by_language(mined, models).items():
        taken = seconds(dict(zip(STEPS, _steps(models, language, documents), strict=True)), rounds)
        taken["MB"] = sum(len(document.encode()) for document in documents) / 1e6
        for name, value in taken.items():
            total[name] += value
        _row(language, taken)
    _row("all", total)


def _row(name: str, taken: Mapping[str, float]) -> None:
    rates = (f"{taken['MB'] / taken[step]:.1f}" for step in STEPS)
    whole, paragraphs = taken["whole"] / taken["floor"], taken["paragraphs"] / taken["floor of paragraphs"]
    print(name, f"{taken['MB']:.2f}", *rates, f"{whole:.2f}", f"{paragraphs:.2f}", sep="\t", flush=True)


def _steps(models: Path, language: str, documents: list[str]) -> Iterator[Callable[[], object]]:
    """What is measured, in the order of ``STEPS``."""
    model = LanguageModel.load(models, language)
    processor = sentencepiece.SentencePieceProcessor(model_file=str(models / f"{language}{SENTENCEPIECE_SUFFIX}"))
    ngrams = kenlm.Model(str(models / f"{language}{NGRAMS_SUFFIX}"))
    paragraphs = [line for document in documents for line in document.split("\n")]
    lines, short_lines = normalise_batch(documents), normalise_batch(paragraphs)
    encoded = [b" ".join(processor.encode(line, out_type=bytes)) for line in lines]
    texts, short_texts = [line.decode() for line in lines], [line.decode() for line in short_lines]

    def libraries(some: list[str]) -> list[float]:
        return [ngrams.score(" ".join(processor.encode(text, out_type=str))) for text in some]

    def cc_net() -> list[float]:
        return libraries([normalise_for_language_model(document) for document in documents])

    yield lambda: normalise_batch(documents)
    yield lambda: [processor.encode(line, out_type=bytes) for line in lines]
    yield lambda: [ngrams.score(line) for line in encoded]
    yield lambda: model.perplexities(documents)
    yield lambda: libraries(texts)
    yield lambda: model.perplexities(paragraphs)
    yield lambda: libraries(short_texts)
    yield cc_net


def shelf(mined: Path, models: Path, rounds: int) -> None:
    """Batches of all languages by turns, under ever smaller limits."""
    documents = documents_by_language(mined, models)
    batches = [{language: some[start : start + 5] for language, some in documents.items()} for start in range(0, 50, 5)]
    megabytes = sum(len(text.encode()) for batch in batches for some in batch.values() for text in some) / 1e6
    everything = ModelCache()
    for language in documents:
        everything.get(models, language, 2**62)
    print(f"{len(documents)} languages, {everything.bytes / 1e6:.0f} MB of models, {megabytes:.1f} MB of text")
    print("limit MB", "held MB", "languages held", "MB/s", "ms a language and batch", sep="\t")
    for share in (1.0, 0.5, 0.25, 0.0):
        limit = int(everything.bytes * share)
        kept = ModelCache()

        def score_all(limit: int = limit, kept: ModelCache = kept) -> None:
            for batch in batches:
                for language, some in batch.items():
                    kept.get(models, language, limit).perplexities(some)

        score_all()
        taken = seconds({"all": score_all}, rounds)["all"]
        calls = len(batches) * len(documents)
        row = (f"{limit / 1e6:.0f}", f"{kept.bytes / 1e6:.0f}", len(kept), f"{megabytes / taken:.1f}")
        print(*row, f"{taken / calls * 1000:.2f}", sep="\t", flush=True)


def structures(text: str, rounds: int) -> None:
    """Train the same text once for each structure; score what was not trained on."""
    documents = list(read_texts(text))
    train, unseen = documents[::2], documents[1::2]
    megabytes = sum(len(document.encode()) for document in unseen) / 1e6
    print("structure", "MB", "of probing", "KenLM MB/s", "whole MB/s", "largest change of a perplexity", sep="\t")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "xx.txt"
        path.write_text("\n".join(train), encoding="utf-8")
        first: tuple[int, np.ndarray] | None = None
        for structure in STRUCTURES:
            out = Path(folder) / structure
            publish_models(LanguageModels(text=str(path), structure=structure), "xx", [str(path)], out)
            model, ngrams = LanguageModel.load(out, "xx"), kenlm.Model(str(out / f"xx{NGRAMS_SUFFIX}"))
            processor = sentencepiece.SentencePieceProcessor(model_file=str(out / f"xx{SENTENCEPIECE_SUFFIX}"))
            lines = [b" ".join(processor.encode(line, out_type=bytes)) for line in normalise_batch(unseen)]
            taken = seconds(
                {
                    "KenLM": partial(_score_all, ngrams, lines),
                    "whole": partial(model.perplexities, unseen),
                },
                rounds,
            )
            size, values = (out / f"xx{NGRAMS_SUFFIX}").stat().st_size, model.perplexities(unseen)
            first = first or (size, values)
            change = np.nanmax(np.abs(values / first[1] - 1))
            rates = (f"{megabytes / taken[step]:.1f}" for step in ("KenLM", "whole"))
            print(
                structure, f"{size / 1e6:.2f}", f"{size / first[0]:.2f}", *rates, f"{change:.2%}", sep="\t", flush=True
            )


def _score_all(ngrams: kenlm.Model, lines: Sequence[bytes]) -> list[float]:
    return list(map(ngrams.score, lines))


if __name__ == "__main__":
    main()
