"""Measures of a corpus: text by language over the buckets."""

from __future__ import annotations

import json
from pathlib import Path

from corpus.measures import measures


def test_amounts_are_sums_over_buckets(tmp_path: Path) -> None:
    counts = {
        "documents": {"de": {"head": 2, "tail": 1}, "en": {"all": 4}},
        "bytes": {"de": {"head": 20, "tail": 10}, "en": {"all": 40}},
    }
    (tmp_path / "counts.json").write_text(json.dumps(counts))
    found = {one.full_name: one for one in measures({"corpus.regroup": tmp_path})}
    assert found["corpus.regroup.languages"].value == 2
    assert found["corpus.regroup.documents"].by == {"de": 3, "en": 4}
    assert found["corpus.regroup.bytes"].value == 70
    assert "corpus.regroup.lines" not in found
