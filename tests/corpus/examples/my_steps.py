from collections.abc import Sequence

from corpus.mine.rows import MinedRow


def no_menus(rows: Sequence[MinedRow]) -> list[MinedRow]:
    """Leaves out lines of one word, then documents of fewer than ten lines."""
    for row in rows:
        row.keep_lines([" " in line for line in row.lines])
    return [row for row in rows if len(row.lines) >= 10]
