"""Regular expressions for URLs out of lists: as few compiled ones as mean the same as each line by itself."""

from __future__ import annotations

import re
from collections.abc import Iterable

from corpus.filters.list_files import read_rows
from pipeline.errors import XlmrError
from pipeline.storage import expand


def compile_patterns(patterns: Iterable[str]) -> list[re.Pattern[str]]:
    """The expressions of all lists; capitals are as lower case. A URL is listed where one of them is found in it.

    Errors: XlmrError naming file and line of what is no regular expression.
    """
    joined: list[str] = []
    alone: list[re.Pattern[str]] = []
    for address in (address for pattern in patterns for address in expand(pattern)):
        for number, entry in read_rows(address):
            try:
                plain, compiled = re.compile(entry), re.compile(entry, re.IGNORECASE)
            except (re.error, OverflowError, RecursionError) as error:
                raise XlmrError(
                    f"{address}: line {number}: {entry!r} is no regular expression ({error})", "fix the line"
                ) from None
            # Beside others, groups would have other numbers, and flags may stand at the very beginning alone.
            if plain.groups or plain.flags != re.UNICODE:
                alone.append(compiled)
            else:
                joined.append(entry)
    combined = [re.compile("|".join(f"(?:{entry})" for entry in joined), re.IGNORECASE)] if joined else []
    return combined + alone
