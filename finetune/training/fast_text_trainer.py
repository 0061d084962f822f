"""The child process in which the baseline fastText learns: an order as JSON on stdin, a model as a file.

In one thread fastText 0.9.3 reads memory that it has not written; in a process of its own that memory can be made zero.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Train on the file ``text`` and write ``model``."""
    import fasttext

    fasttext.FastText.eprint = lambda *words, **options: None  # it greets on stderr
    order = json.load(sys.stdin)
    fasttext.train_supervised(order["text"], thread=1, verbose=0, **order["options"]).save_model(order["model"])


if __name__ == "__main__":
    main()
