"""What the tests of tokenizers of others share: the published vocabulary, lines of the crawl, ids by tokenizers."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tokenizer.model_proto import ModelProto
from tokenizer.names import MODEL_FILE

ROOT = Path(__file__).parents[2]
PUBLISHED = Path(os.environ.get("XLMR_TEST_DATA", ROOT.parent / "shared" / "data")) / "xlmr-vocabulary"

TEXTS = (
    "All human beings are born free",
    "a <new> b<new>c  <new><new> ",
    "the doc, docs and doc",
    "Ｘ１ or X1: x1",
    "<ctl> at both ends <ctl>",
    "left <l> and <r> right",
    "  ",
    "",
    "êtres e\u0302\u0301 <new>\u0301",
)


def crawl_lines(step: int) -> list[str]:
    files = sorted((ROOT / "samples" / "crawl").glob("*.gz"))
    lines = sorted({line for file in files for line in gzip.decompress(file.read_bytes()).decode().split("\n")})
    return lines[::step]


def backend_of(folder: Path) -> Any:
    backend = pytest.importorskip("tokenizers").Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.encode_special_tokens = True
    return backend


def their_ids(backend: Any, texts: list[str]) -> list[list[int]]:
    return [found.ids for found in backend.encode_batch_fast(texts, add_special_tokens=False)]


def changed_model(trained: Path, change: Callable[[Any], None], file: Path) -> Path:
    proto = ModelProto.FromString((trained / MODEL_FILE).read_bytes())
    change(proto)
    file.write_bytes(proto.SerializeToString())
    return file
