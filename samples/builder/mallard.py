"""Turns GNOME's Mallard pages into plain HTML, as help.gnome.org does: a link gets the title it points to."""

import html
from pathlib import Path
from xml.etree import ElementTree

_BLOCKS = {
    "page": "body", "section": "section", "p": "p", "list": "ul", "steps": "ol", "item": "li", "note": "div",
    "screen": "pre", "code": "code", "table": "table", "tr": "tr", "td": "td", "th": "th", "terms": "dl",
}  # fmt: skip
_HIDDEN = {"info", "media", "include", "comment"}


def titles(book: Path) -> dict[str, str]:
    """The title of each page of a book, by page id."""
    found: dict[str, str] = {}
    for file in sorted(book.glob("*.page")):
        title = _title(_parse(file))
        found[file.stem] = " ".join("".join(title.itertext()).split()) if title is not None else file.stem
    return found


def to_html(file: Path, page_titles: dict[str, str]) -> str:
    """A page as HTML; `page_titles` gives the text of links that have none."""
    title = html.escape(page_titles[file.stem])
    return f"<html><head><title>{title}</title></head>{_element(_parse(file), page_titles, 1)}</html>"


def _parse(file: Path) -> ElementTree.Element:
    return ElementTree.fromstring(file.read_bytes())


def _name(element: ElementTree.Element) -> str:
    return element.tag.rsplit("}", 1)[-1] if isinstance(element.tag, str) else "comment"


def _title(page: ElementTree.Element) -> ElementTree.Element | None:
    return next((child for child in page if _name(child) == "title"), None)


def _element(element: ElementTree.Element, page_titles: dict[str, str], depth: int) -> str:
    name = _name(element)
    if name in _HIDDEN:
        return ""
    inside = html.escape(element.text or "")
    for child in element:
        inside += _element(child, page_titles, depth + (name == "section")) + html.escape(child.tail or "")
    if name == "link" and not inside.strip():
        inside = html.escape(page_titles.get(element.get("xref", "").split("#")[0], ""))
    tag = f"h{depth}" if name == "title" else _BLOCKS.get(name, "span")
    return f"<{tag}>{inside}</{tag}>"
