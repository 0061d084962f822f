"""Configuration: precedence, and one clear line for every mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_origin

import pytest
from pydantic import BaseModel

from pipeline.config import LocalPath, Section, Seed, fingerprint, load_config, parse_overrides, setting
from pipeline.dag import PACKAGES, Dag
from pipeline.errors import UsageError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def test_order_of_precedence(toy, monkeypatch):
    assert toy.config().toy.numbers.count == 4
    toy.yaml.write_text("toy: {numbers: {count: 5, factor: 5}}")
    monkeypatch.setenv("XLMR_TOY__NUMBERS__COUNT", "6")
    config = toy.config("--toy.numbers.factor", "7")
    assert (config.toy.numbers.count, config.toy.numbers.factor) == (6, 7)


@pytest.mark.parametrize(
    ("yaml", "words", "line"),
    [
        ("toy: {numbers: {cuont: 5}}", [], r"toy.numbers.cuont is not a setting; did you mean count\?"),
        ("toys: {}", [], r"toys is not a setting; did you mean toy\?"),
        ('toy: {"two\\nlines": 1}', [], r"toy.two\\nlines is not a setting; known here"),
        (
            "toy: {numbers: {count: many}}",
            [],
            "toy.numbers.count: input should be a valid integer.*got 'many'",
        ),
        (
            "toy: {numbers: {count: -1}}",
            [],
            "toy.numbers.count: input should be greater than or equal to 0, got -1",
        ),
        ("toy: [", [], "not readable as YAML"),
        ("just words", [], "holds no sections"),
        ("run: {project: ../up}", [], "run.project: string should match pattern"),
        ("", ["--toy.numbers.count"], "--toy.numbers.count: has no value"),
        ("", ["count", "5"], "count: not understood; settings are given as --section.field VALUE"),
        ("", ["--toy.numbers.cuont", "5"], r"^command line: toy.numbers.cuont is not a setting; did you mean count\?"),
        ("toy: {}", ["--toys.numbers.count", "5"], r"^command line: toys is not a setting; did you mean toy\?"),
        ("toy: {numbers: {count: -1}}", ["--run.workers", "1"], r"toy\.yaml: toy.numbers.count: input should be gr"),
    ],
)
def test_mistakes_get_one_line(toy, yaml, words, line):
    toy.yaml.write_text(yaml)
    with pytest.raises(UsageError, match=line) as caught:
        toy.config(*words)
    assert "\n" not in str(caught.value)


def test_mistake_in_the_environment_is_reported(toy, monkeypatch):
    monkeypatch.setenv("XLMR_TOY__NUMBERS__COUNT", "many")
    with pytest.raises(UsageError, match=r"^environment: toy\.numbers\.count: input should be a valid integer"):
        toy.config("--toy.numbers.factor", "2")


def test_overrides_are_read_as_yaml():
    words = ["--a.b", "0.5", "--a.c=[de, fr]", "--a.some-name", "null", "--a.d", "x: y: z"]
    assert dict(parse_overrides(words)) == {
        "a.b": 0.5,
        "a.c": ["de", "fr"],
        "a.some-name": None,
        "a.d": "x: y: z",
    }


class Inner(Section):
    by_word: dict[str, float] = setting({}, "a table")
    last_one: bool = setting(False, "a switch")


class Outer(Section):
    some_part: Inner = setting(Inner(), "a section")
    sections_by_word: dict[str, Inner] | None = setting(None, "a table of sections")


def test_names_of_settings_are_spelled_freely_and_keys_of_tables_are_not(tmp_path, monkeypatch):
    (tmp_path / "x.yaml").write_text("some_part: {by_word: {no: 1, 'on': 2, y: 3}, last_one: yes}")
    monkeypatch.setenv("XLMR_SOME_PART__BY_WORD__zh_Hant", "0.5")
    words = ["--some-part.by-word.zh-Hans", "0.7", "--sections-by-word.a-b.last-one", "on"]
    found = load_config(Outer, tmp_path / "x.yaml", words)
    assert found.some_part.by_word == {"no": 1, "on": 2, "y": 3, "zh_Hant": 0.5, "zh-Hans": 0.7}
    assert found.some_part.last_one is True
    assert found.sections_by_word == {"a-b": Inner(last_one=True)}


@pytest.mark.parametrize(
    ("text", "value"),
    [("no", "no"), ("Off", "Off"), ("true", True), ("FALSE", False), ("16:32", "16:32"), ("1.5e-3", 0.0015), ("", "")],
)
def test_words_are_what_people_mean_by_them(text, value):
    assert list(parse_overrides(["--a.b", text])) == [("a.b", value)]


class Words(Section):
    languages: tuple[str, ...] = setting((), "a list")
    numbers: list[int] | None = setting(None, "a list of numbers")
    word: str = setting("", "a word")
    by_word: dict[str, tuple[str, ...]] = setting({}, "a table of lists")
    rate: float = setting(0.5, "a number")
    count: int = setting(1, "a number")
    seed: Seed = setting(1, "a seed")
    folder: Path = setting(Path("runs"), "a path")
    model: LocalPath = setting("", "a path as text")


class Whole(Section):
    x: Words = setting(Words(), "a section")


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--x.languages", "my,gu"], "languages", ("my", "gu")),
        (["--x.languages", "my"], "languages", ("my",)),
        (["--x.languages", "[my, gu]"], "languages", ("my", "gu")),
        (["--x.languages", '["a,b"]'], "languages", ("a,b",)),
        (["--x.languages="], "languages", ()),
        (["--x.numbers", "3"], "numbers", [3]),
        (["--x.numbers", "3, 4"], "numbers", [3, 4]),
        (["--x.numbers", "null"], "numbers", None),
        (["--x.by-word.de", "a,b"], "by_word", {"de": ("a", "b")}),
        (["--x.word", "a,b"], "word", "a,b"),
        (["--x.folder", "~/runs"], "folder", Path.home() / "runs"),
        (["--x.model", "~/lid.bin"], "model", str(Path.home() / "lid.bin")),
    ],
)
def test_a_list_may_be_words_with_commas_and_home_is_a_tilde(tmp_path, words, name, value):
    (tmp_path / "x.yaml").write_text("{}")
    assert getattr(load_config(Whole, tmp_path / "x.yaml", words).x, name) == value


def test_the_environment_gives_lists_as_the_command_line_does(tmp_path, monkeypatch):
    (tmp_path / "x.yaml").write_text("{}")
    monkeypatch.setenv("XLMR_X__LANGUAGES", "my,gu")
    assert load_config(Whole, tmp_path / "x.yaml").x.languages == ("my", "gu")


@pytest.mark.parametrize(
    ("yaml", "line"),
    [
        ("x: {count: 1, rate: 1, count: 2}", r"the key 'count' stands twice, the second time in line 1"),
        ("x: {}\ny: {}\nx: {}", r"the key 'x' stands twice, the second time in line 3"),
        ("x: {rate: .inf}", r"x\.rate: input should be a finite number, got inf"),
        ("x: {rate: .nan}", r"x\.rate: input should be a finite number, got nan"),
        ("x: {seed: -1}", r"x\.seed: input should be greater than or equal to 0, got -1"),
        ("x: {count: 0x" + "f" * 5000 + "}", r"x\.count: .*a number of thousands of digits"),
        ("x: {count: " + "9" * 5000 + "}", r"not readable as YAML .*4300"),
        ('x: {word: "a\\0b"}', r"x\.word: text should have no NUL character"),
        ('x: {folder: "a\\0b"}', r"x\.folder: text should have no NUL character"),
        ('x: {languages: ["a\\0b"]}', r"x\.languages: text should have no NUL character"),
        ('x: {word: "' + "a" * 5000 + '"}', r"x\.word: text should have at most 4,096 bytes, not 5,000"),
        ("x: {folder: " + "a" * 300 + "}", r"x\.folder: a name in a path should have at most 255 bytes"),
        ("x: {folder: s3://bucket/runs}", r"x\.folder: a path on this machine is meant, no address"),
        ("x: {model: s3://bucket/lid.bin}", r"x\.model: a path on this machine is meant, no address"),
        ("x: {folder: ~root/runs}", r"x\.folder: only ~/ is understood"),
        ("x: " + "[" * 20_000, r"nested too deeply"),
        ("x: {word: 2001-99-99}", r"not readable as YAML \(month"),
        ("a: &a [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
            f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in ("ab", "bc", "cd", "de", "ef")
        ), r"its aliases make more than 100,000 values"),
        ("x: &x [*x]", r"its aliases make .* or hold themselves"),
    ],
)  # fmt: skip
def test_what_the_system_cannot_take_is_refused_with_the_settings_name(tmp_path, yaml, line):
    (tmp_path / "x.yaml").write_text(yaml)
    with pytest.raises(UsageError, match=line) as caught:
        load_config(Whole, tmp_path / "x.yaml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_setting_of_several_types_is_named_as_one(tmp_path):
    (tmp_path / "x.yaml").write_text("corpus: {duplicates: {window: [1]}, read: {documents: many}}")
    with pytest.raises(UsageError) as caught:
        Dag.default().load_config(tmp_path / "x.yaml", ["--corpus.read.documents", "7"])
    said = "corpus.duplicates.window: input should be a valid integer or input should be 'dump', got [1]"
    assert str(caught.value) == f"{tmp_path / 'x.yaml'}: {said}"
    with pytest.raises(UsageError, match=r"corpus\.read\.documents: .*, got 'many' \(and 1 more\)$"):
        Dag.default().load_config(tmp_path / "x.yaml", [])


def test_merged_keys_may_be_said_again(tmp_path):
    (tmp_path / "x.yaml").write_text("x:\n  by_word: {a: &a [b], c: *a}\n  <<: {count: 3, rate: 2}\n  rate: 1\n")
    found = load_config(Whole, tmp_path / "x.yaml").x
    assert (found.by_word, found.count, found.rate) == ({"a": ("b",), "c": ("b",)}, 3, 1)


def test_only_settings_that_change_the_result_are_in_the_key(toy):
    assert fingerprint(toy.config().toy.numbers).keys() == {"count", "factor", "bad", "file"}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_of_the_project_is_whole(path):
    assert len(PACKAGES) == 4
    Dag.default().load_config(path)


def test_every_setting_of_the_project_says_what_it_is_and_where_it_comes_from():
    def walk(model, name):
        for field_name, field in model.model_fields.items():
            here = f"{name}.{field_name}"
            assert field.description, f"{here} has no description"
            if isinstance(field.annotation, type) and hasattr(field.annotation, "model_fields"):
                walk(field.annotation, here)
            else:
                assert field.json_schema_extra["source"], f"{here} has no source"

    for package in Dag.default().packages:
        walk(package.config, package.name)


def _renamed(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str, type[BaseModel]]]:
    """(dotted name of the section, earlier name, name now, section) of each renamed setting below ``model``."""
    for old, new in getattr(model, "renamed", {}).items():
        yield prefix, old, new, model
    for name, field in model.model_fields.items():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel) and get_origin(field.annotation) is not dict:
                yield from _renamed(kind, f"{prefix}{name}.")


RENAMED = list(_renamed(Dag.default().config_model))


@pytest.mark.parametrize(("prefix", "old", "new", "section"), RENAMED, ids=lambda value: str(value)[:60])
def test_an_earlier_name_is_an_error_that_names_the_new_one(
    prefix: str, old: str, new: str, section: type[BaseModel]
) -> None:
    assert new in section.model_fields
    assert old not in section.model_fields, "an earlier name is never read"
    line = rf"{re.escape(prefix + old)} is not a setting any more.*; its name is {new} now"
    with pytest.raises(UsageError, match=line):
        Dag.default().load_config(CONFIGS[0], [f"--{prefix}{old}", "1"])


def test_renamed_settings_are_found_in_the_tree() -> None:
    assert ("run.", "part", "partition") in [one[:3] for one in RENAMED]
