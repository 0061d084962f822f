"""The site in a browser, at phone and desktop size, in light and dark: readable, no error, no other host.

Every page is seen once at each size and in each of light and dark; some pages are seen in all four ways.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("material", reason="the extra docs is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the extra dev is not installed")

SIZES = {"phone": (390, 844), "desktop": (1440, 900)}
SCHEMES = {"light": "default", "dark": "slate"}
"""What Material calls them."""
STILL = "*, *::before, *::after { transition: none !important; animation: none !important }"
"""A colour that is half way to another has no contrast of its own."""
VIOLATIONS = {"resultTypes": ["violations"], "preload": False}
"""With `preload`, axe-core itself requests the style sheets, which a browser refuses to scripts of a folder's pages."""

pytestmark = pytest.mark.slow


def serious(page: Any) -> list[Any]:
    """What axe-core finds wrong in a page, and says is serious."""
    found = axe.Axe().run(page, options=VIOLATIONS).response["violations"]
    return [one for one in found if one["impact"] in {"serious", "critical"}]


SOME = ["index.html", "demo.html", "flows.html", "tutorial.html", "how-to/failures.html", "reference/command-line.html"]
"""Pages that have all there is: pictures, figures, commands, tables, links, signatures. A page takes two seconds."""


@pytest.mark.parametrize(
    ("size", "scheme", "some"),
    [("phone", "light", []), ("desktop", "dark", []), ("phone", "dark", SOME), ("desktop", "light", SOME)],
)
def test_pages_can_be_read(size: str, scheme: str, some: list[str], browser: Any, site: Path) -> None:
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    context.set_default_timeout(120_000)  # milliseconds, for a busy machine
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(f"{page.url}: {said.text}") if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
    page.on("request", lambda asked: wrong.append(asked.url) if asked.url.startswith(("http", "ws")) else None)
    every = [path for path in sorted(site.rglob("*.html")) if path.name != "404.html"]  # it is for a server's root
    pages = [site / name for name in some] or every
    for path in pages:
        page.goto(path.as_uri())
        page.add_style_tag(content=STILL)
        if page.locator("body").get_attribute("data-md-color-scheme") != SCHEMES[scheme]:
            wrong.append(f"{path.name}: is not {scheme}")
        beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if beyond > 0:
            wrong.append(f"{path.name}: {beyond} pixels wider than the screen")
        again = serious(page)
        if again:
            page.wait_for_timeout(2_000)  # milliseconds: a busy machine has not yet set the height of the sidebars
            again = serious(page)
        wrong += [f"{path.name}: {found['id']}: {found['nodes'][0]['html'][:200]}" for found in again]
    context.close()
    assert pages
    assert wrong == []


def test_a_search_finds_a_setting(browser: Any, site: Path) -> None:
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    page.get_by_role("textbox", name="Search").fill("peak_learning_rate")
    result = page.locator(".md-search-result__link").first
    result.wait_for()
    assert "settings.html" in (result.get_attribute("href") or "")
