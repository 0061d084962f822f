"""Addresses -> what is left of them without their language: equal for the same page in several languages.

Sites write the language at few places: as the host's first label (``de.example.org``), as a part of the path
(``/pt-BR/``), beside the file's suffix (``index.html.de``, ``index.de.html``), or as a value of the query
(``?lang=de``). The default language often has no mark at all, so the mark is removed, not replaced.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pretrain.comparable.settings import LANGUAGE_GROUP

TWO_LETTERS = (
    "aa|ab|ae|af|ak|am|an|ar|as|av|ay|az|ba|be|bg|bh|bi|bm|bn|bo|br|bs|ca|ce|ch|co|cr|cs|cu|cv|cy|da|de|dv|dz|"
    "ee|el|en|eo|es|et|eu|fa|ff|fi|fj|fo|fr|fy|ga|gd|gl|gn|gu|gv|ha|he|hi|ho|hr|ht|hu|hy|hz|ia|id|ie|ig|ii|ik|"
    "io|is|it|iu|ja|jv|ka|kg|ki|kj|kk|kl|km|kn|ko|kr|ks|ku|kv|kw|ky|la|lb|lg|li|ln|lo|lt|lu|lv|mg|mh|mi|mk|ml|"
    "mn|mr|ms|mt|my|na|nb|nd|ne|ng|nl|nn|no|nr|nv|ny|oc|oj|om|or|os|pa|pi|pl|ps|pt|qu|rm|rn|ro|ru|rw|sa|sc|sd|"
    "se|sg|si|sk|sl|sm|sn|so|sq|sr|ss|st|su|sv|sw|ta|te|tg|th|ti|tk|tl|tn|to|tr|ts|tt|tw|ty|ug|uk|ur|uz|ve|vi|"
    "vo|wa|wo|xh|yi|yo|za|zh|zu"
)
"""ISO 639-1, and ``bh``."""

THREE_LETTERS = (
    "als|arz|ast|azb|bcl|bpy|bxr|cbk|ceb|ckb|diq|dsb|dty|eml|frr|gom|gsw|hif|hsb|ilo|jbo|kab|kmr|krc|lez|lmo|"
    "lrc|mai|mhr|min|mrj|mwl|mzn|nah|nap|nds|new|nso|pam|pfl|pms|pnb|rue|sah|scn|sco|szl|tyv|vec|vep|vls|war|"
    "wuu|xal|xmf|yue"
)
"""Of ISO 639-3: those that have a Wikipedia and no code of two letters."""

CODE = rf"(?:{TWO_LETTERS}|{THREE_LETTERS})(?:[-_@](?:[A-Za-z]{{2,4}}|latin|cyrillic|[0-9]{{3}}))?"
"""A language, maybe with a region or a script."""

PLACES = (
    (rf"^([a-z]+://)(?:www\.)?{CODE}\.([^/]+\.[^/]+)", r"\1\2"),
    (rf"^([a-z]+://[^/?#]+(?:/[^/?#]*?)*?)/{CODE}(/[^?#]*|)([?#]|$)", r"\1\2\3"),
    (rf"\.{CODE}(\.[A-Za-z0-9]{{2,5}})?([?#]|$)", r"\1\2"),
    (rf"([?&])(?:lang|language|locale|hl|l|lg)={CODE}(?:&|(#|$))", r"\1\2"),
)
"""RE2 pattern -> what is left of it. One of each place at most; the first of them that an address has is its mark."""


TIDY = ((r"^([a-z]+://)www\.", r"\1"), (r"[?&]+(#|$)", r"\1"), (r"/$", ""))
"""What of an address does not count: the same page is addressed with it and without it."""


def without_language(addresses: pa.Array, patterns: Sequence[str] = ()) -> pa.Array:
    """Each address without its language [n] of strings; of one that has none, the address itself, tidied.

    ``patterns`` take the place of the usual ones: what their group ``language`` matches is removed, and an address
    that none of them matches is null.
    """
    if patterns:
        return _by_patterns(addresses, patterns)
    found = addresses
    for pattern, kept in PLACES:
        shorter = pc.replace_substring_regex(addresses, pattern, kept, max_replacements=1)
        found = pc.if_else(pc.equal(found, addresses), shorter, found)
    for pattern, kept in TIDY:
        found = pc.replace_substring_regex(found, pattern, kept, max_replacements=1)
    return found


def _by_patterns(addresses: pa.Array, patterns: Sequence[str]) -> pa.Array:
    compiled = [re.compile(pattern) for pattern in patterns]
    return pa.array([_cut_out(address, compiled) for address in addresses.to_pylist()], pa.string())


def _cut_out(address: str | None, patterns: Sequence[re.Pattern[str]]) -> str | None:
    for pattern in patterns:
        if address is not None and (found := pattern.fullmatch(address)):
            return address[: found.start(LANGUAGE_GROUP)] + address[found.end(LANGUAGE_GROUP) :]
    return None
