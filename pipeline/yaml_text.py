"""YAML as configurations use it: text in, plain values out, and one line for whatever is wrong with the text."""

from __future__ import annotations

import re
from typing import Any

import yaml

MOST_VALUES = 100_000
"""Values that one text may stand for, each alias counted with all that it repeats. The largest of ours has 200."""
_TAG = "tag:yaml.org,2002:"
_NARROWER = {f"{_TAG}int": r"(?!.*:)", f"{_TAG}float": r"(?!.*:)", f"{_TAG}bool": r"(?=[tTfF])"}
"""What a word must be like besides, to be taken for a number or for true or false."""


class YamlError(ValueError):
    """What is wrong with a YAML text, in one line."""


class _Loader(yaml.SafeLoader):
    """YAML whose words are what people mean by them: 16:32 is a choice of shards, not 992; no is Norwegian.

    A setting that is true or false takes yes, no, on and off all the same. A key that stands twice is an error, where
    YAML libraries silently take the last.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != f"{_TAG}merge":
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise YamlError(f"the key {key.value[:80]!r} stands twice, the second time in line {line}")
                seen.add(key.value)
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, re.compile(f"{_NARROWER.get(tag, '')}(?:{p.pattern})", p.flags)) for tag, p in found]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(text: str) -> Any:
    """The value of a YAML text. Errors: YamlError, in one line."""
    try:
        value = yaml.load(text, _Loader)
    except YamlError:
        raise
    except yaml.MarkedYAMLError as error:
        raise YamlError(_where_and_what(error)) from None
    except yaml.YAMLError as error:
        raise YamlError(" ".join(str(error).split())) from None
    except RecursionError:
        raise YamlError("it is nested too deeply") from None
    except (ValueError, OverflowError, TypeError) as error:  # a date of month 13, a number of 5,000 digits
        raise YamlError(str(error)) from None
    if _values_in(value, {}) > MOST_VALUES:
        raise YamlError(f"its aliases make more than {MOST_VALUES:,} values of it, or hold themselves")
    return value


def _where_and_what(error: yaml.MarkedYAMLError) -> str:
    """The fault and its line; no part of the text, which may hold a secret."""
    problem = re.sub(r"'[^'<]{2,}'", "'…'", error.problem or error.context or "not YAML")
    return f"{problem}, in line {error.problem_mark.line + 1}" if error.problem_mark else problem


def _values_in(value: Any, known: dict[int, float]) -> float:
    """How many values it is, when every alias is written out; infinite where one holds itself."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = float("inf")  # until it is counted: whoever comes here again is inside it
        inside = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_values_in(item, known) for item in inside)
    return known[id(value)]
