"""Extracts the text of crawled pages: HTTP responses with HTML in any encoding.

The title becomes the first line and the rest follows, so that all after it is as with WET. How large a tree a page can
make is bounded before the tree is built (corpus/crawl/tree_size.py).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree, Node

from corpus.crawl.charset import decode_page
from corpus.crawl.http_response import GrowsError, read_response
from corpus.crawl.tree_size import TooLargeError, check_tree_size

HTML = ("text/html", "application/xhtml+xml")
PLAIN = "text/plain"
DEEPEST = 1000
"""Nested elements. Finding the main content takes time with the square of the depth."""
_BEGINNING = 2**14
_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\ufffd]")
_UNFINISHED_TAG = re.compile(r"</?\Z")
"""Where a page was cut; a parser takes it for text."""
_TAG = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,4}")
"""The tag of a language, as BCP 47 has it; pages write underscores too."""
_BINARY = 0.05
"""Share of controls and of characters that could not be decoded, over which a page's beginning is no text."""


class NotAPage(Exception):  # noqa: N818 - it is an answer, not a fault
    """The response has no text. ``reason``: a few words, the same for the same cause.

    ``lost``  it was, or may have been, a page: a crawl that loses most of its pages is named. Images, errors of a
              server and the like are not lost.
    """

    def __init__(self, reason: str, *, lost: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lost = lost


class PageText(NamedTuple):
    """A page's title and text, a line each. ``cut``: its body ended or was damaged before its coding did.

    ``declared``  the tag of the language that the page declares; '' where it does not.
    """

    text: str
    cut: bool
    declared: str = ""


def text_of_page(response: bytes, *, main_content: bool, max_bytes: int) -> PageText:
    """The title on the first line, then the text, of an HTTP response. Errors: NotAPage.

    ``max_bytes``  what the page may grow to if its server compressed it.
    """
    try:
        opened = read_response(response, max_bytes)
    except GrowsError:
        raise NotAPage("it grows over the limit of a record") from None
    if opened is None:
        raise NotAPage("not a complete HTTP response")
    if opened.status != 200:
        raise NotAPage("its status is not 200", lost=False)
    kind, body = opened.kind or _guess(opened.body), opened.body
    if kind not in HTML and kind != PLAIN:
        raise NotAPage(f"not HTML but {kind}" if kind.isascii() and len(kind) < 40 else "not HTML", lost=False)
    text = decode_page(body, opened.charset, is_html=kind != PLAIN)
    beginning = text[:_BEGINNING]
    if len(_NO_TEXT.findall(beginning)) > _BINARY * len(beginning):
        raise NotAPage("binary data, or an unknown encoding")
    if kind == PLAIN:
        return PageText(f"\n{text}", opened.cut)
    try:
        check_tree_size(text)
    except TooLargeError as error:
        raise NotAPage(str(error)) from None
    tree = HTMLTree.parse(_UNFINISHED_TAG.sub("", text) if opened.cut else text)
    if main_content and text.count("<") > DEEPEST and is_deep(tree.document, DEEPEST):
        raise NotAPage("its elements are nested too deeply")
    title = " ".join((tree.title or "").split())
    text = extract_plain_text(tree, main_content=main_content)
    return PageText(f"{title}\n{text}\n", opened.cut, _declared_language(tree))


def _declared_language(tree: HTMLTree) -> str:
    """``lang`` of the element html, or what ``<meta http-equiv="content-language">`` has if that is one tag."""
    root = tree.document
    html = root.query_selector("html") if root is not None else None
    if root is None or html is None:
        return ""
    found = html.getattr("lang") or html.getattr("xml:lang")
    if found is None:
        meta = root.query_selector('meta[http-equiv="content-language" i]')
        found = meta.getattr("content") if meta is not None else None
    found = (found or "").strip()
    return found if _TAG.fullmatch(found) else ""


def _guess(body: bytes) -> str:
    return HTML[0] if body[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<" else "something unnamed"


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
