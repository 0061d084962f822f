"""The child process in which fastText learns to tell languages: an order as JSON on stdin, a model as a file.

fastText 0.9.3 sets only a tenth of its table when it runs in one thread, and trains on whatever the memory held in the
rest: other models of the same text, and now and then none. In a process of its own memory can be made zero.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Train on the file ``text``, make it small if ``quantise`` says how, and write ``model``."""
    import fasttext

    fasttext.FastText.eprint = lambda *words, **options: None  # it greets on stderr
    order = json.load(sys.stdin)
    model = fasttext.train_supervised(order["text"], thread=1, verbose=0, **order["options"])
    if order["quantise"]:
        model.quantize(order["text"], retrain=True, qnorm=True, thread=1, verbose=0, **order["quantise"])
    model.save_model(order["model"])


if __name__ == "__main__":
    main()
