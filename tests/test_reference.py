"""The pages of reference that are written from the code have all of it."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from pipeline.cli import build_app
from pipeline.dag import Dag
from scripts import reference
from scripts.reference.errors_page import errors_page
from scripts.reference.files_page import files_page
from scripts.reference.markdown import from_docstring
from scripts.reference.measures_page import measures_page
from scripts.reference.python_page import PACKAGES, python_page
from scripts.reference.stages_page import stages_page


def test_every_command_has_a_heading_with_the_anchor_that_links_name() -> None:
    page = reference.PAGES["reference/command-line.md"]()
    dag = Dag.default()
    app = build_app(dag)
    named = {f"xlmr {name}" for name in app if not name.startswith("-")}
    named |= {f"xlmr {package.name} {name}" for package in dag.packages for name in app[package.name] if name[0] != "-"}
    for command in named:
        assert f" {command} {{#{command.replace(' ', '-')}}}\n" in page
    assert "```sh\nxlmr corpus card runs/demo --out README.md\n```" in page
    assert "runs/&lt;project>/report.html" in page
    anchors = set(re.findall(r"\{#([\w-]+)\}", page))
    assert set(re.findall(r"\]\(#([\w-]+)\)", page)) <= anchors


def test_every_stage_is_listed() -> None:
    page = stages_page()
    for stage in Dag.default().stages.values():
        assert f"| `{stage.name}` | {stage.summary} |" in page


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_has_its_signature_and_its_docstring(package: str) -> None:
    page = python_page()
    module = import_module(package)
    for name in module.__all__:
        _, _, section = page.partition(f"\n### {package}.{name}\n")
        assert section.startswith(f"\n```python\n{package}.{name}(")
        assert section.partition("```\n\n")[2].strip()
    for kind in ("tokenizer.Tokenizer", "finetune.Predictor", "pretrain.PretrainedModel"):
        owner, _, name = kind.partition(".")
        assert not {one for one in vars(getattr(import_module(owner), name)) if one[0] != "_" and f".{one}" not in page}


def test_docstrings_become_paragraphs_lists_and_blocks() -> None:
    docstring = """The sum of ``a`` and ``b``.

    ``a``  the first, which
           may be 0.
    ``b``  the second.

    >>> 1 < 2
    True
    """
    assert from_docstring(docstring) == (
        "The sum of `a` and `b`.\n\n- `a`: the first, which\n  may be 0.\n- `b`: the second.\n\n"
        "```python\n>>> 1 < 2\nTrue\n```"
    )


def test_columns_have_the_comments_of_the_code() -> None:
    page = files_page()
    assert "| `length` | int64 | characters kept |" in page
    assert "| `bucket` | string |" in page
    assert "| `git_commit` | `str` |" in page


def test_measures_have_their_full_names() -> None:
    page = measures_page()
    assert "| `pretrain.train.validation_loss` | validation loss, nats per masked token |" in page
    assert "| `pretrain.train.nats_per_character` | validation loss, nats per character, mean over languages |" in page
    assert "{…}" not in page


def test_errors_are_listed_with_fix_and_exit_code() -> None:
    page = errors_page()
    assert "| `` {path}: no such configuration `` | `` look in configs/ `` | 2 |" in page
    assert "| `` {name}: the disk is full `` |" in page
    assert page.count("\n| ``") > 200
