"""Settings of mining. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import field_validator

from pipeline.config import Section, setting
from pipeline.plug_ins import Registry

STEPS = Registry(
    "step of mining",
    {
        "deduplicate": "corpus.mine.deduplication:make_step",
        "identify": "corpus.mine.identification:make_step",
        "select": "corpus.mine.selection:make_step",
        "filter": "corpus.mine.filtering:make_filter",
        "mask": "corpus.mine.filtering:make_mask",
        "score": "corpus.mine.scoring:make_step",
        "write": "corpus.mine.writing:make_step",
    },
    "xlmr.mining_steps",
)
"""What each step is made by, from a ``StepContext``; in their order. A user's is a function of rows, or a class."""
NEEDED = ("deduplicate", "identify", "write")


class Mine(Section):
    """What is decided on, and for which dumps."""

    unit: Literal["document", "paragraph"] = setting(
        "document",
        "what has a language and a perplexity. paragraph: those of one language of a document stay together",
        source="document: cc_net; paragraph: CC100",
    )
    languages: tuple[str, ...] = setting((), "languages that are kept; none named: all")
    dumps: dict[str, list[str]] = setting(
        {},
        "dumps that a language is taken from, '*' for all other languages; a language without a line: from every dump",
        source="XLM-R §3: one dump for English, twelve for the rest",
    )
    steps: tuple[Annotated[str, STEPS], ...] = setting(
        tuple(STEPS.names),
        "the steps in their order; one of your own, my.steps:tidy, runs where it stands in the list, after deduplicate "
        "and before write. select, filter, mask and score may be left out",
    )
    keep_dropped: bool = setting(False, "write documents that are dropped, with the reason, to dropped/<shard>.arrow")

    @field_validator("dumps")
    @classmethod
    def _some(cls, table: dict[str, list[str]]) -> dict[str, list[str]]:
        for language, dumps in table.items():
            if not dumps:
                raise ValueError(f"{language} has no dump: leave the line out, or name one")
        return table

    @field_validator("steps")
    @classmethod
    def _in_order(cls, steps: tuple[str, ...]) -> tuple[str, ...]:
        order = list(STEPS.names)
        ours = [name for name in steps if name in order]
        if ours != [name for name in order if name in ours]:
            raise ValueError(f"the steps {', '.join(order)} keep this order, and each stands once")
        if lacking := [name for name in NEEDED if name not in ours]:
            raise ValueError(f"lacks {', '.join(lacking)}")
        if steps[0] != order[0] or steps[-1] != order[-1]:
            raise ValueError(f"{order[0]} is the first, {order[-1]} the last")
        return steps

    def takes(self, language: str, dump: str) -> bool:
        """Whether ``language`` is taken from ``dump``."""
        dumps = self.dumps.get(language, self.dumps.get("*"))
        return dumps is None or dump in dumps
