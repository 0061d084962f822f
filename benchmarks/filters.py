"""How fast each set of rules is on a crawl, and, on request, how datatrove's filters do on the same documents.

    python -m benchmarks.filters 'crawl/*.warc.wet.gz' --documents 4000 --datatrove other-venv/bin/python

One process, one thread, documents in memory, processor time; the median of --repeat runs. datatrove is run by the
Python that is named (an environment with datatrove and spacy): once as it comes, once with its words split at white
space as ours are, so that what differs then is the definition of the rules.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

SETS = ("length", "script", "mc4", "fineweb", "gopher_quality", "gopher_repetition")
COMBINED = ("script", "gopher_quality", "gopher_repetition", "fineweb")
DATATROVE = {"gopher_quality": "GopherQualityFilter", "gopher_repetition": "GopherRepetitionFilter",
             "fineweb": "FineWebQualityFilter", "c4": "C4QualityFilter"}  # fmt: skip
HOSTS = 200_000


def timed(repeat: int, work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of the median run, and what the last returned."""
    seconds, result = [], None
    for _ in range(repeat):
        start = time.process_time()
        result = work()
        seconds.append(time.process_time() - start)
    return median(seconds), result


def main(argv: Sequence[str] | None = None) -> None:
    """Read, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crawl", nargs="+", help="WET files or patterns")
    parser.add_argument("--documents", type=int, default=4000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--datatrove", metavar="PYTHON", help="a Python that has datatrove and spacy")
    options = parser.parse_args(argv)
    documents = read(options.crawl, options.documents)
    size = sum(len(line.encode()) for lines, _, _ in documents for line in lines) / 1e6
    print(f"{len(documents):,} documents, {size:.1f} MB\n")
    ours = measure_ours(documents, size, options.repeat)
    if options.datatrove:
        compare(options.datatrove, documents, ours, options.repeat)


Document = tuple[list[str], str, str]
"""Lines, URL, language."""


def read(patterns: Iterable[str], at_most: int) -> list[Document]:
    """The first documents of some WET files, with the language that lid.176.ftz says."""
    import fasttext

    from corpus.crawl.tally import Tally
    from corpus.crawl.wet import read_documents
    from corpus.language.model_file import BUILT_IN_IDENTIFIER, model_path
    from pipeline.storage import expand

    files = [file for pattern in patterns for file in expand(pattern)]
    model = fasttext.load_model(str(model_path(BUILT_IN_IDENTIFIER)))
    documents: list[Document] = []
    for document in read_documents(files, 300, 2**26, Tally()):
        labels, _ = model.predict(["".join(document.lines)])
        documents.append((document.lines, document.url, labels[0][0].removeprefix("__label__")))
        if len(documents) == at_most:
            break
    return documents


def measure_ours(documents: Sequence[Document], size: float, repeat: int) -> dict[str, tuple[float, list[bool]]]:
    """Print a row a set; seconds and which documents are dropped, by set."""
    from corpus.filters.apply import FilterChain
    from corpus.filters.settings import Filters

    lines, urls, languages = (list(column) for column in zip(*documents, strict=True))
    measured: dict[str, tuple[float, list[bool]]] = {}

    def row(name: str, seconds: float, dropped: Sequence[bool]) -> None:
        measured[name] = seconds, list(dropped)
        share = f"{sum(dropped) / len(dropped):7.1%}" if dropped else "      –"
        print(f"{name:42s}{len(documents) / seconds:12,.0f}{size / seconds:9.1f}{share}")

    print(f"{'':42s}{'documents/s':>12s}{'MB/s':>9s}{'drop':>7s}")
    row("(words split, measured and hashed)", timed(repeat, lambda: words(lines))[0], ())
    for rules in (*((name,) for name in SETS), COMBINED):
        chain = FilterChain(Filters(rules=rules))
        seconds, reasons = timed(repeat, partial(chain.check, lines, urls, languages))
        row(" + ".join(rules), seconds, [reason is not None for reason in reasons])
    with tempfile.TemporaryDirectory() as folder:
        hosts, bad_words = Path(folder, "hosts"), Path(folder, "words")
        hosts.write_text("\n".join(f"host-{number}.example" for number in range(HOSTS)))
        bad_words.write_text("\n".join(f"word{number}" for number in range(400)))
        start = time.process_time()
        lists = {"url_lists": {"files": (str(hosts),)}, "bad_words": {"files": {"*": str(bad_words)}}}
        url_chain = FilterChain(Filters(rules=("url_lists",), **lists))
        loading = time.process_time() - start
        seconds, _ = timed(repeat, lambda: url_chain.check(lines, urls, languages))
        row(f"url_lists ({HOSTS:,} hosts, read in {loading:.2f} s)", seconds, ())
        word_chain = FilterChain(Filters(rules=("bad_words",), **lists))
        row("bad_words (400 words)", timed(repeat, lambda: word_chain.check(lines, urls, languages))[0], ())
    for name in ("c4", "refinedweb"):
        line_chain = FilterChain(Filters(rules=(name,)))
        row(f"{name}, lines and page", *timed(repeat, partial(trim_and_check, line_chain, documents)))
    masks = FilterChain(Filters(mask=("email", "iban", "credit_card", "ipv4", "ipv6", "phone")))
    row("masks, all kinds", timed(repeat, lambda: masks.mask(lines))[0], ())
    return measured


def words(lines: Iterable[Sequence[str]]) -> None:
    """What no rule on n-grams of words can do without, in native calls only."""
    for document in lines:
        split = "\n".join(document).split()
        sum(map(len, split))
        list(map(hash, split))


def trim_and_check(chain: Any, documents: Sequence[Document]) -> list[bool]:
    """Which documents are dropped, once their lines are trimmed."""
    from itertools import compress

    lines, urls, languages = (list(column) for column in zip(*documents, strict=True))
    trimmed = chain.trim(lines, languages)
    left = [list(compress(document, mask)) for document, mask in zip(lines, trimmed.masks, strict=True)]
    reasons = chain.check(left, urls, languages)
    return [bool(one or other) for one, other in zip(trimmed.reasons, reasons, strict=True)]


def compare(python: str, documents: Sequence[Document], ours: dict[str, tuple[float, list[bool]]], repeat: int) -> None:
    """Print the speed of datatrove and ours on the English documents, and how often the two agree."""
    english = [document for document in documents if document[2] == "en"]
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(["\n".join(lines) for lines, _, _ in english], file)
        file.flush()
        done = subprocess.run([python, __file__, "--worker", file.name], check=True, stdout=subprocess.PIPE, text=True)
    from corpus.filters.apply import FilterChain
    from corpus.filters.settings import Filters

    print(
        f"\n{len(english):,} English documents{'':14s}{'ours':>10s}{'datatrove':>11s}{'ratio':>7s}{'drop':>16s}  agree"
    )
    for name, words_by, their_seconds, their_dropped in json.loads(done.stdout.splitlines()[-1]):
        chain = FilterChain(Filters(rules=(name,), **SAME_SETTINGS.get(name, {})))
        seconds, dropped = timed(repeat, partial(trim_and_check, chain, english))
        agree = sum(one == other for one, other in zip(dropped, their_dropped, strict=True)) / len(english)
        shares = f"{sum(dropped) / len(english):7.1%} {sum(their_dropped) / len(english):7.1%}"
        speeds = f"{len(english) / seconds:10,.0f}{len(english) / their_seconds:11,.0f}{their_seconds / seconds:7.1f}"
        print(f"{name:20s}{words_by:20s}{speeds}{shares:>16s} {agree:6.1%}")


SAME_SETTINGS: dict[str, dict[str, Any]] = {
    "fineweb": {"fineweb": {"max_duplicate_line_characters": 0.01}},
    "c4": {"c4": {"min_words_per_line": 3, "min_sentences": 5, "terminal_punctuation": ".?!\"'"}},
    "gopher_quality": {"gopher_quality": {"bullets": ("•", "-")}},
}
"""datatrove's values, where they are not ours."""


def worker(path: str) -> None:
    """Print [set, words, seconds, documents dropped] of each filter, as one line of JSON, in the other environment."""
    from importlib import import_module

    page_of, filters = import_module("datatrove.data").Document, import_module("datatrove.pipeline.filters")

    texts = json.loads(Path(path).read_text(encoding="utf-8"))
    rows = []
    for words_by in ("their own words", "words at white space"):
        if words_by == "words at white space":
            for module in ("fineweb_quality_filter", "gopher_quality_filter", "gopher_repetition_filter"):
                getattr(filters, module).split_into_words = lambda text, language: text.split()
        for name, class_name in DATATROVE.items():
            one = getattr(filters, class_name)()
            one.filter(page_of(text=texts[0], id="0"))  # it loads its tokenizer
            pages = [page_of(text=text, id="0") for text in texts]
            start = time.process_time()
            answers = [one.filter(page) for page in pages]
            seconds = time.process_time() - start
            rows.append([name, words_by, seconds, [answer is not True for answer in answers]])
    print(json.dumps(rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2])
    else:
        main()
