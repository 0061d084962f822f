"""Ways to damage a file, by a seed: keys gone, renamed or of another type; bytes flipped, cut, or put in."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

OTHERS: tuple[Any, ...] = (None, True, -1, 0, 10**30, 0.5, float("nan"), "", "../../x", "a\0b", [], [[]], {}, {"a": 1})
"""Values of every type, for the place of one that is right."""


def places_in(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each key and item of a JSON value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inside in pairs:
        yield (*here, key)
        yield from places_in(inside, (*here, key))


def damage_json(text: bytes, seed: int) -> bytes:
    """The same JSON with one key gone, renamed, or of another type; now and then bytes of it, as of any file."""
    rng = random.Random(seed)
    if rng.random() < 0.3:
        return damage_bytes(text, rng.getrandbits(32))
    value = json.loads(text)
    *way, last = rng.choice(list(places_in(value)))
    parent = value
    for key in way:
        parent = parent[key]
    kind = rng.choice(("gone", "renamed", "other", "other", "other"))
    if kind == "other":
        parent[last] = rng.choice(OTHERS)
    else:
        kept = parent.pop(last)
        if kind == "renamed" and isinstance(parent, dict):
            parent[f"{last}x"] = kept
    return json.dumps(value).encode()


def damage_bytes(data: bytes, seed: int, head: int = 512) -> bytes:
    """The same bytes with some flipped, cut or put in; every other time in the first ``head``, where counts are."""
    rng = random.Random(seed)
    changed = bytearray(data)
    end = min(head, len(data)) if rng.random() < 0.5 else len(data)
    kind = rng.choice(("flip", "flip", "ones", "zeros", "cut", "insert", "random"))
    at = rng.randrange(max(end, 1))
    if kind == "flip":
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(end)] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del changed[at:]
    elif kind == "insert":
        changed[at:at] = rng.randbytes(rng.randint(1, 9))
    else:
        width = rng.choice((1, 4, 8))
        changed[at : at + width] = {"ones": b"\xff", "zeros": b"\0"}.get(kind, rng.randbytes(1)) * width
    return bytes(changed)
