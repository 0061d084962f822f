"""What stages and shards count: names to numbers, or to further counts (``{"dropped": {"too short": 3}}``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Counts = dict[str, Any]


def sum_counts(parts: Mapping[str, Counts] | list[Counts]) -> Counts:
    """Add counts up, name by name, nested ones too. Names come out sorted."""
    total: Counts = {}
    for part in parts.values() if isinstance(parts, Mapping) else parts:
        _add(total, part)
    return _sorted(total)


def _add(total: Counts, part: Counts) -> None:
    for name, value in part.items():
        if isinstance(value, Mapping):
            _add(total.setdefault(name, {}), dict(value))
        else:
            total[name] = total.get(name, 0) + value


def _sorted(counts: Counts) -> Counts:
    return {k: _sorted(v) if isinstance(v, dict) else v for k, v in sorted(counts.items())}
