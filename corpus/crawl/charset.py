"""Detects a page's encoding, whatever its labels say, and decodes it.

Candidates, in this order; the first that decodes without an error is taken:

1. a byte order mark; UTF-16 that has none but zero bytes in every second place; the escapes of ISO-2022-JP
2. UTF-8, if there are characters beyond ASCII: text of another encoding is hardly ever valid UTF-8
3. the charset of the HTTP header, 4. that of ``<meta>`` or ``<?xml``, 5. what detection says

A header of windows-1252 comes after ``<meta>``: servers say it of all their files, and every page decodes in it.

One bad place in twenty good characters beyond ASCII (in four for UTF-8), or a last character that is cut, is no error:
it becomes U+FFFD. Where every candidate has more, the one with the fewest is taken. Labels mean what the WHATWG
encoding standard says: iso-8859-1 is windows-1252, gb2312 is gb18030.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

_META = re.compile(
    rb"""<meta\b[^>]{0,1000}?\bcharset\s*=\s*["']?\s*([A-Za-z0-9_:.-]+)|<\?xml\b[^>]{0,200}?\bencoding\s*=\s*["']([A-Za-z0-9_:.-]+)""",
    re.IGNORECASE,
)
_META_BYTES = 4096
_SAMPLE = 2**16
_BAD = "\N{REPLACEMENT CHARACTER}"
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f\ufffd]+")
_GOOD_TO_BAD = 20
"""Good characters beyond ASCII to one bad place, from which on a text counts as being in an encoding."""
_GOOD_TO_BAD_IN_UTF8 = 4
"""The same for UTF-8. Text of other encodings has 0.6 at the most (EUC-JP): nearly all of its bytes are bad places."""
_WEAK = "cp1252"
_ZERO_BYTES = 0.2
_ZERO_BYTES_NAMED = 0.01
"""Share of zero bytes from which on text may be UTF-16, and the same if the header or the first ``<`` says so."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDER = {
    # Python's codecs that hold all of what browsers read under the name.
    "gbk": "gb18030", "big5": "big5hkscs", "euc_kr": "cp949", "shift_jis": "cp932", "iso2022_jp": "iso2022_jp_ext",
    "iso8859-11": "cp874",
}  # fmt: skip
_UNMAPPED = {"x-mac-cyrillic": "mac_cyrillic", "x-mac-ukrainian": "mac_cyrillic", "hz-gb-2312": "hz"}


def decode_page(body: bytes, header_charset: str, *, is_html: bool) -> str:
    """The page as text, without a byte order mark. ``header_charset`` is what HTTP says, or empty."""
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    if body.isascii() and b"\x1b" not in body and b"~{" not in body and b"\0" not in body:
        return body.decode("ascii")
    if (unmarked := _unmarked_encoding(body, header_charset)) is not None:
        return body.decode(unmarked, "replace")
    if not body.isascii() and (text := _as_utf8(body)) is not None:
        return text
    fewest: tuple[int, str] | None = None
    for encoding in _candidates(body, header_charset, is_html):
        text = body.decode(encoding, "replace")
        errors = text.count(_BAD)
        if not errors or _is_nearly_valid(text):
            return text
        if fewest is None or errors < fewest[0]:
            fewest = errors, text
    return fewest[1] if fewest is not None else body.decode(_WEAK, "replace")


def python_codec(label: str) -> str:
    """The codec for a label of the web, as ``x-sjis``; empty for an unknown label."""
    name = label.strip().lower()
    if not name.isascii():
        return ""
    found = _UNMAPPED.get(name) or map_encoding_to_html5(name, fallback_utf8=False)
    if not found:
        try:
            found = map_encoding_to_html5(codecs.lookup(name).name, fallback_utf8=False)
        except (LookupError, ValueError):
            return ""
    return _WIDER.get(found, found) if found else ""


def _as_utf8(body: bytes) -> str | None:
    """The text, if it is UTF-8 or nearly."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        pass
    text = body.decode("utf-8", "replace")
    return text if _is_nearly_valid(text, _GOOD_TO_BAD_IN_UTF8) else None


def _is_nearly_valid(text: str, good_to_bad: int = _GOOD_TO_BAD) -> bool:
    """Whether few places could not be decoded, beside the characters beyond ASCII that could."""
    bad = text.count(_BAD)
    good = sum(map(len, _BEYOND_ASCII.findall(text)))
    return good >= good_to_bad * bad or (bad == 1 and text.endswith(_BAD) and good > 0)


def _unmarked_encoding(body: bytes, header_charset: str) -> str | None:
    """Encodings whose bytes are valid UTF-8 too: ISO-2022-JP by its escapes, UTF-16 by every second byte's zero."""
    if b"\x1b$" in body and body.isascii():
        try:
            body.decode("iso2022_jp_ext")
        except UnicodeDecodeError:
            return None
        return "iso2022_jp_ext"
    sample = body[:_SAMPLE]
    named = header_charset.lower().startswith("utf-16") or sample.startswith((b"<\0", b"\0<"))
    if sample.count(0) < len(sample) * (_ZERO_BYTES_NAMED if named else _ZERO_BYTES):
        return None
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    return "utf-16-le" if odd > 4 * even else "utf-16-be" if even > 4 * odd else None


def _candidates(body: bytes, header_charset: str, is_html: bool) -> Iterator[str]:
    seen: set[str] = set()
    for encoding in _labels(body, header_charset, is_html):
        # A page that could name UTF-16 in ASCII is not in it.
        if encoding and not encoding.startswith("utf-16") and encoding not in seen:
            seen.add(encoding)
            yield encoding


def _labels(body: bytes, header_charset: str, is_html: bool) -> Iterator[str]:
    header = python_codec(header_charset) if header_charset else ""
    if header != _WEAK:
        yield header
    if is_html and (meta := _META.search(body, 0, _META_BYTES)):
        yield python_codec((meta[1] or meta[2]).decode("ascii"))
    if header == _WEAK:
        yield header
    yield python_codec(detect_encoding(body) or "")
    yield _WEAK
