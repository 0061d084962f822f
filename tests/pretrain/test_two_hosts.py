"""A link between two hosts that is cut: all ranks end, one line a host, and one host resumes alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from link_cut import ALONE, SECONDS, cut_at_random, folder_in, words_of
from test_launch import complaints, end, losses, start
from two_hosts import two_hosts, why_not

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not() or "two hosts can be made")]

DEADLINES = {"EXPIRY": "30", "STORE": "15"}
"""Seconds; shorter than those of trainings."""


def test_a_cut_link_ends_all_ranks_and_one_host_resumes(tmp_path: Path) -> None:
    folder, whole, words = folder_in(tmp_path, "cut"), folder_in(tmp_path, "whole"), words_of(zero=1)
    with two_hosts() as hosts:
        cut = cut_at_random(hosts, folder, words, DEADLINES)
    assert cut.seconds < SECONDS
    assert [len(complaints(lines)) for lines in cut.said] == [1, 1], cut.said
    assert "not been heard of" in complaints(cut.said[0])[0]
    assert "has not answered for 15 s" in complaints(cut.said[1])[0]
    undisturbed = start(whole, [*ALONE, *words])
    code, _, err = end(start(folder, [*ALONE, *words]))
    assert (code, "resuming after step" in err) == (0, True), err
    assert end(undisturbed)[0] == 0
    assert losses(folder) == pytest.approx(losses(whole), rel=1e-5)
