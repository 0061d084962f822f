"""Records that cc_net misreads (docs/comparison.md, "Where equality with cc_net ends") are read as they are written."""

from __future__ import annotations

import pytest

from benchmarks.odd_records import PLAIN, Case, cases, ours

NOT_AS_WRITTEN = "Content-Length too large by 4"


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_an_odd_record_is_read_and_its_neighbours_are_too(tmp_path, case: Case):
    path = tmp_path / "one.warc.wet.gz"
    path.write_bytes(case.packed())
    found = ours(path)
    odd = [one for one in found if one[0] not in PLAIN]
    assert [url for url, _, text in found if url in PLAIN and "WARC" not in text] == list(PLAIN)
    if case.name == NOT_AS_WRITTEN:
        ((url, title, text),) = odd  # the two line ends behind a record are taken for its text
        assert case.odd == (url, title, text.rstrip("\n"))
    else:
        assert odd == ([case.odd] if case.odd else [])
