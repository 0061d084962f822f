"""What the papers about pretraining and its machines say, against the tree: files, settings, the plan that is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.cli import main
from pretrain.settings import TrainSettings

TREE = Path(__file__).parents[2]
PAGES = [TREE / "docs" / "pretrain.md", TREE / "infra" / "README.md"]
MADE = {"infra/secrets", "infra/.env"}
"""What a command on the page makes."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page: Path) -> None:
    named = set(re.findall(r"\b((?:configs|infra|docs|requirements|scripts)/[\w./-]*\w)", page.read_text()))
    assert len(named) > 3
    assert not [name for name in named if not (TREE / name).exists() and not any(name.startswith(m) for m in MADE)]


def test_configurations_in_the_table_are_there() -> None:
    named = re.findall(r"^\| `([\w./-]+\.yaml)`", PAGES[0].read_text(), re.MULTILINE)
    assert len(named) >= 5
    assert all((TREE / "configs" / name).exists() for name in named)


def test_settings_in_the_table_are_settings() -> None:
    table = PAGES[0].read_text().split("All under `pretrain.train`.")[1].split("\n## ")[0]
    firsts = re.findall(r"^\| (`[^|]*)", table, re.MULTILINE)
    named = {name for first in firsts for name in re.findall(r"`(\w+)`", first)}
    assert len(named) >= 8
    assert named <= TrainSettings.model_fields.keys()


def test_the_plan_that_is_shown_is_what_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command, shown = re.findall(r"```\nxlmr (pretrain plan .*)\n```\n\n```\n([^`]*)\n```", PAGES[0].read_text())[0]
    monkeypatch.chdir(TREE)
    assert main(command.split()) == 0
    assert capsys.readouterr().out.startswith(shown)
