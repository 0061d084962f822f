"""SentencePiece's normalisation as steps of Hugging Face's tokenizer.json, so that both give the same text.

rules of a model -> a list of steps. SentencePiece replaces the longest rule that fits, from left to right. Hugging
Face's ``Precompiled`` takes the shortest, once a grapheme of under 6 bytes, and drops the rest of that (ế written in
three characters becomes ê); its ``NFKC`` is the standard's, which sorts and joins marks that no rule joins. So a mark
that stops both is set wherever SentencePiece's rules end and something could join.
"""

from __future__ import annotations

import base64
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice, pairwise
from typing import Any

from pipeline.errors import XlmrError
from tokenizer.model_file import ModelFile

Step = dict[str, Any]

YOUNG = "\u32ff\ua7f1\ua7f2\ua7f3\ua7f4\uab69"
"""Characters that SentencePiece's rules name, that are younger than the Unicode tables of ``tokenizers``, and that are
short enough for ``Precompiled`` to take a following mark for part of them."""

NOT_IN_TABLES = frozenset(
    map(
        chr,
        chain(
            (0x32FF, 0xAB69, 0x1F16C),
            *(range(0xA7F1, 0xA7F5), range(0x10781, 0x107BB), range(0x1CCD6, 0x1CCFA)),
            *(range(0x1E030, 0x1E06E), range(0x1FBF0, 0x1FBFA)),
        ),
    )
)
"""Characters that NFKC changes since Unicode 12, which the tables of ``tokenizers`` do not know: it leaves them."""

PROTECTED_AT_MOST = 256
"""Each is two more passes over every text. The rules of XLM-R's model of 2019 leave two, later ones only ～."""

UNUSED = tuple(
    chain(
        range(0x80, 0xA0),  # controls: of 32, XLM-R's pieces name 30 and its rules the others
        range(0xFFF0, 0xFFF9),  # never assigned, and to be ignored
        range(0xFDD0, 0xFDF0),  # noncharacters
        range(0xE000, 0xF900),  # private use
        range(0xF0000, 0xFFFFE),
    )
)
"""Where unused characters are searched, in this order."""

EXTENDING = "\u200c\u200d\u0e33\u0eb3" + "".join(map(chr, (*range(0x1F3FB, 0x1F400), *range(0xE0020, 0xE0080))))
"""What Unicode counts to the grapheme before it though it is no mark: joiners, two vowels, emoji modifiers, tags."""


def normaliser_steps(model: ModelFile) -> list[Step]:
    """The steps, in order. Errors: XlmrError where they cannot express the model's settings."""
    if not (model.dummy_prefix and model.remove_extra_white_space and model.escape_white_space):
        raise XlmrError(
            "the model keeps extra white space or adds no space before the text: tokenizer.json has no such setting",
            "train it with tokenizer.train",
        )
    spaces = [replace_step({"Regex": " {2,}"}, " "), replace_step({"Regex": r"\A | \z"}, "")]
    return [*_rule_steps(model), *spaces] if model.rules else spaces


def _rule_steps(model: ModelFile) -> list[Step]:
    rules = model.rules
    protected = _protected(rules)
    barrier, free, *stand_ins = unused_characters(model, 2 + len(protected))
    # A character of the text that is one of our own marks is unknown to the vocabulary, and so is its replacement.
    steps = [replace_step({"Regex": _class([barrier, *stand_ins])}, free)]
    steps += [replace_step(sign, mark) for sign, mark in zip(protected, stand_ins, strict=True)]
    steps.append(replace_step({"Regex": boundaries(rules, model.user_defined)}, barrier))
    steps += [replace_step(sign, rules[sign]) for sign in YOUNG if sign in rules]
    charsmap = base64.b64encode(model.charsmap).decode("ascii")
    steps += [{"type": "NFKC"}, {"type": "Precompiled", "precompiled_charsmap": charsmap}, {"type": "NFKC"}]
    steps.append(replace_step(barrier, ""))
    return steps + [replace_step(mark, sign) for sign, mark in zip(protected, stand_ins, strict=True)]


def boundaries(rules: Mapping[str, str], user_defined: Collection[str] = ()) -> str:
    r"""A regular expression of Oniguruma that matches the empty place after each rule of several characters, after each
    other character that the next could join, and between a character with a rule and one that is written on it; also
    the one between a user-defined piece, which SentencePiece takes as it is, and what could join its last character.

    ``(?>…)`` takes the longest rule and nothing shorter; ``\K`` leaves what is matched where it is.
    """
    longer = {key for key in rules if len(key) > 1}
    joining = _joining(longer)
    written_on = _unicode().marks.union(EXTENDING) - joining
    ruled = {key for key in rules if len(key) == 1}
    choices = [_expression(longer)] if longer else []
    choices += [f"(?m:.)(?={_class(joining)})", _class(ruled)]
    after = rf"(?=(?m:.){_class(joining | written_on)})(?>{'|'.join(choices)})\K"
    if not user_defined:
        return after
    return rf"(?>{_expression(set(user_defined))})(?={_class(joining | written_on)})\K|{after}"


def _joining(longer: set[str]) -> set[str]:
    """Characters that NFKC may join to the one before them, or move before it."""
    known = _unicode()
    seconds = {key[1] for key in longer} | {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    seconds |= known.joined
    moved = (sign for sign, head in known.heads.items() if head in seconds or unicodedata.combining(head))
    return seconds.union(known.combining, moved)


@dataclass(frozen=True)
class _Unicode:
    """Python's Unicode tables of all characters: those that are marks; those that combine with the character
    before them; the second parts of two that become one; what those that NFKD changes begin with; those that NFKC
    changes.
    """

    marks: frozenset[str]
    combining: frozenset[str]
    joined: frozenset[str]
    heads: Mapping[str, str]
    changed: tuple[str, ...]


@cache
def _unicode() -> _Unicode:
    """One pass over a million characters is half a second, so it is made once."""
    parts = (unicodedata.decomposition(sign).split() for sign in _every())
    return _Unicode(
        frozenset(sign for sign in _every() if unicodedata.category(sign)[0] == "M"),
        frozenset(filter(unicodedata.combining, _every())),
        frozenset(chr(int(two[1], 16)) for two in parts if len(two) == 2 and not two[0].startswith("<")),
        {sign: full[0] for sign in _every() if (full := unicodedata.normalize("NFKD", sign)) != sign},
        tuple(sign for sign in _every() if unicodedata.normalize("NFKC", sign) != sign),
    )


def _every() -> Iterator[str]:
    """Every character; there are no surrogates in text."""
    return map(chr, chain(range(0xD800), range(0xE000, 0x110000)))


def _protected(rules: Mapping[str, str]) -> list[str]:
    """Characters that the NFKC of ``tokenizers`` changes and the rules do not."""
    found = [sign for sign in _unicode().changed if sign not in rules and sign not in NOT_IN_TABLES]
    if len(found) > PROTECTED_AT_MOST:
        raise XlmrError(
            f"the model's own normalisation leaves {len(found):,} characters that NFKC changes; tokenizer.json cannot "
            "express that",
            "train with normalization_rule_name nmt_nfkc, nfkc or identity",
        )
    return found


def unused_characters(model: ModelFile, count: int) -> list[str]:
    """Characters that neither pieces nor rules name. Errors: XlmrError where pieces name nearly all that are free."""
    named = model.characters | set("".join(model.rules.values())) | {key for key in model.rules if len(key) == 1}
    found = list(islice((chr(code) for code in UNUSED if chr(code) not in named), count))
    if len(found) < count:
        raise XlmrError(
            "the vocabulary's pieces hold every private character of Unicode", "clean the text, train again"
        )
    return found


def replace_step(pattern: str | Mapping[str, str], content: str) -> Step:
    """The step that replaces a text, or what a regular expression matches."""
    return {
        "type": "Replace",
        "pattern": {"String": pattern} if isinstance(pattern, str) else dict(pattern),
        "content": content,
    }


def _expression(texts: set[str]) -> str:
    """An expression that matches the longest of the texts; what has the same continuations is written once."""
    continuations: dict[str, set[str]] = defaultdict(set)
    for text in texts:
        if text:
            continuations[text[0]].add(text[1:])
    heads: dict[frozenset[str], set[str]] = defaultdict(set)
    for head, rest in continuations.items():
        heads[frozenset(rest)].add(head)
    branches = sorted(_class(signs) + _expression(set(rest)) for rest, signs in heads.items())
    if not branches:
        return ""
    body = branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"
    return f"(?:{body})?" if "" in texts else body


def _class(signs: Iterable[str]) -> str:
    """A class of characters, as ranges."""
    codes = sorted(map(ord, signs))
    starts = [codes[0], *(after for before, after in pairwise(codes) if after != before + 1)]
    ends = [*(before for before, after in pairwise(codes) if after != before + 1), codes[-1]]
    ranges = [
        rf"\x{{{start:x}}}" if start == end else rf"\x{{{start:x}}}-\x{{{end:x}}}"
        for start, end in zip(starts, ends, strict=True)
    ]
    return ranges[0] if len(codes) == 1 else f"[{''.join(ranges)}]"
