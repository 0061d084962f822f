"""Numbers as people read them: sizes, durations, and the cells of a table. Text in, text out; no HTML."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from typing import Any

ABSENT = "–"


def size(count: float) -> str:
    """Bytes in powers of 1,000: ``312 B``, ``25 kB``, ``11.6 MB``."""
    for exponent, unit in ((12, "TB"), (9, "GB"), (6, "MB")):
        if count >= 10**exponent:
            return f"{count / 10**exponent:,.1f} {unit}"
    return f"{count / 1000:,.0f} kB" if count >= 1000 else f"{count:,.0f} B"


def short_number(count: float) -> str:
    """A count that is too long to be read at once: ``278.3 M``. Under a million it is written out."""
    for exponent, unit in ((9, "G"), (6, "M")):
        if count >= 10**exponent:
            return f"{count / 10**exponent:,.1f} {unit}"
    return f"{count:,.0f}"


def counted(count: int, noun: str) -> str:
    """``1 warning``, ``2,000 warnings``. Of a noun whose plural has an s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def readable(value: Any) -> Any:
    """The value with six digits of each real number, those of its lists and tables too: as much as a float32 has.

    A float32 that is read as Python's float would show digits that it does not hold: 0.8999999761581421 for 0.9.
    """
    if isinstance(value, float):
        return round(value, 1) if abs(value) >= 1e5 or math.isnan(value) else float(f"{value:.6g}")
    if isinstance(value, list | tuple):
        return [readable(one) for one in value]
    return {key: readable(one) for key, one in value.items()} if isinstance(value, dict) else value


def duration(seconds: float) -> str:
    """``12 ms``, ``2.7 s``, ``3 min 05 s``, ``2 h 05 min``, ``3 d 04 h``."""
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    for long, short, ratio, unit in (("min", "s", 60, 1), ("h", "min", 60, 60), ("d", "h", 24, 3600)):
        whole, rest = divmod(round(seconds / unit), ratio)
        if whole < {"min": 60, "h": 24, "d": math.inf}[long]:
            return f"{whole} {long} {rest:02} {short}"
    raise AssertionError("unreachable: days have no end")


def column(values: Sequence[Any]) -> list[str]:
    """The cells of one column. Real numbers get equally many decimals, so that their points stand in line.

    That is so where most values are real and none is an integer: otherwise each value is written for itself. None
    from 1,000, one from 100, two from 1 and three under 1, by the largest; what is not zero and would read as zero is
    written ``< 0.01``.
    """
    real = [v for v in values if isinstance(v, float)]
    if 2 * len(real) <= len([v for v in values if v is not None]) or any(isinstance(v, int) for v in values):
        return [cell(v) for v in values]
    largest = max((abs(v) for v in real if math.isfinite(v)), default=0)
    decimals = 0 if largest >= 1000 else 1 if largest >= 100 else 2 if largest >= 1 or largest == 0 else 3
    return [_decimal(v, decimals) if isinstance(v, float) else cell(v) for v in values]


def _decimal(value: float, decimals: int) -> str:
    smallest = 10.0**-decimals
    if value and abs(value) < smallest / 2:
        return f"{'> −' if value < 0 else '< '}{smallest:.{decimals}f}"
    return f"{value:,.{decimals}f}".replace("-", "−")


def cell(value: Any) -> str:
    """One value among others of another kind: thousands separators, three digits of a real number, yes, no, –."""
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if isinstance(value, float):
        return (f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}").replace("-", "−")
    return str(value)


def shown(value: Any) -> str:
    """The value in words that fit into a line."""
    words = reprlib.Repr()
    words.maxstring = words.maxother = 80
    try:
        return words.repr(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"
