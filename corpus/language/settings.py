"""Settings of language identification. Imports nothing heavy."""

from __future__ import annotations

from corpus.language.model_file import BUILT_IN_IDENTIFIER
from pipeline.config import Section, setting


class LanguageId(Section):
    """Which language a document is in."""

    model: str = setting(BUILT_IN_IDENTIFIER, "a fastText model file, or lid.176.ftz for the one that ships with us")
    threshold: float = setting(
        0.5, "documents with a lower score are dropped", ge=0, le=1, source="cc_net lang_threshold"
    )
