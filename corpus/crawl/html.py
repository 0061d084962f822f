"""Text out of pages that were crawled as they are: HTTP responses with HTML, its encoding found out.

The title becomes the first line and the rest follows, so that all after it is as with WET.
"""

from __future__ import annotations

import codecs

from fastwarc.warc import WarcRecord
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5
from resiliparse.parse.html import HTMLTree, Node

HTML = ("text/html", "application/xhtml+xml")
PLAIN = "text/plain"
DEEPEST = 1000
"""Nested elements. Finding the main content takes time with the square of the depth."""
_FEW_TAGS = 2000


class NotAPage(Exception):  # noqa: N818 - it is an answer, not a fault
    """There is no text to be had. ``reason`` in few words, the same for the same cause."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def text_of_page(response: bytes, *, main_content: bool, max_bytes: int) -> str:
    """The title on the first line, then the text, of an HTTP response. Errors: NotAPage.

    ``max_bytes``  what the page may grow to if its server compressed it.
    """
    kind, charset, body = _open_response(response, max_bytes)
    if kind not in HTML and kind != PLAIN:
        raise NotAPage(f"not HTML but {kind}" if kind.isascii() and len(kind) < 40 else "not HTML")
    encoding = _known(charset) or detect_encoding(body, from_html_meta=kind != PLAIN) or "utf-8"
    text = bytes_to_str(body, encoding, errors="replace")
    if kind == PLAIN:
        return f"\n{text}"
    tree = HTMLTree.parse(text)
    if main_content and body.count(b"<") > _FEW_TAGS and is_deep(tree.document, DEEPEST):
        raise NotAPage("its elements are nested too deeply")
    title = " ".join((tree.title or "").split())
    return f"{title}\n{extract_plain_text(tree, main_content=main_content)}\n"


def _open_response(response: bytes, max_bytes: int) -> tuple[str, str, bytes]:
    """Content type, charset (as the server said it) and the body, decompressed."""
    record = WarcRecord()
    record.init_headers(content_length=len(response))
    record.set_bytes_content(response)
    record.is_http = True
    try:
        record.parse_http(auto_decode="all", quirks_mode=True)
        status = record.http_headers.status_code
        if status is None:
            raise NotAPage("not a whole HTTP response")
        if status != 200:
            raise NotAPage("its status is not 200")
        kind = (record.http_content_type or "").lower()
        charset = record.http_charset or ""
        body = record.reader.read(max_bytes + 1)
    except OSError:
        raise NotAPage("not a whole HTTP response") from None
    if len(body) > max_bytes:
        raise NotAPage("it grows over the limit of a record")
    return kind or _guess(body), charset, body


def _guess(body: bytes) -> str:
    return HTML[0] if body[:1024].lstrip()[:1] == b"<" else "something unnamed"


def _known(charset: str) -> str:
    try:
        return (map_encoding_to_html5(codecs.lookup(charset).name) or "") if charset else ""
    except LookupError:
        return ""


def is_deep(root: Node | None, limit: int) -> bool:
    """Whether elements are nested deeper than ``limit``. Walks without recursion."""
    node, depth = root, 0
    while node is not None:
        if node.first_child is not None:
            node, depth = node.first_child, depth + 1
            if depth > limit:
                return True
            continue
        while node is not None and node.next is None:
            node, depth = node.parent, depth - 1
            if depth <= 0:
                return False
        node = node.next if node is not None else None
    return False
