"""What stages and shards count: names to numbers, or to further counts (``{"dropped": {"too short": 3}}``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Counts = dict[str, Any]


def sum_counts(counts: Mapping[str, Counts] | list[Counts]) -> Counts:
    """Add counts up, name by name, nested ones too. Names come out sorted."""
    total: Counts = {}
    for one in counts.values() if isinstance(counts, Mapping) else counts:
        _add(total, one)
    return _sorted(total)


def _add(total: Counts, more: Counts) -> None:
    for name, value in more.items():
        if isinstance(value, Mapping):
            _add(total.setdefault(name, {}), dict(value))
        else:
            total[name] = total.get(name, 0) + value


def _sorted(counts: Counts) -> Counts:
    return {k: _sorted(v) if isinstance(v, dict) else v for k, v in sorted(counts.items())}
