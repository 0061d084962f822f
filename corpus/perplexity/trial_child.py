"""The child process that tries a language's models: an order as JSON on stdin; where they are damaged it may crash.

Native code reads both files, and follows what stands in them. It may also never end, so whoever starts it sets a limit.
"""

from __future__ import annotations

import json
import math
import sys

WORDS_IN_A_LINE = 8


def main() -> None:
    """Load the files ``sentencepiece`` and ``ngrams``, and score all tokens in lines, forwards and backwards."""
    import kenlm
    import sentencepiece

    order = json.load(sys.stdin)
    processor = sentencepiece.SentencePieceProcessor(model_file=order["sentencepiece"])
    options = kenlm.Config()
    options.load_method = kenlm.LoadMethod.LAZY
    options.show_progress = False
    ngrams = kenlm.Model(order["ngrams"], options)
    tokens = [processor.id_to_piece(number) for number in range(processor.vocab_size())]
    processor.encode(tokens, out_type=bytes)
    for words in (tokens, tokens[::-1]):
        for start in range(0, len(words), WORDS_IN_A_LINE):
            score = ngrams.score(" ".join(words[start : start + WORDS_IN_A_LINE]))
            if not math.isfinite(score) or score > 0:
                raise ValueError(f"a score of {score}")


if __name__ == "__main__":
    main()
