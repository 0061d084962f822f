"""The side of a peer: texts as JSON in; (label, score) of each, and the seconds of processor time, as JSON out.

It runs in the peers' own Python, which has none of this project.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

Answers = list[tuple[str, float]]


def cld2(texts: list[str]) -> Answers:
    """Compact Language Detector 2: its best guess, however unsure."""
    import pycld2

    found: Answers = []
    for text in texts:
        try:
            _, _, best = pycld2.detect(text, bestEffort=True)
        except pycld2.error:  # a character that it does not take
            printable = "".join(character for character in text if character.isprintable())
            _, _, best = pycld2.detect(printable, bestEffort=True)
        found.append((best[0][1], best[0][2] / 100))
    return found


def heliport(texts: list[str]) -> Answers:
    """HeLI-OTS's method in Rust."""
    import heliport as package  # type: ignore[import-not-found]

    identifier = package.Identifier()
    return [(str(label), float(score)) for label, score in map(identifier.identify_with_score, texts)]


def py3langid(texts: list[str]) -> Answers:
    """langid.py's model in numpy."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-not-found]

    identifier: Any = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return [(label, float(score)) for label, score in map(identifier.classify, texts)]


PEERS: dict[str, Callable[[list[str]], Answers]] = {"CLD2": cld2, "heliport": heliport, "py3langid": py3langid}


def main() -> None:
    """Answer for all texts at once."""
    order = json.load(sys.stdin)
    peer = PEERS[order["peer"]]
    peer(order["texts"][:1])  # loads the model
    start = time.process_time()
    answers = peer(order["texts"])
    json.dump({"answers": answers, "seconds": time.process_time() - start}, sys.stdout)


if __name__ == "__main__":
    main()
