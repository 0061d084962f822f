"""What a form offers and takes, and how its run is tagged; no server is asked."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.utilities.schema_tools.validation import validate

from flows import form, packages
from flows.form import one_a_line, resolve, words_of
from flows.run_tags import tags_of
from pipeline.errors import UsageError


def test_form_is_short_and_offers_the_run_files_that_there_are() -> None:
    names = form.run_files(form.folder_of_configurations())
    assert "demo" in names
    assert "finetune/mlqa" in names
    assert not [name for name in names if name.startswith("studies")]
    for one in (*packages.FLOWS.values(), packages.full):
        assert one.description
        assert one.fn.__name__ == one.name
        shown = one.parameters.model_dump()["properties"]
        assert set(shown) == {"configuration", "project", "stages", "force", "overrides"}
        assert not [name for name, field in shown.items() if "anyOf" in field]  # the form would ask for a type
        example = shown["overrides"]["description"].partition("Example: ")[2]
        form.resolve("demo", "", [example])
        assert all(field["description"] and "<" not in field["description"] for field in shown.values())
    assert [str(stage) for stage in form.stage_choice("corpus")] == form.dag().select("corpus")


def test_tags_say_project_dumps_and_languages() -> None:
    chosen = ["corpus.fetch.crawl=CC-MAIN-2018-05", "corpus.mine.languages=['sw','en']"]
    assert tags_of(resolve("demo", "", chosen)) == [
        "project:demo",
        "dump:CC-MAIN-2018-05",
        "language:sw",
        "language:en",
    ]
    many = "corpus.mine.languages=['ca','cs','da','de','en','es']"
    assert tags_of(resolve("demo", "mine", [many])) == ["project:mine", "6 languages"]


def test_overrides_are_those_of_the_command_line() -> None:
    assert words_of("corpus.fetch.crawl=CC-MAIN-2018-05") == ["--corpus.fetch.crawl=CC-MAIN-2018-05"]
    assert words_of(" --pretrain.train.steps 7 ") == ["--pretrain.train.steps", "7"]
    assert words_of(" run.workers = 2") == ["--run.workers=2"]
    assert words_of("corpus.fetch.crawl=a = b") == ["--corpus.fetch.crawl=a = b"]
    assert words_of("") == []
    lines = one_a_line(["--pretrain.train.steps", "7", "--run.project=other"])
    config: Any = resolve("demo", "", lines)
    assert (config.pretrain.train.steps, config.run.project) == (7, "other")
    config = resolve("demo", "", ["run.workers=1\n\npretrain.train.steps=7\n"])  # two lines in one field
    assert (config.pretrain.train.steps, config.run.workers) == (7, 1)
    config = resolve("demo", "mine", [])
    assert config.run.project == "mine"
    with pytest.raises(UsageError, match="did you mean mine"):
        resolve("demo", "", ["corpus.minee=1"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"project": "a/b"}, "'a/b' does not match"),
        ({"project": "../up"}, "'../up' does not match"),
        ({"overrides": ["run.workers=2\ncorpus.fetch.token=planted"]}, f"'description': '{form.SECRET_IN_FORM}"),
        ({"project": "mine", "overrides": ["run.workers=2"]}, ""),
        ({"project": ""}, ""),
    ],
)
def test_form_says_what_is_wrong_before_a_run_is_made(given: dict[str, Any], said: str) -> None:
    for one in (*packages.FLOWS.values(), packages.full):
        errors = validate({"configuration": "demo", **given}, one.parameters.model_dump())
        assert [said in error.message for error in errors] == [True] * bool(said)
