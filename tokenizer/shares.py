"""How much text of each language: XLM-R's exponential smoothing, and its reconciliation with what there is.

counts by language -> shares -> the fraction of each language's text that is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping


def smoothed_shares(counts: Mapping[str, float], alpha: float) -> dict[str, float]:
    """p_i = q_i^alpha / Σ_j q_j^alpha with q_i = n_i / N (XLM-R §3, after Lample and Conneau 2019 §3.1).

    Languages with no text get 0. alpha = 1 keeps the shares of the corpus, alpha = 0 makes them equal.
    """
    total = sum(counts.values())
    powers = {name: (count / total) ** alpha if count > 0 else 0.0 for name, count in counts.items()}
    normaliser = sum(powers.values())
    return {name: power / normaliser for name, power in powers.items()} if normaliser else dict(powers)


def drawn_fractions(
    characters: Mapping[str, int], sizes: Mapping[str, int], alpha: float, budget: int
) -> dict[str, float]:
    """The fraction of each language's text to draw, so that the drawn text has ``budget`` bytes and nothing
    twice.

    ``characters`` and ``sizes`` (bytes) are what there is. Language i gives min(n_i, c·p_i) characters, with
    the one c that fills the budget: what a language cannot give is shared among the others in the proportion
    of their p.
    """
    shares = smoothed_shares(characters, alpha)
    # A language runs dry at c = n/p; in that order, c is found on one straight piece of the sum.
    order = sorted((n for n in shares if characters[n] > 0), key=lambda n: characters[n] / shares[n])
    slope = sum(shares[n] * sizes[n] / characters[n] for n in order)
    exhausted = 0.0
    level = float("inf")
    for name in order:
        if exhausted + slope * characters[name] / shares[name] >= budget:
            level = (budget - exhausted) / slope
            break
        exhausted += sizes[name]
        slope -= shares[name] * sizes[name] / characters[name]
    return {n: min(1.0, level * shares[n] / characters[n]) if characters[n] > 0 else 0.0 for n in shares}
