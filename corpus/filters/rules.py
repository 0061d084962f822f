"""The rules for whole documents: each is a function of a DocumentText and its set's thresholds, True to drop it.

A rule's name, with spaces, is the reason that is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import filterfalse
from typing import Any

from corpus.filters.scripts import NO_TERMINAL_PUNCTUATION, script_share
from corpus.filters.settings import (
    C4,
    MC4,
    BadWords,
    FineWeb,
    GopherQuality,
    GopherRepetition,
    Length,
    OnlyHosts,
    RuleSet,
    Script,
    UrlLists,
)
from corpus.filters.text import UNITS_AT_MOST, DocumentText

Rule = Callable[[DocumentText, Any], bool]

_ELLIPSES = ("...", "…")
_LETTER = re.compile(r"[^\W\d_]")
_WORD = re.compile(r"\w+")
_SENTENCE_BREAK = re.compile(r"(?:[.!?؟።।॥։።။៕۔]+[\"'”’»)\]]*\s+(?![a-z\s])|[。！？｡．]+[”’」』）)]*(?=[^\s]))")


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


# --- only_hosts, url_lists, length, script ---------------------------------------------------------------------------


def other_host(text: DocumentText, limits: OnlyHosts) -> bool:
    """Neither the URL nor anything above it is one that is kept."""
    del limits
    return text.of_other_host


def listed_url(text: DocumentText, limits: UrlLists) -> bool:
    """The host, a host above it, the page or a path above it is on a list. RefinedWeb, G.1."""
    del limits
    return text.listed


def too_few_characters(text: DocumentText, limits: Length) -> bool:
    """Fewer than min_characters."""
    return text.characters < limits.min_characters


def too_many_characters(text: DocumentText, limits: Length) -> bool:
    """More than max_characters."""
    return limits.max_characters is not None and text.characters > limits.max_characters


def too_few_words(text: DocumentText, limits: Length | GopherQuality) -> bool:
    """Fewer than min_words. Gopher, A.1.1: 50."""
    return text.word_count < limits.min_words


def too_many_words(text: DocumentText, limits: Length | GopherQuality) -> bool:
    """More than max_words. Gopher, A.1.1: 100,000."""
    return limits.max_words is not None and text.word_count > limits.max_words


def too_few_lines(text: DocumentText, limits: Length) -> bool:
    """Fewer than min_lines."""
    return len(text.lines) < limits.min_lines


def too_many_lines(text: DocumentText, limits: Length) -> bool:
    """More than max_lines."""
    return limits.max_lines is not None and len(text.lines) > limits.max_lines


def other_script(text: DocumentText, limits: Script) -> bool:
    """Less than min_share of the letters are in the scripts of the language."""
    share = script_share(text.joined[:UNITS_AT_MOST], text.language)
    return share is not None and share < limits.min_share


# --- gopher_quality ------------------------------------------------------------------------------------------------


def words_too_short(text: DocumentText, limits: GopherQuality) -> bool:
    """Mean length of words under 3. Gopher, A.1.1. Not asked where no spaces tell words apart."""
    return not text.characters_per_word and _share(text.word_characters, len(text.words)) < limits.min_mean_word_length


def words_too_long(text: DocumentText, limits: GopherQuality) -> bool:
    """Mean length of words over 10. Gopher, A.1.1. Not asked where no spaces tell words apart."""
    return not text.characters_per_word and _share(text.word_characters, len(text.words)) > limits.max_mean_word_length


def too_many_hash_signs(text: DocumentText, limits: GopherQuality) -> bool:
    """More than 0.1 hash signs per word. Gopher, A.1.1."""
    return _share(text.joined.count("#"), text.word_count) > limits.max_symbols_per_word


def too_many_ellipses(text: DocumentText, limits: GopherQuality) -> bool:
    """More than 0.1 ellipses (three dots, or the one character) per word. Gopher, A.1.1."""
    return _share(sum(map(text.joined.count, _ELLIPSES)), text.word_count) > limits.max_symbols_per_word


def too_many_bullets(text: DocumentText, limits: GopherQuality) -> bool:
    """More than 0.9 of the lines start with a bullet. Gopher, A.1.1."""
    bullets = sum(line.startswith(limits.bullets) for line in text.lines)
    return _share(bullets, len(text.lines)) > limits.max_bullet_lines


def too_many_cut_lines(text: DocumentText, limits: GopherQuality) -> bool:
    """More than 0.3 of the lines end in an ellipsis. Gopher, A.1.1."""
    cut = sum(line.endswith(_ELLIPSES) for line in text.lines)
    return _share(cut, len(text.lines)) > limits.max_ellipsis_lines


def too_few_words_with_letters(text: DocumentText, limits: GopherQuality) -> bool:
    """Less than 0.8 of the words have a letter. Gopher, A.1.1. Not asked where no spaces tell words apart."""
    if text.characters_per_word:
        return False
    others = list(filterfalse(str.isalpha, text.words))
    without = len(others) - sum(map(bool, map(_LETTER.search, others)))
    return _share(len(text.words) - without, len(text.words)) < limits.min_alphabetic_words


def too_few_stop_words(text: DocumentText, limits: GopherQuality) -> bool:
    """Fewer than two of: the be to of and that have with. Gopher, A.1.1, for English."""
    wanted = limits.stop_words.get(text.language, ())
    needed = limits.min_stop_words
    if not wanted or len(set(wanted).intersection(text.lower.split())) >= needed:
        return False
    return len(set(wanted).intersection(_WORD.findall(text.lower))) < needed


# --- gopher_repetition ---------------------------------------------------------------------------------------------


def duplicate_lines(text: DocumentText, limits: GopherRepetition) -> bool:
    """More than 0.30 of the lines came before in the document. Gopher, Table A1."""
    return _share(text.duplicate_lines[0], len(text.lines)) > limits.max_duplicate_lines


def duplicate_paragraphs(text: DocumentText, limits: GopherRepetition) -> bool:
    """More than 0.30 of the paragraphs came before in the document. Gopher, Table A1."""
    return _share(text.duplicate_paragraphs[0], len(text.paragraphs)) > limits.max_duplicate_paragraphs


def characters_in_duplicate_lines(text: DocumentText, limits: GopherRepetition) -> bool:
    """More than 0.20 of the characters are in lines that came before. Gopher, Table A1."""
    return _share(text.duplicate_lines[1], text.characters) > limits.max_duplicate_line_characters


def characters_in_duplicate_paragraphs(text: DocumentText, limits: GopherRepetition) -> bool:
    """More than 0.20 of the characters are in paragraphs that came before. Gopher, Table A1."""
    return _share(text.duplicate_paragraphs[1], text.characters) > limits.max_duplicate_paragraph_characters


def frequent_ngram(text: DocumentText, limits: GopherRepetition) -> bool:
    """The most frequent 2-, 3- or 4-gram holds more than 0.20, 0.18, 0.16 of the characters. Gopher, Table A1."""
    assert text.ngrams is not None
    return any(text.ngrams.top[n] > share for n, share in limits.max_top_ngram.items())


def duplicate_ngrams(text: DocumentText, limits: GopherRepetition) -> bool:
    """More than 0.15 … 0.10 of the characters are in 5- … 10-grams that came before. Gopher, Table A1."""
    assert text.ngrams is not None
    return any(text.ngrams.duplicate[n] > share for n, share in limits.max_duplicate_ngrams.items())


# --- c4, mc4 -------------------------------------------------------------------------------------------------------


def page_with_unwanted_text(text: DocumentText, limits: C4) -> bool:
    """'lorem ipsum' or a curly bracket stands anywhere. T5, 2.2."""
    return any(phrase in text.lower for phrase in limits.drop_pages_with)


def too_few_sentences(text: DocumentText, limits: C4) -> bool:
    """Fewer than 3 sentences; a line is one at least. T5, 2.2, with c4_utils.py's value."""
    missing = limits.min_sentences - len(text.lines)
    return missing > 0 and sum(len(_SENTENCE_BREAK.findall(line)) for line in text.lines) < missing


def too_few_long_lines(text: DocumentText, limits: MC4) -> bool:
    """Fewer than three lines of 200 characters or more. mT5, 3.1."""
    return sum(len(line) >= limits.long_line for line in text.lines) < limits.min_long_lines


def bad_words(text: DocumentText, limits: BadWords) -> bool:
    """More than max_words different words of the list of the language. T5, 2.2: none may stand there."""
    return text.bad_words > limits.max_words


# --- fineweb -------------------------------------------------------------------------------------------------------


def too_few_lines_with_punctuation(text: DocumentText, limits: FineWeb) -> bool:
    """At most 0.12 of the lines end in punctuation. FineWeb, 3.6. Not asked of Thai and Lao."""
    if text.language in NO_TERMINAL_PUNCTUATION:
        return False
    ended = sum(line[-1] in limits.punctuation for line in text.lines)
    return _share(ended, len(text.lines)) <= limits.min_punctuated_lines


def many_characters_in_duplicate_lines(text: DocumentText, limits: FineWeb) -> bool:
    """At least 0.1 of the characters are in lines that came before. FineWeb, 3.6."""
    return _share(text.duplicate_lines[1], text.characters) >= limits.max_duplicate_line_characters


def too_many_short_lines(text: DocumentText, limits: FineWeb) -> bool:
    """At least 0.67 of the lines have fewer than 30 characters. FineWeb, 3.6."""
    short = sum(len(line) < limits.short_line for line in text.lines)
    return _share(short, len(text.lines)) >= limits.max_short_lines


def too_many_line_breaks(text: DocumentText, limits: FineWeb) -> bool:
    """More than 0.3 line breaks per word. datatrove, not in the paper."""
    if limits.max_lines_per_word is None:
        return False
    return _share(len(text.lines) - 1, text.word_count) > limits.max_lines_per_word


RULES: Mapping[RuleSet, Sequence[Rule]] = {
    "only_hosts": (other_host,),
    "url_lists": (listed_url,),
    "length": (
        too_few_characters, too_many_characters, too_few_words, too_many_words, too_few_lines, too_many_lines,
    ),
    "script": (other_script,),
    "refinedweb": (),
    "c4": (page_with_unwanted_text, too_few_sentences),
    "mc4": (too_few_long_lines,),
    "gopher_quality": (
        too_few_words, too_many_words, words_too_short, words_too_long, too_many_hash_signs, too_many_ellipses,
        too_many_bullets, too_many_cut_lines, too_few_words_with_letters, too_few_stop_words,
    ),
    "gopher_repetition": (
        duplicate_lines, duplicate_paragraphs, characters_in_duplicate_lines, characters_in_duplicate_paragraphs,
        frequent_ngram, duplicate_ngrams,
    ),
    "fineweb": (
        too_few_lines_with_punctuation, many_characters_in_duplicate_lines, too_many_short_lines, too_many_line_breaks,
    ),
    "bad_words": (bad_words,),
}  # fmt: skip
"""The rules of each set, in the order in which they are asked."""
