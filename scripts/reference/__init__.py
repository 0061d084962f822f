"""The pages of reference that are written from the code, whenever the site is built: so they are never out of date."""

from __future__ import annotations

from collections.abc import Callable

from scripts.reference.command_line import command_line_page
from scripts.reference.errors_page import errors_page
from scripts.reference.files_page import files_page
from scripts.reference.measures_page import measures_page
from scripts.reference.python_page import python_page
from scripts.reference.stages_page import stages_page

PAGES: dict[str, Callable[[], str]] = {
    "reference/command-line.md": command_line_page,
    "reference/stages.md": stages_page,
    "reference/python.md": python_page,
    "reference/files.md": files_page,
    "reference/metrics.md": measures_page,
    "reference/errors.md": errors_page,
}
"""Place on the site -> what writes the page."""
