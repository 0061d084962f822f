"""Hooks of mkdocs: pages of the site that do not stand in docs/.

Files of the repository that a page links to, as infra/README.md, become pages, and the links to them are rewritten;
pages of reference are written from the code. So a link is right both in the repository and on the site.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from scripts import reference

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = {
    "infra/README.md": "infra.md",
    "samples/README.md": "samples.md",
    "samples/ATTRIBUTION.md": "attribution.md",
    "CHANGELOG.md": "changelog.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Pages that stand elsewhere in the repository -> their place on the site. Other files become source/<path>.md."""
LINK = re.compile(r"(\]\()([^)\s:#]+)((?:#[^)\s]*)?\))")
"""A link to a file: what stands before its path, the path, and what stands after it."""
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {".py": "python", ".yaml": "yaml", ".sh": "sh", ".toml": "toml"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand outside docs/."""
    left = [*PAGES, *(path for file in files.documentation_pages() for path in outside_links(DOCS / file.src_uri))]
    done = set[str]()
    while left:
        path = left.pop()
        if path in done:
            continue
        done.add(path)
        if path.endswith(".md"):
            left += outside_links(ROOT / path)
        files.append(File.generated(config, place(path), content=page_of(path)))
    for uri, write in reference.PAGES.items():
        files.append(File.generated(config, uri, content=write()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead the links of a page of docs/ that leave it to the pages made of the files outside."""
    del config, files
    return markdown if page.file.generated_by else rewritten(markdown, DOCS / page.file.src_uri, page.file.src_uri)


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """Name the dialog of the search for screen readers."""
    del page, config
    return output.replace('role="dialog"', 'role="dialog" aria-label="Search"')


def outside_links(page: Path) -> list[str]:
    """The files outside docs/ that a page links to, by their paths in the repository."""
    paths = [target(page, link) for _, link, _ in LINK.findall(BLOCK.sub("", page.read_text(encoding="utf-8")))]
    return [path for path in paths if not path.startswith("docs/") and (ROOT / path).is_file()]


def place(path: str) -> str:
    """Where a file of the repository stands on the site."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return PAGES.get(path, f"source/{path}.md")


def page_of(path: str) -> str:
    """A file outside docs/ as a page."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        return rewritten(text, ROOT / path, place(path))
    return f"# {path}\n\n```{LANGUAGES.get(PurePosixPath(path).suffix, 'text')}\n{text}```\n"


def rewritten(markdown: str, page: Path, uri: str) -> str:
    """Its links as they are on the site, where ``page`` stands at ``uri``."""

    def new(match: re.Match[str]) -> str:
        before, link, after = match.groups()
        return before + os.path.relpath(place(target(page, link)), PurePosixPath(uri).parent) + after

    return outside_blocks(markdown, lambda text: LINK.sub(new, text))


def outside_blocks(markdown: str, change: Callable[[str], str]) -> str:
    """``change`` the text between blocks of code."""
    blocks = [*BLOCK.findall(markdown), ""]
    return "".join(change(text) + block for text, block in zip(BLOCK.split(markdown), blocks, strict=True))


def target(page: Path, link: str) -> str:
    """The path in the repository that a link of a page leads to."""
    return Path(os.path.normpath(page.parent / link)).relative_to(ROOT).as_posix()
