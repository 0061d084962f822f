"""A corpus of sequences small enough for a test and regular enough to be learnt in a few steps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from pretrain.data.mixing import mixing_of
from pretrain.settings import DataSettings

VOCABULARY, LENGTH = 40, 16
ALPHA = mixing_of(DataSettings())


def write_sequences(
    folder: Path, languages: dict[str, int], vocabulary: int = VOCABULARY, length: int = LENGTH
) -> Path:
    """Sequences that repeat one token, each language in a range of its own; two files where there is enough."""
    listing: dict[str, object] = {"vocab_size": vocabulary, "sequence_length": length, "dtype": "uint16"}
    listing["mask_token_id"] = vocabulary - 1
    entries: dict[str, dict[str, dict[str, object]]] = {}
    span = (vocabulary - 5) // len(languages)
    for number, (language, count) in enumerate(languages.items()):
        entries[language] = {}
        for split, amount in (("train", count), ("validation", 12)):
            start = np.random.default_rng([number, amount]).integers(0, span, amount)
            sequences = np.repeat(4 + number * span + start[:, None], length, axis=1)
            sequences[:, 0] = 0
            files = []
            for part, rows in enumerate(np.array_split(sequences.astype("<u2"), min(2, amount))):
                name = f"{language}/{split}-{part:05d}.bin"
                (folder / language).mkdir(parents=True, exist_ok=True)
                rows.tofile(folder / name)
                files.append(name)
            entries[language][split] = {"sequences": amount, "tokens": amount * (length - 1), "files": files}
    listing["languages"] = entries
    (folder / "sequences.json").write_text(json.dumps(listing))
    return folder
