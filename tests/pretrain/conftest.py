"""Fixtures of the pretrain package's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tiny_corpus import write_sequences

from pipeline.context import Context
from pipeline.log import EventLog


@pytest.fixture(autouse=True)
def one_thread_and_seed() -> Iterator[None]:
    """Tiny models gain nothing from a second thread, and several tests at once wait for each other's.

    What a test draws without a seed of its own does not depend on the tests before it.
    """
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def sequences(tmp_path: Path) -> Path:
    """Two languages, one eight times as large as the other."""
    return write_sequences(tmp_path / "sequences", {"aa": 160, "bb": 20})


@pytest.fixture
def make_context(tmp_path: Path) -> Callable[[Path], Context]:
    """A Context for an output folder."""

    def make(output: Path) -> Context:
        output.mkdir(parents=True, exist_ok=True)
        return Context("pretrain.train", output, 1, EventLog(tmp_path / "log.jsonl"))

    return make
