"""Schemes of tags: IOB1, IOB2, BIOES and BILOU become IOB2; plain tags (parts of speech) stay as they are.

A span is of a kind (``B-PER``, also written ``B_PER``), or of none (``B``), whose kind is then ``_``, as in seqeval.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Literal, get_args

from finetune.data.examples import Location
from pipeline.errors import UsageError, XlmrError

Scheme = Literal["iob", "bioes", "bilou", "plain"]
OUTSIDE = "O"
NO_KIND = "_"

LETTERS: dict[str, str] = {"iob": "BI", "bioes": "BIES", "bilou": "BILU"}
"""Scheme of spans -> the letters that its tags begin with, besides O."""

_ENDS = {"E": "I", "L": "I", "S": "B", "U": "B"}
"""Letters after which a span is over -> what IOB2 writes for them."""

_ALL_LETTERS = "BIESLUMW"
_SPAN = re.compile(r"([A-Z])(?:[-_](.+))?")


def tags_of(kinds: Sequence[str]) -> tuple[str, ...]:
    """O, then B- and I- of each kind."""
    return (OUTSIDE, *(f"{letter}-{kind}" for kind in kinds for letter in "BI"))


def are_spans(tags: Collection[str]) -> bool:
    """Whether these are labels in IOB2, and not plain tags."""
    return OUTSIDE in tags and all(tag == OUTSIDE or tag[:2] in ("B-", "I-") for tag in tags)


def converted(
    tags: Sequence[str], scheme: Scheme, places: Sequence[Location], labels: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Tags as a model learns them: of a scheme of spans in IOB2, plain ones as they are.

    Errors: XlmrError with file and row for a tag that the scheme does not have, or that is not among ``labels``.
    """
    found = tuple(tags) if scheme == "plain" else as_iob2(tags, scheme, places, labels)
    if labels is not None:
        for tag, written, location in zip(found, tags, places, strict=True):
            if tag not in labels:
                raise _unknown(written, labels, location)
    return found


def as_iob2(
    tags: Sequence[str], scheme: Scheme, places: Sequence[Location], labels: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Tags of a scheme of spans as IOB2. After the end of a span (E-, L-, S-, U-) a new one begins, in any case.

    Errors: XlmrError with file and row for a tag that the scheme does not have; it names ``labels`` if there are any.
    """
    found: list[str] = []
    open_kind = ""
    for tag, location in zip(tags, places, strict=True):
        if tag == OUTSIDE:
            found.append(OUTSIDE)
            open_kind = ""
            continue
        match = _SPAN.fullmatch(tag)
        if match is None or match[1] not in LETTERS[scheme]:
            raise _unknown(tag, labels or [OUTSIDE, *(f"{one}-KIND" for one in LETTERS[scheme])], location)
        letter, kind = match[1], match[2] or NO_KIND
        written = _ENDS.get(letter, letter)
        found.append(f"{written if open_kind == kind else 'B'}-{kind}")
        open_kind = "" if letter in _ENDS else kind
    return tuple(found)


def scheme_of(tags: Collection[str], file: str) -> Scheme:
    """The scheme of a file's tags where it is beyond doubt: IOB with kinds, or plain tags.

    Errors: XlmrError that names the setting, for tags that several schemes could have.
    """
    spans = {tag: match for tag in tags if (match := _SPAN.fullmatch(tag)) and match[1] in _ALL_LETTERS}
    others = {tag for tag in tags if tag not in spans and tag != OUTSIDE}
    bare = all(match[2] is None for match in spans.values())
    letters = {match[1] for match in spans.values()}
    if not spans or (others and (bare or letters - {"B", "I"})):
        return "plain"
    if letters <= {"B", "I"} and not bare:
        return "iob"
    shown = ", ".join(sorted(spans)[:4])
    raise XlmrError(
        f"{file}: tags such as {shown} can be of several schemes",
        f"set own.scheme to one of {', '.join(get_args(Scheme))}",
    )


def check_labels(labels: Sequence[str], scheme: str) -> None:
    """Errors: UsageError where the task's labels are tags, and its scheme asks for kinds of spans."""
    if scheme != "plain" and OUTSIDE in labels:
        raise UsageError(
            f"own.labels: {OUTSIDE} is no kind of span", "name the kinds, as PER and LOC, or set own.scheme: plain"
        )


def _unknown(tag: str, known: Sequence[str], location: Location) -> XlmrError:
    return XlmrError(f"{location}: tag {tag!r} is not known", f"tags are {', '.join(known)}")
