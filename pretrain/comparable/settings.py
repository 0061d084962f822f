"""Settings of comparable pages. Light: nothing heavy here."""

from __future__ import annotations

import re

from pydantic import model_validator

from pipeline.config import LocalPath, Section, setting

LANGUAGE_GROUP = "language"
"""The group of a pattern that holds the language's code."""


class ComparableSettings(Section):
    """Which pages of the corpus are taken for the same page in several languages."""

    patterns: tuple[str, ...] = setting(
        (),
        "regular expressions of whole addresses, each with a group named language, instead of the usual places of a"
        " language's code: https://(?P<language>[a-z]+)\\.example\\.org/.*",
    )
    groups: tuple[LocalPath, ...] = setting(
        (),
        "files of lines 'group<TAB>address': pages that belong together by what their site says, as Wikipedia's"
        " language links or hreflang in a sitemap",
        affects_result=False,  # what is in them counts, not where they lie
    )
    most_pages: int = setting(20_000, "groups of pages that are used at most, those in most languages first", ge=2)
    ablation: bool = setting(
        False, "also train the same model without comparable pages, to compare with (stage pretrain.ablation)"
    )

    @model_validator(mode="after")
    def _patterns_are_whole(self) -> ComparableSettings:
        for pattern in self.patterns:
            try:
                named = re.compile(pattern).groupindex
            except re.error as error:
                raise ValueError(f"{pattern}: no regular expression ({error})") from None
            if LANGUAGE_GROUP not in named:
                raise ValueError(f"{pattern}: has no group (?P<{LANGUAGE_GROUP}>…)")
        return self
