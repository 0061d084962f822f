"""docs/python.md: the examples of each section run, from top to bottom, in a folder that has what they name."""

from __future__ import annotations

import doctest
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.small_pages import write_pages
from tests.finetune.small_model import write_models
from tests.pretrain.small_model import write_model
from tests.tokenizer.small_vocabulary import write_vocabulary

PAGE = Path(__file__).parents[1] / "docs" / "python.md"

EXAMPLES = Path(__file__).parent / "pipeline" / "examples"

FOLDERS: dict[str, Callable[[Path], Any]] = {
    "corpus": write_pages,
    "finetune": write_models,
    "pipeline": lambda folder: shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True),
    "pretrain": lambda folder: write_model(folder / "model"),
    "tokenizer": lambda folder: write_vocabulary(folder / "vocabulary"),
}
"""Section -> what writes the files that its examples read; a section without such files has no entry."""


def sections() -> dict[str, list[str]]:
    """Title -> its blocks of Python."""
    _, *parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    blocks = {title: re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) for title, text in
              zip(parts[::2], parts[1::2], strict=True)}  # fmt: skip
    return {title: of for title, of in blocks.items() if of}


@pytest.mark.slow
@pytest.mark.parametrize("title", sections())
def test_examples_of(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if title in FOLDERS:
        FOLDERS[title](tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    examples = doctest.DocTestParser().get_doctest("\n".join(sections()[title]), {}, title, str(PAGE), 0)
    assert examples.examples, "write the examples with >>> and their outputs"
    assert not doctest.DocTestRunner().run(examples).failed


def test_folders_belong_to_sections() -> None:
    assert FOLDERS.keys() <= sections().keys()
