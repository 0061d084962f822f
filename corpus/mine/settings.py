"""Settings of mining. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from pipeline.config import Section, setting


class Mine(Section):
    """What is decided on, and for which dumps."""

    unit: Literal["document", "paragraph"] = setting(
        "document",
        "what has a language and a perplexity. paragraph: those of one language of a document stay together",
        source="document: cc_net; paragraph: CC100",
    )
    languages: tuple[str, ...] = setting((), "languages that are kept; none named: all that the identifier says")
    dumps: dict[str, list[str]] = setting(
        {},
        "dumps that a language is taken from, '*' for all other languages; a language without a line: from every dump",
        source="XLM-R §3: one dump for English, twelve for the rest",
    )
    keep_dropped: bool = setting(False, "write documents that are dropped, with the reason, to dropped/<shard>.arrow")

    @field_validator("dumps")
    @classmethod
    def _some(cls, table: dict[str, list[str]]) -> dict[str, list[str]]:
        for language, dumps in table.items():
            if not dumps:
                raise ValueError(f"{language} has no dump: leave the line out, or name one")
        return table

    def takes(self, language: str, dump: str) -> bool:
        """Whether ``language`` is taken from ``dump``."""
        dumps = self.dumps.get(language, self.dumps.get("*"))
        return dumps is None or dump in dumps
