"""Configurations that nobody would write: each is read, or refused in one line that names the file or the setting."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.damage import damage_bytes
from pipeline.dag import Dag
from pipeline.errors import UsageError

DEMO = Path(__file__).parents[2] / "configs/demo.yaml"
EMPTY = Path(os.devnull)

words = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["[", "{", "&a [*a]", "!!python/object:os.system", "2001-99-99", "~", "~x", "s3://b", ".inf", ".nan"]
    ),
    st.sampled_from(
        ["9" * 5000, "0x" + "f" * 5000, "[" * 3000, "a\udcff", "-1", "1e400", "null", "a,b", ",", "x" * 5000]
    ),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), words),
    lambda inside: st.one_of(st.lists(inside, max_size=3), st.dictionaries(words, inside, max_size=3)),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def dag():
    return Dag.default()


@pytest.fixture(scope="module")
def names(dag):
    """Every setting, section and a key below each, dotted."""

    def walk(model, here):
        for name, field in model.model_fields.items():
            yield f"{here}{name}"
            yield f"{here}{name}.x"
            if isinstance(field.annotation, type) and hasattr(field.annotation, "model_fields"):
                yield from walk(field.annotation, f"{here}{name}.")

    return list(walk(dag.config_model, ""))


def load(dag, path, overrides=()):
    try:
        dag.load_config(path, overrides)
    except UsageError as error:
        line = str(error)
        if "\n" in line or len(line) > 6000:
            raise AssertionError(f"not one short line: {line[:300]}") from error


@given(data=st.data())
@settings(max_examples=80)
def test_words_of_the_command_line(dag, names, data):
    dotted = data.draw(st.sampled_from(names))
    load(dag, EMPTY, [f"--{dotted}", data.draw(words)])


@given(data=st.data())
@settings(max_examples=100)
def test_values_of_any_type_in_the_file(dag, names, data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    value = data.draw(values)
    for name in reversed(data.draw(st.sampled_from(names)).split(".")):
        value = {name: value}
    path.write_text(json.dumps(value))
    load(dag, path)


@given(data=st.data())
@settings(max_examples=40)
def test_values_of_the_environment(dag, names, data):
    with pytest.MonkeyPatch.context() as patch:
        with suppress(ValueError):  # what no environment can hold: NUL
            name = data.draw(st.sampled_from(names)).replace(".", "__").upper()
            patch.setenv(f"XLMR_{name}", data.draw(words))
        load(dag, EMPTY)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=100)
def test_damaged_files(dag, tmp_path_factory, seed):
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    path.write_bytes(damage_bytes(DEMO.read_bytes(), seed))
    load(dag, path)
