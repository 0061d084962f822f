"""What can be said of the filters' lists while a run is planned. Lists of hosts are large: they are corpus.mine's."""

from __future__ import annotations

from corpus.filters.settings import Filters
from pipeline.errors import XlmrError


def check_lists(filters: Filters) -> None:
    """Errors: XlmrError naming file and line of what is no regular expression, where these are asked for.

    Files that are missing are passed over: the plan names the setting.
    """
    if "url_lists" not in filters.rules_in_use():
        return
    from corpus.filters.url_patterns import compile_patterns
    from pipeline.storage import expand

    for pattern in filters.url_lists.patterns:
        try:
            expand(pattern)
        except XlmrError:
            continue
        compile_patterns([pattern])
