"""Settings of the corpus as files. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pipeline.config import Section, setting


class Regroup(Section):
    """The files of the corpus."""

    file_bytes: int = setting(
        512 * 2**20,
        "text of one Arrow file, in bytes of UTF-8 before compression",
        ge=2**10,
        source="our choice; cc_net 4 GB",
    )
    batch_bytes: int = setting(
        4 * 2**20,
        "text of one record batch, in bytes; regrouping holds one of each bucket in memory",
        ge=2**10,
        source="our choice",
    )
    compression: Literal["zstd", "lz4"] = setting("zstd", "compression of the Arrow buffers")
