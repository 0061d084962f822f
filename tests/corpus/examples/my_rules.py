from collections.abc import Sequence

from corpus.filters.text import DocumentText


def no_dots(texts: Sequence[DocumentText]) -> list[str | bool]:
    """True keeps a document; a reason drops it."""
    return [True if any(line.endswith(".") for line in text.lines) else "no line ends in a full stop" for text in texts]
