"""The pictures of the documentation are those that the code draws."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from pipeline.dag import Dag
from scripts.pictures import FOLDER, PICTURES, dag_picture, reduced


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_as_they_are_drawn(name: str) -> None:
    """``python -m scripts.pictures`` writes them."""
    drawn = PICTURES[name]()
    ElementTree.fromstring(drawn)
    assert (FOLDER / name).read_text(encoding="utf-8") == drawn


def test_the_dag_has_every_stage_and_no_arrow_that_a_path_replaces() -> None:
    stages = Dag.default().stages
    drawn = dag_picture()
    for name in stages:
        assert f">{(name.partition('.')[2] or name).replace('_', ' ')}</text>" in drawn
    arrows = reduced(stages)
    assert ("corpus.duplicates", "corpus.mine") in arrows
    assert ("corpus.fetch", "corpus.mine") not in arrows
