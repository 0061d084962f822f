"""The tools of the room: ``xlmr tokenizer segment``."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UsageError


def segment(text: str, *, model: Path, lines: int = 20) -> None:
    """Show the pieces and ids of a text, or of the first lines of a file.

    Parameters
    ----------
    text
        The text, or the path of a text file.
    model
        A folder that tokenizer.train made, or a SentencePiece model file.
    lines
        How many lines of a file to show.
    """
    from tokenizer.pieces import Tokenizer

    tokenizer = Tokenizer.load(model)
    for line in _lines(text, lines):
        ids = tokenizer.encode(line)
        print(" ".join(tokenizer.pieces(ids)))
        print(" ".join(map(str, ids.tolist())))


def _lines(text: str, most: int) -> list[str]:
    try:
        path = Path(text)
        if not path.is_file():
            return text.splitlines() or [text]
        with path.open(encoding="utf-8") as handle:
            return [line.rstrip("\n") for line, _ in zip(handle, range(most), strict=False)]
    except UnicodeDecodeError:
        raise UsageError(f"{text}: not a text in UTF-8", "give a text file, or the text itself") from None
    except (OSError, ValueError):  # longer than a path may be
        return text.splitlines()
