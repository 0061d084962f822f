# my_reader.py
from collections.abc import Iterator
from pathlib import Path


def read(file: str) -> Iterator[dict[str, str]]:
    """Lines of the form "label: text"."""
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        label, _, text = line.partition(": ")
        yield {"text": text, "label": label}
