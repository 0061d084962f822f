"""Settings of deduplication. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config import Section, Seed, setting


class Duplicates(Section):
    """Exact deduplication of lines."""

    window: Annotated[int, Field(ge=1)] | Literal["dump"] | None = setting(
        None,
        "what is held against each other: a number of shards of one dump, 'dump' for each dump by itself, "
        "null for everything",
        source="cc_net hash_in_mem, 50",
    )
    keep: Literal["drop_all", "keep_first"] = setting(
        "drop_all",
        "of a line in two documents or more: drop every copy, or keep the first in the order of shards, then documents",
        source="cc_net drops all",
    )
    memory_bytes: int = setting(
        2**30,
        "memory of one worker, all in all; under 256 MiB, only half of it is for hashes, and Python comes on top",
        ge=2**16,
        affects_result=False,
    )


class NearDuplicates(Section):
    """Near-duplicates of documents, by MinHash and locality-sensitive hashing. Off unless asked for."""

    enabled: bool = setting(False, "look for documents that are nearly the same, and drop all but one of them")
    threshold: float = setting(
        0.8,
        "documents with such a share of common shingles (Jaccard, as estimated) are near-duplicates",
        gt=0,
        le=1,
        source="Lee et al. 2022, Deduplicating training data makes language models better",
    )
    permutations: int = setting(128, "hashes of one document's signature; the estimate's error is 1/√n", ge=2, le=4096)
    bands: int | None = setting(
        None, "pairs that agree in one band whole are compared; null: from the threshold, missing few", ge=1
    )
    rows: int | None = setting(None, "hashes of one band; null: from the threshold", ge=1)
    words: int = setting(5, "words of one shingle", ge=1, source="Lee et al. 2022")
    characters: int = setting(10, "characters of one shingle, in languages without spaces", ge=1)
    unspaced: tuple[str, ...] = setting(
        ("bo", "dz", "ja", "km", "lo", "my", "my_zaw", "th", "wuu", "yue", "zh", "zh-Hans", "zh-Hant"),
        "languages whose words are not parted by spaces",
    )
    keep: Literal["first", "longest"] = setting(
        "first", "which document of a cluster stays: the first in the order of shards, or the first of the longest"
    )
    seed: Seed = setting(1, "of the permutations")
    memory_bytes: int = setting(
        2**30, "memory for one part of one band, beside 8 bytes a document", ge=2**16, affects_result=False
    )

    def inert(self) -> Collection[str]:
        """Everything, unless they are looked for."""
        return () if self.enabled else type(self).model_fields.keys() - {"enabled"}

    @model_validator(mode="after")
    def _bands_fit(self) -> NearDuplicates:
        if (self.bands is None) != (self.rows is None):
            raise ValueError("bands and rows are given together or not at all")
        if self.bands is not None and self.rows is not None and self.bands * self.rows > self.permutations:
            raise ValueError(f"{self.bands} bands of {self.rows} rows need more than {self.permutations} permutations")
        return self
