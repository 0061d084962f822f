"""CoNLL-2002 and 2003 and WikiANN as they are published: which files there are, and sentences in IOB2 of their names.

IOB1 becomes IOB2; ``-DOCSTART-`` ends a sentence and is none; older files are latin-1, and copies of them UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from finetune.data.columns import Sentence, read_columns
from finetune.data.content import UTF8_OR_LATIN1, read_text
from finetune.data.examples import Tagging, TaskData
from finetune.data.files import Files, folders_in, languages_asked, split_files
from finetune.data.settings import TaskSettings
from finetune.data.tags import Scheme, converted, tags_of

CODES = {"en": "eng", "de": "deu", "es": "esp", "nl": "ned"}
"""Language -> first part of the file's name."""

SPLITS = {"train": "train", "dev": "testa", "test": "testb"}
KINDS = ("PER", "ORG", "LOC", "MISC")
WIKIANN_KINDS = ("PER", "ORG", "LOC")

PUBLISHED_2002 = "CoNLL-2002 (https://www.cnts.ua.ac.be/conll2002/ner/)"
PUBLISHED_2003 = (
    "CoNLL-2003 (https://www.clips.uantwerpen.be/conll2003/ner/), whose text is Reuters RCV1 (NIST) for English and "
    "the ECI corpus (LDC) for German"
)
PUBLISHED_WIKIANN = "WikiANN as split by Rahimi et al. 2019 (https://github.com/afshinrahimi/mmner), unpacked"

_LANGUAGE = re.compile("[a-z]{2,3}(-[a-z-]+)?")  # be-x-old, zh-min-nan


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
        split: {language: read_sentences(file, read_text(file), tags, _word_and_tag) for language, file in some.items()}
        for split, some in files.items()
    }
    return TaskData(settings.name, "tagging", tags, splits["train"], splits["dev"], splits["test"])


def read_sentences(
    file: str, text: str, labels: Sequence[str], split: Callable[[str], list[str]] | None = None
) -> list[Tagging]:
    """The sentences of one file, from IOB1 or IOB2; none may have another tag. Errors: XlmrError with file and row."""
    sentences, _ = read_columns(file, text, split=split)
    return [tagging(number, sentence, "iob", labels) for number, sentence in enumerate(sentences, 1)]


def tagging(number: int, sentence: Sentence, scheme: Scheme, labels: Sequence[str] | None) -> Tagging:
    """A sentence as an example. Errors: XlmrError for a tag that is not in the scheme, or not among ``labels``."""
    tags = converted(sentence.tags, scheme, sentence.places, labels)
    return Tagging(str(number), sentence.words, tags, sentence.places[0])


def _word_and_tag(line: str) -> list[str]:
    """A WikiANN line's cells; the word without its ``en:``, though a word may itself have colons."""
    word, tab, rest = line.partition("\t")
    language, colon, after = word.partition(":")
    return [after if colon and _LANGUAGE.fullmatch(language) else word, *([rest] if tab else [])]
