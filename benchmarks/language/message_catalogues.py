"""Messages of programs in many languages: gettext's catalogues in packages of Debian, and names of Unicode's CLDR."""

from __future__ import annotations

import gettext
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

CLDR_LOCALE = re.compile(r"([a-z]{2,3})(-[A-Z][a-z]{3})?")
"""A language, and a script where CLDR has several; not a country."""

_OTHER_NAMES = {
    "nb": "no", "nn": "no", "kmr": "ku", "fil": "tl", "nso": "ns", "arz": "ar", "ary": "ar", "apc": "ar", "yue": "zh",
    "iw": "he", "in": "id", "ku_IQ": "ckb", "kok": "gom", "sma": "", "cakxx": "cak", "als": "gsw", "kas": "ks",
}  # fmt: skip
_OTHER_SCRIPTS = {
    "az-Cyrl": "az", "az-Latn": "az", "bs-Cyrl": "bs", "bs-Latn": "bs", "uz-Cyrl": "uz", "uz-Latn": "uz",
    "sr-Cyrl": "sr", "sr-Latn": "sr", "hi-Latn": "hi_rom", "kk-Arab": "kk", "sd-Deva": "sd", "zh-Hans": "zh",
    "zh-Hant": "zh", "pa-Guru": "pa", "yue-Hans": "zh", "yue-Hant": "zh", "sat-Olck": "sat", "shi-Tfng": "shi",
}  # fmt: skip
_MODIFIERS = ("latin", "latn", "cyrillic", "valencia", "ijekavian", "ijekavianlatin", "abegede", "euro")


def code_of(locale: str) -> str:
    """Our code of a locale's name: ``pt_BR`` is pt, ``nb-no`` is no; '' for one of a spelling that nobody writes."""
    base, _, modifier = locale.partition("@")
    if modifier and (modifier.lower() not in _MODIFIERS or base == "be"):
        return ""
    if base in _OTHER_NAMES:
        return _OTHER_NAMES[base]
    language = re.split("[-_.]", base)[0]
    return _OTHER_NAMES.get(language, language)


def catalogues(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """(our code, messages) of a package's catalogues, by code; messages that were left in English are left out."""
    found: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(folder.rglob("*.mo")):
        inside = file.parent.name == "LC_MESSAGES"
        # WordPress has files <part>-<locale>.mo beside each other.
        locale = file.parent.parent.name if inside else re.sub("^[a-z-]*-(?=[a-z]{2,3}[._])", "", file.name)[:-3]
        found[code_of(locale)].append(file)
    for code in sorted(found):
        if code:
            yield code, [message for file in found[code] for message in messages(file)]


def messages(file: Path) -> list[str]:
    """The translations of one catalogue that differ from what they translate, plural forms too."""
    with file.open("rb") as handle:
        try:
            catalogue = gettext.GNUTranslations(handle)._catalog  # type: ignore[attr-defined]
        except (ValueError, OSError, IndexError):  # IndexError: a rule of plurals that is empty
            return []
    made = []
    for key, value in catalogue.items():
        original = key[0] if isinstance(key, tuple) else key
        if original and isinstance(value, str) and value != str(original).split("\x04")[-1]:
            made.append(value)
    return made


def cldr_names(folders: Mapping[str, Path]) -> Iterator[tuple[str, list[str]]]:
    """(our code, names) of each locale of CLDR: languages, countries, months, days, words for time."""
    roots = [folders["cldr-localenames-full"] / "package/main", folders["cldr-dates-full"] / "package/main"]
    english = set(_names(roots, "en"))
    for locale in sorted(path.name for path in roots[0].iterdir()):
        match = CLDR_LOCALE.fullmatch(locale)
        if match:
            code = _OTHER_SCRIPTS.get(locale, "") if match[2] else code_of(locale)
            names = _names(roots, locale)
            if code:
                yield code, names if code == "en" else [name for name in names if name not in english]


def _names(roots: list[Path], locale: str) -> list[str]:
    found: list[str] = []
    for name in ("languages.json", "territories.json", "ca-gregorian.json", "dateFields.json"):
        for root in roots:
            file = root / locale / name
            if file.exists():
                found += _texts(json.loads(file.read_text(encoding="utf-8"))["main"])
    return list(dict.fromkeys(found))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield re.sub(r"\{\d\}", " ", value)
    elif isinstance(value, dict):
        for key, inside in value.items():
            if not key.startswith("_") and "Format" not in key and key not in ("identity", "narrow", "eras"):
                yield from _texts(inside)
