"""Settings of one section that make sense only beside those of another, checked when the configuration is read.

What is found here would otherwise show after days: every document dropped, or a setting without effect. Light.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import PurePath

from corpus.crawl.settings import Fetch
from corpus.filters.settings import Filters
from corpus.language.labels import LABEL, load_table
from corpus.language.model_file import BUILT_IN_OWN_MODEL, own_model_path
from corpus.language.settings import AS_THEY_ARE, CC100, FASTTEXT, LanguageId
from corpus.mine.settings import Mine
from pipeline.storage import read_json

OTHERS = "*"
LID_176 = ("lid.176.ftz", "lid.176.bin")
RENAMED = ("als", "arz", "nn", "wuu", "yue")
"""Labels of lid.176 that have other codes in CC100's table: the first has gsw, which it does not say itself."""
SPLIT = {"zh": ("zh-Hans", "zh-Hant"), "my": ("my", "my_zaw")} | {
    code: (code, f"{code}_rom") for code in ("bn", "hi", "ta", "te", "ur")
}
"""What a code becomes by the splitters."""


def check_dumps(fetch: Fetch, mine: Mine) -> None:
    """Every dump that a language is taken from has to be read. Errors: ValueError."""
    wanted = {dump for dumps in mine.dumps.values() for dump in dumps}
    fix = "write mine.dumps: {} to take every language from all that is read"
    if wanted and not fetch.dumps:
        raise ValueError(f"mine.dumps names dumps, but fetch.dumps none: files of fetch.crawl are of no dump; {fix}")
    lost = sorted(wanted.difference(fetch.dumps))
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        raise ValueError(
            f"mine.dumps names {', '.join(lost[:3])}{more}, not in fetch.dumps; name the same there, or {fix}"
        )


def check_languages(language_id: LanguageId, mine: Mine, filters: Filters) -> None:
    """Languages are named by codes that the identifier may say, as far as that is known. Errors: ValueError."""
    named = list(_named_languages(language_id, mine, filters))
    known = known_codes(language_id) if named else None
    for setting_name, code in named:
        if known is None and not LABEL.fullmatch(code):
            raise ValueError(f"{setting_name}: {code!r} cannot be a language's code")
        if known is not None and code not in known:
            raise ValueError(f"{setting_name}: the identifier has no language {code!r}; {_hint(code, known)}")


def _named_languages(language_id: LanguageId, mine: Mine, filters: Filters) -> Iterator[tuple[str, str]]:
    yield from (("language_id.thresholds", code) for code in language_id.thresholds)
    yield from (("mine.languages", code) for code in mine.languages)
    yield from (("mine.dumps", code) for code in mine.dumps if code != OTHERS)
    yield from (("filters.languages", code) for code in filters.languages)


def known_codes(settings: LanguageId) -> set[str] | None:
    """All codes that an identifier with these settings may give a text; None where only its model file knows."""
    if settings.identifier != FASTTEXT:
        return None
    if PurePath(settings.model).name not in LID_176 or settings.own_model not in ("", BUILT_IN_OWN_MODEL):
        return None
    table = read_json(own_model_path(BUILT_IN_OWN_MODEL).with_suffix(".json"))["combination"]
    if settings.own_model and settings.labels == CC100:
        return _split(set(table["codes"]))
    if settings.labels == CC100:
        return _split(set(table["voters"][0]["labels"]))
    if settings.labels == AS_THEY_ARE and not settings.own_model:
        return {*table["voters"][0]["labels"], *RENAMED} - {"gsw"}
    return None


def _hint(code: str, known: set[str]) -> str:
    """What to write instead of a code that is not known."""
    if code in (known_codes(LanguageId(labels=CC100, own_model=BUILT_IN_OWN_MODEL)) or ()):
        return f"language_id: {{labels: {CC100}, own_model: {BUILT_IN_OWN_MODEL}}} has it"
    named = load_table(CC100).get(code)  # swe is sv, not sw
    nearest = named if named in known else _nearest(code, known)
    return f"did you mean {nearest}?" if nearest else "give the code that xlmr corpus identify prints for a text in it"


def _split(codes: set[str]) -> set[str]:
    return {finer for code in codes for finer in SPLIT.get(code, (code,))}


def _nearest(code: str, known: set[str]) -> str | None:
    """The code that was meant, likely: the same but for case and dashes, or its beginning; otherwise one like it."""
    plain = code.lower().replace("_", "-")
    begun = sorted(name for name in known if name.lower().replace("_", "-").startswith(plain))
    return next(iter(begun or difflib.get_close_matches(code, known, 1, 0.5)), None)
