"""Settings of training an identifier. Imports nothing heavy."""

from __future__ import annotations

from typing import Any

from pipeline.config import Section, Seed, setting


class IdentifierTraining(Section):
    """How an identifier of our own is trained."""

    characters: int = setting(400_000, "text of the largest language that is learnt on", ge=1_000)
    temperature: float = setting(0.3, "the others give (size / largest)^this of it", ge=0, le=1, source="XLM-R paper")
    held_out: float = setting(0.1, "share of documents that are not trained on", ge=0, lt=1)
    excerpts_held_out: int = setting(200, "about how many excerpts of the text of each language are measured", ge=1)
    dimension: int = setting(16, "width of the vectors", ge=2, source="lid.176")
    epochs: int = setting(10, "passes over the text", ge=1)
    learning_rate: float = setting(0.5, "learning rate at the start", gt=0)
    shortest_ngram: int = setting(2, "characters", ge=1, source="lid.176")
    longest_ngram: int = setting(4, "characters", ge=1, source="lid.176")
    least_count: int = setting(10, "a word seen less often is known by its n-grams alone", ge=1)
    buckets: int = setting(1_000_000, "n-grams are hashed into so many", ge=1)
    quantise: bool = setting(True, "write a small model (.ftz)")
    features: int = setting(100_000, "words and n-grams that the small model keeps", ge=1)
    seed: Seed = setting(1, "seed of every draw")

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
