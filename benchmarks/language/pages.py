"""The languages of whole pages by paragraph, with the help of the document and without.

``python -m benchmarks.language.pages TEXT/test`` prints Markdown. TEXT is what benchmarks.language.text wrote, for this
with any prose: an empty folder will do.

``python -m benchmarks.language.text --cache CACHE --prose $(mktemp -d) TEXT`` downloads what it lacks to CACHE.

``boilerplate``  540 made pages in nine languages (benchmarks/language/boilerplate.py)
``declaration``  five articles of the Universal Declaration a page, in the languages of CC100
``manuals``      the pages of the embedded crawl's first shard whose address names their language
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import corpus
from benchmarks.language.boilerplate import boilerplate_pages
from benchmarks.language.identifiers import ours
from benchmarks.language.markdown import percent, table
from benchmarks.language.samples import CODES
from corpus.language.characters.splitters import split
from corpus.language.identifier import CodedIdentifier
from corpus.language.labels import load_table
from corpus.language.prior.document_prior import DocumentLanguages
from corpus.language.settings import CC100, DocumentPrior
from corpus.language.training.labelled_text import find_files, read_documents

SHARD = Path(__file__).parents[2] / "samples/crawl/shard-00000.warc.wet.gz"
PAGES_A_LANGUAGE = 60
ARTICLES = 5
SURE = 0.5
"""The threshold of cc_net."""
_OF_A_MANUAL = re.compile(r"help\.libreoffice\.org/[\d.]+/([\w-]+)/|help\.gnome\.org/.*\.html\.([\w@-]+)$")
_NAMES = {"zh-TW": "zh-Hant", "zh-CN": "zh-Hans", "zh_TW": "zh-Hant", "zh_CN": "zh-Hans", "pt-BR": "pt", "pt_BR": "pt",
          "en-US": "en", "en-GB": "en", "en_GB": "en", "nb": "no", "nn": "no"}  # fmt: skip


class Page(NamedTuple):
    """Its paragraphs, and the language that they are in."""

    language: str
    paragraphs: list[str]


class Found(NamedTuple):
    """A paragraph: what it is in, what was predicted ('' where unsure), and how many characters it has."""

    language: str
    said: str
    characters: int


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.language.pages",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("text", type=Path, help="folder of folders of labelled text")
    arguments = parser.parse_args()
    identifier = CodedIdentifier(ours())
    kinds = {
        "boilerplate": [
            Page(code, page) for code, pages in boilerplate_pages(PAGES_A_LANGUAGE).items() for page in pages
        ],
        "declaration": list(_declaration(arguments.text / "declaration")),
        "manuals": list(_manuals()),
    }
    for kind, pages in kinds.items():
        print(f"{kind}: {len(pages):,} pages in {len({page.language for page in pages})} languages\n")
        print("\n".join(_by_way({"alone": _alone(identifier, pages), "with the document": _helped(identifier, pages)})))
        print()


def _declaration(folder: Path) -> Iterator[Page]:
    """Five paragraphs a page; a label zh is that of the script."""
    for language, files in sorted(find_files(str(folder)).items()):
        if language in CODES:
            paragraphs = [text for document in read_documents(language, files) for text in document.paragraphs]
            for first in range(0, len(paragraphs) - ARTICLES + 1, ARTICLES):
                page = paragraphs[first : first + ARTICLES]
                yield Page(split([language], [" ".join(page)])[0], page)


def _manuals() -> Iterator[Page]:
    codes = load_table(CC100)
    for batch in corpus.read(SHARD):
        for url, text in zip(batch["url"].to_pylist(), batch["raw_content"].to_pylist(), strict=True):
            if named := _OF_A_MANUAL.search(url):
                label = named[1] or named[2]
                code = _NAMES.get(label, codes.get(label, label))
                yield Page(code, [line for line in text.split("\n") if line.strip()])


def _alone(identifier: CodedIdentifier, pages: Sequence[Page]) -> list[Found]:
    codes, scores = identifier.identify([text for page in pages for text in page.paragraphs])
    return _found(pages, list(zip(codes, scores.tolist(), strict=True)))


def _helped(identifier: CodedIdentifier, pages: Sequence[Page]) -> list[Found]:
    documents = DocumentLanguages(identifier, DocumentPrior(enabled=True))
    answers = documents.identify([page.paragraphs for page in pages], [""] * len(pages))
    return _found(pages, [answer for of_page in answers for answer in of_page])


def _found(pages: Sequence[Page], answers: Sequence[tuple[str, float]]) -> list[Found]:
    paragraphs = [(page.language, text) for page in pages for text in page.paragraphs]
    return [
        Found(language, code if score >= SURE else "", len(text))
        for (language, text), (code, score) in zip(paragraphs, answers, strict=True)
    ]


def _by_way(found: Mapping[str, list[Found]]) -> Iterator[str]:
    figures = {way: _figures(answers) for way, answers in found.items()}
    names = next(iter(figures.values()))
    yield from table(("", *figures), ((name, *(of_way[name] for of_way in figures.values())) for name in names))


def _figures(found: Sequence[Found]) -> dict[str, str]:
    languages = {one.language for one in found}
    total = sum(one.characters for one in found)
    sure = sum(one.characters for one in found if one.said)
    inside = sum(one.characters for one in found if one.said in languages)
    right: dict[str, list[float]] = defaultdict(list)
    for one in found:
        right[one.language].append(one.characters * (one.said == one.language))
        right[f"{one.language} all"].append(one.characters)
    means = [sum(right[language]) / sum(right[f"{language} all"]) for language in languages]
    return {
        "languages predicted": str(len({one.said for one in found if one.said})),
        "% of paragraphs in the language of their page": _percent([one.said == one.language for one in found]),
        "% of paragraphs in English, not their page's": _percent([one.said == "en" != one.language for one in found]),
        "% of paragraphs unsure": _percent([not one.said for one in found]),
        "% of characters unsure": f"{100 * (1 - sure / total):.1f}",
        "% of sure characters in a language of these pages": f"{100 * inside / sure:.2f}",
        "% of characters right, mean of languages": _percent(means),
    }


def _percent(shares: Sequence[float]) -> str:
    return percent(float(np.mean(shares)))


if __name__ == "__main__":
    main()
