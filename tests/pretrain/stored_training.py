"""``xlmr`` with tiny sequences in a forked process: ``main([ENVIRONMENT, FOLDER, WORD, …])``."""

from __future__ import annotations

import json
import os

from launched import command


def main(words: list[str]) -> int:
    """The exit code."""
    os.environ.update(json.loads(words[0]))
    os.chdir(words[1])
    return command(words[2:])
