"""Where a right answer stands in its context: checked, and corrected where the cause of a wrong place is beyond doubt.

Files count characters from 0. Some that people convert count bytes of UTF-8, or units of UTF-16; are off by a few
characters; or hold context and answer in different normal forms. Other wrong answers are left out and counted.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from pipeline.errors import XlmrError
from pipeline.unicode import is_unicode

NEAR = 3
"""Characters that an answer may be off by."""

Answer = tuple[str, int]
"""Its text as it stands in the context, and its first character there."""

_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")


def place_answer(context: str, text: str, start: int) -> tuple[Answer, str] | None:
    """The answer and how its place was found (empty: as given); None where it is not there, or in several places."""
    if context[start : start + len(text)] == text and start >= 0:
        return (text, start), ""
    ways = ((_by_bytes, "bytes"), (_by_utf16, "units of UTF-16"), (_nearby, "near characters"))
    found = [(place, name) for find, name in ways if (place := find(context, text, start)) is not None]
    if found:
        same = len({place for place, _ in found}) == 1
        return ((text, found[0][0]), found[0][1]) if same else None
    answer = _in_another_form(context, text, start)
    return None if answer is None else (answer, "another normal form")


@dataclass
class AnswerCheck:
    """Checks the answers of one file, counts what it corrects and leaves out, and says so in lines."""

    file: str
    strict: bool = False
    """Whether an answer that is not at its place is an error."""
    answers: int = 0
    corrected: Counter[str] = field(default_factory=Counter)
    left_out: list[str] = field(default_factory=list)
    """Why each answer, or question without one, is."""
    answers_left_out: int = 0
    questions_left_out: int = 0

    def checked(self, context: str, text: object, start: object, location: object) -> Answer | None:
        """The answer at its place; None for one that is left out. Errors: XlmrError where ``strict`` says so."""
        self.answers += 1
        place = _whole_number(start)
        found = None
        if isinstance(text, str) and text.strip() and is_unicode(text) and place is not None:
            found = place_answer(context, text, place)
        if found is None or (found[1] and self.strict):
            self._leave_out(context, text, start, location)
            return None
        answer, how = found
        if how:
            self.corrected[how] += 1
        return answer

    def leave_out_question(self, location: object, answers: int) -> None:
        """A question of which no answer is left, of so many. Errors: XlmrError for one that has none, if ``strict``."""
        self.questions_left_out += 1
        if not answers:
            problem = f"{location}: has no answer"
            if self.strict:
                raise XlmrError(problem, "a question that has none (SQuAD 2.0) says is_impossible")
            self.left_out.append(f"{problem.removeprefix(f'{self.file}, ')}, and does not say is_impossible")

    def lines(self) -> Iterator[str]:
        """What a person should know of the file."""
        if self.corrected:
            ways = ", ".join(f"{count} by {how}" for how, count in sorted(self.corrected.items()))
            count = f"{self.corrected.total()} of {self.answers} answers"
            yield f"{self.file}: the places of {count} are corrected ({ways})"
        if self.left_out:
            answers = [f"{self.answers_left_out} of {self.answers} answers"] if self.answers_left_out else []
            questions = [f"{self.questions_left_out} questions"] if self.questions_left_out else []
            yield f"{self.file}: {' and '.join(answers + questions)} left out (the first: {self.left_out[0]})"

    def _leave_out(self, context: str, text: object, start: object, location: object) -> None:
        if not isinstance(text, str) or not text.strip():
            problem, fix = f"{location}: has an answer without text", "give the answer as it stands in the context"
        elif (place := _whole_number(start)) is None:
            problem, fix = (
                f"{location}: the answer {_short(text)!r} has no place",
                "answer_start is a character's number",
            )
        else:
            there = context[place : place + len(text)] if place >= 0 else ""
            problem = f"{location}: the answer {_short(text)!r} is not in its context at character {place}"
            fix = f"{_short(there)!r} stands there"
        if self.strict:
            raise XlmrError(problem, fix)
        self.answers_left_out += 1
        self.left_out.append(f"{problem.removeprefix(f'{self.file}, ')}; {fix}")


def _by_bytes(context: str, text: str, start: int) -> int | None:
    return _by_units(context, text, start, "utf-8", 1)


def _by_utf16(context: str, text: str, start: int) -> int | None:
    return _by_units(context, text, 2 * start, "utf-16-le", 2)


def _by_units(context: str, text: str, start: int, encoding: str, size: int) -> int | None:
    if context.isascii() or start < 0:
        return None
    units, wanted = context.encode(encoding), text.encode(encoding)
    if units[start : start + len(wanted)] != wanted or start % size:
        return None
    return len(units[:start].decode(encoding, errors="ignore"))


def _nearby(context: str, text: str, start: int) -> int | None:
    """The one place within NEAR characters where the text stands; None for none, or for several."""
    found = [place for place in range(max(0, start - NEAR), start + NEAR + 1) if context.startswith(text, place)]
    return found[0] if len(found) == 1 else None


def _in_another_form(context: str, text: str, start: int) -> Answer | None:
    """The context's characters that are the text but for NFC against NFD, at ``start`` of either form or its own."""
    wanted = unicodedata.normalize("NFC", text)
    places = {start} if start >= 0 else set()
    for form in _FORMS:
        if unicodedata.normalize(form, context)[start : start + 1] and start >= 0:
            places.add(
                bisect_left(range(len(context)), start, key=lambda n: len(unicodedata.normalize(form, context[:n])))
            )
    found = {answer for place in places if (answer := _equal_at(context, wanted, place)) is not None}
    return found.pop() if len(found) == 1 else None


def _equal_at(context: str, wanted: str, start: int) -> Answer | None:
    """The characters from ``start`` on that are ``wanted`` in NFC, with the marks that belong to the last of them."""
    longest = len(unicodedata.normalize("NFD", wanted))
    for end in range(min(len(context), start + longest), start, -1):
        if unicodedata.normalize("NFC", context[start:end]) == wanted:
            cut = end < len(context) and unicodedata.combining(context[end])
            return None if cut else (context[start:end], start)
    return None


def _whole_number(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else None


def _short(text: str) -> str:
    return " ".join((text if len(text) <= 40 else text[:39] + "…").split())
