"""The list of settings, its page and its schema, held against the configuration itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from pipeline.cli import main
from pipeline.config import Section, setting
from pipeline.dag import Dag
from pipeline.errors import UsageError
from pipeline.settings_list import as_markdown, list_settings
from pipeline.yaml_text import read_yaml

ROOT = Path(__file__).resolve().parents[2]
MODEL = Dag.default().config_model


class Inside(Section):
    """What is inside."""

    share: float | None = setting(None, "a | share", source="a paper", gt=0, le=1)
    kinds: tuple[str, ...] = setting((), "some <kinds>", affects_result=False)


class Whole(Section):
    """All of it."""

    inside: Inside = setting(Inside(), "within")
    size: int = setting(3, "how many", ge=1)


def test_a_setting_has_type_range_default_and_source():
    outer, inner = list_settings(Whole)
    assert [one.name for one in outer.settings] == ["size"]
    share, kinds = inner.settings
    assert (share.name, share.type, share.range, share.default) == (
        "inside.share",
        "number or null",
        "> 0, ≤ 1",
        "null",
    )
    assert (share.source, share.counts, kinds.counts) == ("a paper", True, False)
    assert (kinds.type, kinds.default) == ("list of text", "[]")
    page = "\n".join(as_markdown([outer, inner]))
    assert "| `share` | number or null, > 0, ≤ 1 | `null` | a \\| share | a paper | yes |" in page
    assert "some &lt;kinds>" in page


def test_one_section_or_setting():
    assert [group.name for group in list_settings(MODEL, "corpus.filters.length")] == ["corpus.filters.length"]
    (group,) = list_settings(MODEL, "corpus.read.min_characters")
    assert [one.name for one in group.settings] == ["corpus.read.min_characters"]
    with pytest.raises(UsageError, match="no such section or setting"):
        list_settings(MODEL, "corpus.rea")


def test_every_setting_is_described():
    for group in list_settings(MODEL):
        assert group.summary
        for one in group.settings:
            assert one.description, one.name
            assert one.source, one.name


def test_the_page_is_up_to_date():
    """`xlmr settings --markdown > docs/settings.md` writes it."""
    written = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == "\n".join(as_markdown(list_settings(MODEL))) + "\n"


def test_configurations_fit_the_schema(capsys):
    assert main(["settings", "--json-schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    studies = {*(ROOT / "configs" / "studies").glob("*/*.yaml")} - {*(ROOT / "configs" / "studies").glob("*/base.yaml")}
    for path in sorted({*(ROOT / "configs").rglob("*.yaml")} - studies):
        validator.validate(read_yaml(path.read_text(encoding="utf-8")))
    assert not validator.is_valid({"corpus": {"reed": {}}})


def test_the_command(capsys):
    assert main(["settings", "corpus.near_duplicates.threshold"]) == 0
    assert "corpus.near_duplicates.threshold  (number, > 0, ≤ 1) = 0.8" in capsys.readouterr().out
