"""The rules for lines: each is a function of a stripped line and the thresholds of its set, True to leave it out.

A rule's name, with spaces, is the reason that is given.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

from corpus.filters.scripts import CHARACTERS_PER_WORD, NO_TERMINAL_PUNCTUATION
from corpus.filters.settings import C4, Filters, RefinedWeb, RuleSet

LineRule = Callable[[str, Any, str], bool]

_NUMBERS = re.compile(r"[\d\W_]*\d[\d\W_]*")
_COUNTER = re.compile(
    r"\W*\d[\d.,]*\s?[km]?\s+(?:likes?|shares?|comments?|retweets?|reposts?|quotes?|bookmarks?|upvotes?|downvotes?|"
    r"downloads?|views?|followers?|replies|reply|reactions?|votes?|points?)\W*",
    re.IGNORECASE,
)
_COUNTER_AT_MOST = 40


@dataclass
class Trimmed:
    """What line rules leave of some documents."""

    masks: list[list[bool]] = field(default_factory=list)
    """For each document, which of its lines stay."""
    reasons: list[str | None] = field(default_factory=list)
    """For each document, why it is dropped with its lines; None: it stays."""
    lines: Counter[str] = field(default_factory=Counter)
    """How many lines were left out, by reason."""
    characters: Counter[str] = field(default_factory=Counter)
    """How many characters these had, by reason."""


# --- refinedweb ----------------------------------------------------------------------------------------------------


def mainly_capitals(line: str, limits: RefinedWeb, language: str) -> bool:
    """More than half of the words are in capitals. RefinedWeb, G.2."""
    del language
    if limits.uppercase_share is None or line.islower():
        return False
    words = line.split()
    return sum(map(str.isupper, words)) > limits.uppercase_share * len(words)


def only_numbers(line: str, limits: RefinedWeb, language: str) -> bool:
    """Digits, and signs between them. RefinedWeb, G.2."""
    del language
    return limits.numbers and _NUMBERS.fullmatch(line) is not None


def a_counter(line: str, limits: RefinedWeb, language: str) -> bool:
    """As '3 likes'. RefinedWeb, G.2 (which words count is not published)."""
    del language
    return limits.counters and len(line) <= _COUNTER_AT_MOST and _COUNTER.fullmatch(line) is not None


# --- c4 ------------------------------------------------------------------------------------------------------------


def no_terminal_punctuation(line: str, limits: C4, language: str) -> bool:
    """Does not end in . ! ? or a quotation mark, or ends in an ellipsis. T5, 2.2; c4_utils.py. Not for Thai and Lao."""
    if not limits.terminal_punctuation or language in NO_TERMINAL_PUNCTUATION:
        return False
    return line[-1:] not in limits.terminal_punctuation or not line or line.endswith("...")


def too_few_words(line: str, limits: C4 | RefinedWeb, language: str) -> bool:
    """Fewer words than min_words: T5, 2.2, with c4_utils.py's value 5; RefinedWeb, G.2: 2."""
    needed = limits.min_words_per_line if isinstance(limits, C4) else limits.min_words
    characters = CHARACTERS_PER_WORD.get(language)
    if characters:
        return len("".join(line.split())) < characters * needed
    return needed > 0 and len(line.split(None, needed - 1)) < needed


def too_long_a_word(line: str, limits: C4, language: str) -> bool:
    """A word of more than 1,000 characters. c4_utils.py. Not asked where no spaces tell words apart."""
    if len(line) <= limits.max_word_length or language in CHARACTERS_PER_WORD:
        return False
    return max(map(len, line.split()), default=0) > limits.max_word_length


def unwanted_text(line: str, limits: C4, language: str) -> bool:
    """'javascript', or a phrase of terms of use and cookies. T5, 2.2; c4_utils.py."""
    del language
    small = line.lower()
    return any(phrase in small for phrase in limits.drop_lines_with)


LINE_RULES: Mapping[RuleSet, Sequence[LineRule]] = {
    "refinedweb": (too_few_words, only_numbers, a_counter, mainly_capitals),
    "c4": (no_terminal_punctuation, too_few_words, too_long_a_word, unwanted_text),
}
"""The rules for lines of each set that has any, in the order in which they are asked."""


def trim_document(lines: Sequence[str], language: str, filters: Filters, trimmed: Trimmed) -> None:
    """Add to ``trimmed`` what the sets in use leave of one document. An empty line is left out by c4 only."""
    mask = [True] * len(lines)
    reason = None
    for name in filters.rules:
        if reason is None and name in LINE_RULES:
            limits = getattr(filters, name)
            why = [_first(LINE_RULES[name], line, limits, language) for line in lines]
            for line, one in compress(zip(lines, why, strict=True), mask):
                if one:
                    trimmed.lines[f"{name}: {one}"] += 1
                    trimmed.characters[f"{name}: {one}"] += len(line)
            mask = [stays and not one for stays, one in zip(mask, why, strict=True)]
            if name == "refinedweb":
                reason = _too_much_left_out(lines, mask, limits)
            if reason is None and not any(compress(lines, mask)):
                reason = f"{name}: no line left"
    trimmed.masks.append(mask)
    trimmed.reasons.append(reason)


def _first(rules: Sequence[LineRule], line: str, limits: C4 | RefinedWeb, language: str) -> str:
    if not line and isinstance(limits, RefinedWeb):
        return ""
    for rule in rules:
        if rule(line, limits, language):
            return rule.__name__.replace("_", " ")
    return ""


def _too_much_left_out(lines: Sequence[str], mask: Sequence[bool], limits: RefinedWeb) -> str | None:
    """More than 0.05 of the words stand in lines that are left out. RefinedWeb, G.2."""
    words = [len(line.split()) for line in lines]
    left_out = sum(words) - sum(compress(words, mask))
    return "refinedweb: too much left out" if left_out > limits.max_removed_share * sum(words) else None
