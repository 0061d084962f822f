"""How large a tree a page of HTML may make, known from its tags before the tree is built.

Memory is bounded by the numbers of elements and attributes, time by depth and by the attributes of one element. What
is counted here is what a browser's rules make of the tags, or more.
"""

from __future__ import annotations

import re
from collections import Counter

DEEPEST_TREE = 10_000
"""Elements that may be open at once by a count of tags, which takes those that need no end for open ones too."""
MOST_ELEMENTS = 300_000
"""Tags of a page, and elements that it may make. An element takes some 400 bytes of memory: 120 MB together."""
MOST_ATTRIBUTES = 500_000
"""Of all elements of a page. One takes some 240 bytes of memory: 120 MB together."""
MOST_ATTRIBUTES_OF_ONE = 2000
"""Of one element. The parser compares each with all before it."""
FEW_TAGS = 1000
"""A page with no more makes at most a quarter of a million elements, 500 of which are formatting: see ``_made``."""

_FEW_CHARACTERS = 2**17
"""A page with no more has so few attributes that their number is no matter."""
_SHORT_TAG = 200
_NAME_END = r"(?![^\s/>])"
_TAG = re.compile(
    # Void elements, and those whose end browsers add: they do not nest.
    r"<(/?)(?!(?:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr|p|li|d[dt]|option|t[rdh])\b)[a-z]",
    re.IGNORECASE,
)
_FORMATTING = r"(?:b|big|code|em|font|i|s|small|strike|strong|tt|u)" + _NAME_END
_FORMATTING_TAG = re.compile(f"<{_FORMATTING}", re.IGNORECASE)
_FORMATTING_OR_BLOCK = re.compile(
    rf"<(?:(/?)({_FORMATTING})([^>]*)|(?!(?:a|br|img|span){_NAME_END})[a-z])", re.IGNORECASE
)
# Possessive, so that no text is read twice; a quotation mark that is not closed extends to the end.
_VALUE = r"""=\s*+(?:"[^"]*+"?+|'[^']*+'?+)?+"""
_WHOLE_TAG = re.compile(rf"<[a-z](?:[^>\"'=]++|{_VALUE}|[\"'])*+", re.IGNORECASE)
_ATTRIBUTE = re.compile(rf"[^\s/>=][^\s/>=]*+(?:\s*+{_VALUE}[^\s>\"']*+)?+")


class TooLargeError(Exception):
    """The tree would be too large; the text says what there is too much of."""


def check_tree_size(html: str) -> None:
    """Errors: TooLargeError for a page whose tree would be too large or take too long."""
    if len(html) > _FEW_CHARACTERS:
        _check_attributes(html)
    tags = html.count("<")
    if tags <= FEW_TAGS:
        return
    if tags > MOST_ELEMENTS or _opened_again(html, tags) > MOST_ELEMENTS:
        raise TooLargeError(f"more than {MOST_ELEMENTS:,} elements")
    if tags > DEEPEST_TREE:
        _check_depth(html)


def _check_depth(html: str) -> None:
    depth = 0
    for tag in _TAG.finditer(html):
        depth = depth + 1 if not tag[1] else max(depth - 1, 0)
        if depth > DEEPEST_TREE:
            raise TooLargeError("its elements are nested too deeply")


def _check_attributes(html: str) -> None:
    total = 0
    for tag in _WHOLE_TAG.finditer(html):
        start, end = tag.span()
        if end - start <= _SHORT_TAG:
            total += html.count(" ", start, end)
        else:
            attributes = sum(1 for _ in _ATTRIBUTE.finditer(html, start + 1, end)) - 1
            if attributes > MOST_ATTRIBUTES_OF_ONE:
                raise TooLargeError(f"an element with more than {MOST_ATTRIBUTES_OF_ONE:,} attributes")
            total += attributes
    if total > MOST_ATTRIBUTES:
        raise TooLargeError(f"more than {MOST_ATTRIBUTES:,} attributes")


def _opened_again(html: str, tags: int) -> int:
    """At most so many elements are made of formatting that is not closed: each block that follows opens it again.

    Of equal tags three at most. Source: HTML standard, "reconstruct the active formatting elements".
    """
    if len(_FORMATTING_TAG.findall(html)) * tags <= MOST_ELEMENTS:
        return 0
    opened: dict[str, Counter[str]] = {}
    ever = active = made = 0
    for tag in _FORMATTING_OR_BLOCK.finditer(html):
        closes, name, attributes = tag.groups()
        if name is None:
            made += active
            continue
        of_name = opened.setdefault(name.lower(), Counter())
        if not closes and of_name[attributes] < 3:
            of_name[attributes] += 1
            active += 1
            ever += 1
        elif closes and not of_name:
            made += ever  # where blocks lie in the formatting, its end opens it again in them
        elif closes:
            last = next(reversed(of_name))
            of_name[last] -= 1
            active -= 1
            if not of_name[last]:
                del of_name[last]
    return made
