"""CoNLL-2002 and 2003, WikiANN, and files like them: a word a line, its tag in a column, blank lines between sentences.

IOB1 becomes IOB2; ``-DOCSTART-`` ends a sentence and is none; older files are latin-1, and copies of them UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from finetune.data.examples import Tagging, TaskData, Where
from finetune.data.files import (
    UTF8_OR_LATIN1,
    Files,
    folders_in,
    languages_asked,
    lines_of,
    read_text,
    split_files,
)
from finetune.data.settings import TaskSettings
from pipeline.errors import XlmrError

CODES = {"en": "eng", "de": "deu", "es": "esp", "nl": "ned"}
"""Language -> first part of the file's name."""

SPLITS = {"train": "train", "dev": "testa", "test": "testb"}
KINDS = ("PER", "ORG", "LOC", "MISC")
WIKIANN_KINDS = ("PER", "ORG", "LOC")
DOCUMENT = "-DOCSTART-"

PUBLISHED_2002 = "CoNLL-2002 (https://www.cnts.ua.ac.be/conll2002/ner/)"
PUBLISHED_2003 = (
    "CoNLL-2003 (https://www.clips.uantwerpen.be/conll2003/ner/), whose text is Reuters RCV1 (NIST) for English and "
    "the ECI corpus (LDC) for German"
)
PUBLISHED_WIKIANN = "WikiANN as split by Rahimi et al. 2019 (https://github.com/afshinrahimi/mmner), unpacked"

_COLUMNS = re.compile("[ \t]+")  # not \s: a word may be, or hold, another kind of space
_LANGUAGE = re.compile("[a-z]{2,3}(-[a-z-]+)?")  # be-x-old, zh-min-nan
_TAG = re.compile(r"O|[BI]-.+")


def tags_of(kinds: Sequence[str]) -> tuple[str, ...]:
    """O, then B- and I- of each kind."""
    return ("O", *(f"{letter}-{kind}" for kind in kinds for letter in "BI"))


def iob2(tags: Sequence[str]) -> tuple[str, ...]:
    """Tags in IOB1 or IOB2 as IOB2: whatever begins a name is B-. The names marked are the same."""
    found, before = [], "O"
    for tag in tags:
        starts = tag[:2] == "I-" and before[2:] != tag[2:]
        found.append(f"B-{tag[2:]}" if starts else tag)
        before = tag
    return tuple(found)


def conll_files(settings: TaskSettings) -> Files:
    """CoNLL-2002 es and nl, CoNLL-2003 en and de: ``esp.train``, ``esp.testa`` and so on."""
    published = {lg: PUBLISHED_2002 if lg in ("es", "nl") else PUBLISHED_2003 for lg in CODES}
    return {
        split: split_files(settings, split, {lg: [f"{code}.{ending}"] for lg, code in CODES.items()}, published)
        for split, ending in SPLITS.items()
    }


def read_conll(settings: TaskSettings, files: Files) -> TaskData:
    """Tags in IOB2, of four kinds of names. Errors: XlmrError with file and row."""
    tags = tags_of(KINDS)
    splits = {
        split: {lg: read_sentences(file, read_text(file, UTF8_OR_LATIN1), tags) for lg, file in some.items()}
        for split, some in files.items()
    }
    return TaskData(settings.name, "tagging", tags, splits["train"], splits["dev"], splits["test"])


def wikiann_files(settings: TaskSettings) -> Files:
    """``<language>/train``, ``dev`` and ``test``."""
    files = {}
    for split in SPLITS:
        asked = languages_asked(settings, split)
        languages = sorted({*folders_in(settings.folder), *asked}) or ["en"]
        names = {language: [f"{language}/{split}", f"{language}/{split}.txt"] for language in languages}
        files[split] = split_files(settings, split, names, PUBLISHED_WIKIANN)
    return files


def read_wikiann(settings: TaskSettings, files: Files) -> TaskData:
    """Three kinds of names; each word is written ``language:word``. Errors: XlmrError with file and row."""
    tags = tags_of(WIKIANN_KINDS)
    splits = {
        split: {
            language: read_sentences(file, read_text(file), tags, split_line=_at_tab, word=_after_language)
            for language, file in some.items()
        }
        for split, some in files.items()
    }
    return TaskData(settings.name, "tagging", tags, splits["train"], splits["dev"], splits["test"])


def read_sentences(
    file: str,
    text: str,
    tags: Sequence[str] | None,
    *,
    split_line: Callable[[str], list[str]] = _COLUMNS.split,
    word: Callable[[str], str] = str,
    word_column: int = 0,
    tag_column: int = -1,
) -> list[Tagging]:
    """The sentences of one file; with ``tags``, none may have another. Columns count from 0.

    Errors: XlmrError with file and row: no sentence, a line with another number of columns, a tag that is none.
    """
    sentences: list[Tagging] = []
    words: list[str] = []
    found: list[str] = []
    start = columns = 0
    for row, line in lines_of(text + "\n\n"):
        cells = split_line(line.strip(" \t"))
        if cells == [""] or cells[0] == DOCUMENT:
            if words:
                where = Where(file, start)
                sentences.append(Tagging(str(len(sentences) + 1), tuple(words), iob2(found), where))
            words, found = [], []
            continue
        columns = columns or len(cells)
        _check(cells, columns, tags, (word_column, tag_column), Where(file, row))
        start = start if words else row
        words.append(word(cells[word_column]))
        found.append(cells[tag_column])
    if not sentences:
        raise XlmrError(f"{file}: holds no sentence", "a line is a word and its tag, a blank line ends a sentence")
    return sentences


def _check(cells: list[str], columns: int, tags: Sequence[str] | None, chosen: tuple[int, int], where: Where) -> None:
    needed = max(place + 1 if place >= 0 else -place for place in chosen)
    if len(cells) != columns or len(cells) < max(needed, 2):
        wanted = max(columns, needed, 2)
        raise XlmrError(f"{where}: {len(cells)} columns, not {wanted}", "a blank line ends a sentence")
    tag = cells[chosen[1]]
    if tags is not None and tag not in tags:
        raise XlmrError(f"{where}: tag {tag!r} is not known", f"tags are {', '.join(tags)}")
    if not _TAG.fullmatch(tag):
        raise XlmrError(f"{where}: {tag!r} is no tag", "tags are O, B-KIND and I-KIND")


def _at_tab(line: str) -> list[str]:
    return line.split("\t")


def _after_language(word: str) -> str:
    """A word without its ``en:``; a word may itself have colons."""
    language, colon, rest = word.partition(":")
    return rest if colon and _LANGUAGE.fullmatch(language) else word
