"""CCNet's own minified form."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mined_corpus import rows_of

from corpus.minify.ccnet_minified import decode_line_ids, read_ccnet
from corpus.minify.reproduce import reproduce
from pipeline.errors import XlmrError


def as_ccnet(row: dict) -> str:
    """As cc_net's Minifier writes it (cc_net/minify.py, encode_line_ids)."""
    ids = base64.b64encode((np.array(row["line_ids"]) % 2**16).astype("<u2").tobytes()).decode()
    known = {n: row[n] for n in ("url", "digest", "cc_segment", "language", "bucket")}
    decimals = {"language_score": round(row["language_score"], 2)}
    if row["perplexity"] is not None:
        decimals["perplexity"] = round(row["perplexity"], 1)
    return json.dumps({**known, **decimals, "line_ids": ids})


def write_ccnet(corpus: Path, folder: Path) -> None:
    folder.mkdir()
    for path in corpus.glob("*/*.arrow"):
        lines = "".join(as_ccnet(row) + "\n" for row in rows_of(path))
        bucket, number = path.stem.split("-")
        (folder / f"{path.parent.name}_{bucket}_{int(number):04d}.json.gz").write_bytes(gzip.compress(lines.encode()))


def test_ccnets_own_form(made, tmp_path, capsys):
    write_ccnet(made.corpus, tmp_path / "ccnet")
    reproduce(tmp_path / "ccnet", str(made.crawl), tmp_path / "out", workers=1)
    found, expected = (
        {(r["url"], r["cc_segment"]): r for p in folder.glob("*/*.arrow") for r in rows_of(p)}
        for folder in (tmp_path / "out", made.corpus)
    )
    assert found == expected
    assert f"{len(expected):,} had no checksums" in capsys.readouterr().err


@given(st.lists(st.integers(1, 2**16 - 1), max_size=60), st.integers(0, 2**16 - 1))
def test_line_ids_of_ccnet(steps, first):
    """Numbers that rise by less than 65,536 come back whatever their size: a signed reading loses those from 32,768."""
    ids = np.cumsum([first, *steps])
    text = base64.b64encode((ids % 2**16).astype("<u2").tobytes()).decode()
    assert decode_line_ids(text) == ids.tolist()


OTHERS = dict.fromkeys(("url", "digest", "cc_segment", "language", "bucket"), "x")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("no json", "line 2 cannot be read"),
        ('{"url": "u"}', "line 2 has no digest"),
        (json.dumps(OTHERS | {"line_ids": "AA=="}), "line 2 cannot be read: line_ids ends within a number"),
        (json.dumps(OTHERS | {"line_ids": "!"}), "line 2 cannot be read"),
        (json.dumps({"url": "u", "digest": "d", "hashes": "AAAA"}), "CCNet's form before line_ids"),
    ],
)
def test_a_file_that_is_not_ccnets_is_named(made, tmp_path, line, problem):
    good = as_ccnet(rows_of(next(made.corpus.glob("de/*.arrow")))[0])
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(f"{good}\n{line}\n".encode()))
    with pytest.raises(XlmrError, match=problem) as caught:
        list(read_ccnet(tmp_path / "a.json.gz"))
    assert str(tmp_path / "a.json.gz") in str(caught.value)
