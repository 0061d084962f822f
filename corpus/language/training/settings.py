"""Settings of training an identifier. Imports nothing heavy."""

from __future__ import annotations

from typing import Any

from pipeline.config import Section, Seed, setting


class IdentifierTraining(Section):
    """Training of an identifier."""

    characters: int = setting(800_000, "characters of training text of the largest language", ge=1_000)
    temperature: float = setting(0.5, "the others have (size / largest)^this of it", ge=0, le=1)
    held_out: float = setting(0.1, "share of documents that are held out", ge=0, lt=1)
    excerpts_held_out: int = setting(100, "held-out excerpts of each language, approximately", ge=1)
    dimension: int = setting(32, "dimension of the vectors", ge=2)
    epochs: int = setting(5, "passes over the text", ge=1)
    learning_rate: float = setting(0.8, "learning rate at the start", gt=0)
    shortest_ngram: int = setting(1, "characters; letters by themselves tell alphabets apart", ge=1)
    longest_ngram: int = setting(4, "characters", ge=1, source="lid.176")
    least_count: int = setting(10, "minimum count of a word; rarer ones are represented by n-grams", ge=1)
    buckets: int = setting(2_000_000, "hash buckets of n-grams", ge=1)
    quantise: bool = setting(True, "quantise the model (.ftz)")
    features: int = setting(280_000, "words and n-grams that the quantised model keeps", ge=1)
    cld2: bool = setting(True, "combine the two with CLD2 as well")
    base_rate_exponent: float = setting(
        0.2, "the prior of a language is its share of CC100 to this power; 0: all the same", ge=0, le=1
    )
    outside: float = setting(
        0.03, "prior of a language outside CC100, where one that is a thousandth of CC100 has 1", gt=0, le=1
    )
    seed: Seed = setting(1, "random seed")

    def fast_text(self) -> dict[str, Any]:
        """As fastText names them."""
        return {
            "dim": self.dimension,
            "epoch": self.epochs,
            "lr": self.learning_rate,
            "minn": self.shortest_ngram,
            "maxn": self.longest_ngram,
            "minCount": self.least_count,
            "bucket": self.buckets,
            "loss": "softmax",
            "seed": self.seed,
        }
