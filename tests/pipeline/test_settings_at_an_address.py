"""Every setting is given an address: it takes it, and the reference says so, or refuses it before anything starts."""

from __future__ import annotations

import json
from operator import attrgetter
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.dag import Dag
from pipeline.settings_list import SettingDescription, list_settings

ADDRESS = "memory://nowhere/x"
"""At a storage that every machine has, and where there is nothing."""
DAG = Dag.default()
SETTINGS = {one.name: one for group in list_settings(DAG.config_model) for one in group.settings}
TAKERS = [name for name, one in SETTINGS.items() if "path or address" in one.type]
LOCAL = [name for name, one in SETTINGS.items() if "path" in one.type and name not in TAKERS]
NO_FILES = {
    "bullets", "credit_card", "date", "deepspeed", "dev_languages", "dev_rows", "digest",
    "domains", "drop_lines_with", "drop_pages_with", "dumps", "email", "encoding",
    "hosts", "hub_name", "iban", "id_column", "identifier", "ipv4", "ipv6", "label_column", "labels", "language",
    "languages", "options", "pair_column", "partition", "patterns", "phone", "pick", "preset", "project",
    "punctuation", "runner", "scheduler", "sort_memory", "stop_words", "terminal_punctuation", "test_languages",
    "test_rows", "text", "text_column", "thresholds", "title", "tlds", "train_languages", "train_rows", "unspaced",
    "until", "url", "user_defined_symbols", "weights", "wikipedia_field",
}  # fmt: skip
"""Last names of settings of text that name no file. A new one is either listed here, or of a type that names files."""
NOT_ASKED_BY_PLAN = {"run.directory", "corpus.read.download.mirror"}
"""Where nothing needs to be yet: a run may begin there, and a mirror is asked for each file as it is read."""
OWN = ("--finetune.task.name", "own")
COMPANIONS = {
    "corpus.fetch.base": ("--corpus.fetch.dumps", "[CC-MAIN-2019-09]", "--corpus.fetch.crawl", ""),
    "corpus.fetch.index.files": ("--corpus.fetch.crawl", "", "--corpus.fetch.index.languages", "[deu]"),
    "corpus.filters.only_hosts.files": ("--corpus.filters.rules", "[only_hosts]"),
    "corpus.filters.url_lists.files": ("--corpus.filters.rules", "[url_lists]"),
    "corpus.filters.url_lists.patterns": ("--corpus.filters.rules", "[url_lists]"),
    "corpus.filters.bad_words.files": ("--corpus.filters.rules", "[bad_words]"),
    "finetune.task.folder": ("--finetune.task.name", "xnli"),
    "finetune.task.own.train": OWN,
    "finetune.task.own.dev": (*OWN, "--finetune.task.own.train", "README.md", "--finetune.task.own.test", "README.md"),
    "finetune.task.own.test": (*OWN, "--finetune.task.own.train", "README.md", "--finetune.task.own.dev", "README.md"),
}
"""What switches on what reads the setting."""


def with_address(name: str) -> tuple[str, str]:
    """The words of a command that give a setting the address."""
    kind = SETTINGS[name].type
    value = [ADDRESS] if kind.startswith("list") else {"de": ADDRESS} if kind.startswith("table") else ADDRESS
    return f"--{name}", value if isinstance(value, str) else json.dumps(value)


def plan(tmp_path: Path, *words: str) -> int:
    return main(["plan", "configs/demo.yaml", "--run.directory", str(tmp_path / "runs"), *words])


def names_files(one: SettingDescription) -> bool:
    return one.name in TAKERS or one.name in LOCAL


def test_every_text_names_files_or_does_not() -> None:
    undecided = [
        name
        for name, one in SETTINGS.items()
        if "text" in one.type and not names_files(one) and name.rpartition(".")[2] not in NO_FILES
    ]
    texts = {name.rpartition(".")[2] for name, one in SETTINGS.items() if "text" in one.type and not names_files(one)}
    assert texts >= NO_FILES, "these are not settings any more"
    assert undecided == [], "give these the type FileAddress, LocalPath or Path, or list them in NO_FILES"
    assert len(LOCAL) > 8
    assert len(TAKERS) > 15


@pytest.mark.parametrize("name", LOCAL)
def test_path_refuses_an_address(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(tmp_path, *with_address(name)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"xlmr: command line: {name}")
    assert "a path on this machine is meant, no address: copy or mount what is there" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [name for name in TAKERS if name not in NOT_ASKED_BY_PLAN])
def test_address_is_asked_before_anything_starts(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line names the address that was given, as it was given."""
    assert plan(tmp_path, *with_address(name), *COMPANIONS.get(name, ())) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"xlmr: {ADDRESS}")
    assert "no such file" in line or "FileNotFoundError" in line
    assert not list(tmp_path.rglob("manifest.json"))


def test_what_plan_does_not_ask_is_taken() -> None:
    for name in NOT_ASKED_BY_PLAN:
        config = DAG.load_config(Path("configs/demo.yaml"), with_address(name))
        assert str(attrgetter(name)(config)) == ADDRESS
