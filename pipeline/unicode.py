"""Whether a string can be written as UTF-8: Python's strings can hold lone surrogates, which are no characters."""

from __future__ import annotations


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can write it.

    JSON's escapes can spell half of a surrogate pair, and Python has a byte of a file's name or of a command that is
    not UTF-8 as such a half.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
