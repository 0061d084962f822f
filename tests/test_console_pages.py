"""The tutorial and the how-to pages: every command in a block ``console`` runs, and prints what the page shows.

``$ `` begins a command. ``…`` in a line stands for any text, a line of ``…`` alone for any lines. After the comment
``<!-- figures vary -->`` words with a digit stand for any word. ``<!-- file: NAME -->`` before another block writes it.
Comments are not shown to readers. The runs are those of the pages with less data: the environment says how much less.
"""

from __future__ import annotations

import lzma
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [DOCS / "tutorial.md", *sorted((DOCS / "how-to").glob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- (figures vary|file: (\S+)) -->\n)?^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)

SMALL_TRAINING = {
    "PRETRAIN__TRAIN__STEPS": "4",
    "PRETRAIN__TRAIN__GLOBAL_BATCH": "2",
    "PRETRAIN__TRAIN__MICRO_BATCH": "2",
    "PRETRAIN__TRAIN__WARMUP_STEPS": "1",
    "PRETRAIN__TRAIN__EVALUATE_EVERY": "4",
    "PRETRAIN__DATA__VALIDATION_SEQUENCES": "1",
    "FINETUNE__RECIPE__EPOCHS": "1",
    "FINETUNE__PROTOCOL__SEEDS": "[1]",
    "FINETUNE__PROTOCOL__INITIALISATIONS": "[pretrained, random]",
    "RUN__WORKERS": "1",  # a second one imports PyTorch for longer than it trains
}
SMALL_DEMO = {
    "CORPUS__FETCH__CRAWL": "samples/crawl/shard-00000.warc.wet.gz",
    "CORPUS__LANGUAGE_MODELS__TEXT": "samples/clean/[de][en].txt.xz",  # de, en
    "CORPUS__LANGUAGE_MODELS__VOCAB_SIZE": "500",
    "TOKENIZER__SAMPLE__BYTES": "300000",
    "TOKENIZER__TRAIN__VOCAB_SIZE": "2000",
    "TOKENIZER__ENCODE__LANGUAGES": "[de, en]",
    "PRETRAIN__COMPARABLE__ABLATION": "false",
    "FINETUNE__RECIPE__LONGEST": "16",  # not on the other pages: their settings have to fit each other
}


@dataclass(frozen=True)
class Preparation:
    """What a page needs beside its own files: settings that make its runs small, and what writes its data."""

    settings: dict[str, str] = field(default_factory=dict)
    write: Callable[[Path], None] = lambda folder: None
    after: str = ""
    """The page whose commands have been run before, in the same folder."""
    bucket: str = ""
    """A bucket of an S3 server on loopback."""


def link_repository(folder: Path) -> None:
    """The commands run in the root of the repository."""
    for name in ("configs", "samples"):
        (folder / name).symlink_to(ROOT / name)


def write_own_files(folder: Path) -> None:
    """``crawl/``: two WET files; ``clean/``: text in two languages; ``labelled/``: pages and what they are about."""
    for name in ("crawl", "clean", "labelled"):
        (folder / name).mkdir()
    for number in range(2):
        name = f"shard-0000{number}.warc.wet.gz"
        shutil.copy(ROOT / "samples" / "crawl" / name, folder / "crawl" / name)
    for language in ("de", "fr"):
        text = lzma.decompress((ROOT / "samples" / "clean" / f"{language}.txt.xz").read_bytes())
        (folder / "clean" / f"{language}.txt").write_bytes(text)
    rows = [
        (f"{word} {n}", label) for n in range(12) for word, label in (("Zelle Summe", "table"), ("Kreis", "drawing"))
    ]
    for split, some in (("train", rows[:16]), ("dev", rows[16:20]), ("test", rows[20:])):
        lines = ["text\tlabel", *("\t".join(row) for row in some)]
        (folder / "labelled" / f"{split}.de.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


PREPARATIONS = {
    "tutorial.md": Preparation(SMALL_DEMO | SMALL_TRAINING, link_repository),
    "own-languages.md": Preparation(SMALL_TRAINING, write_own_files),
    "encoders.md": Preparation(SMALL_TRAINING, after="own-languages.md"),
    "other-corpora.md": Preparation(),
    "object-storage.md": Preparation(SMALL_DEMO, link_repository, bucket="bucket"),
}


@dataclass(frozen=True)
class Command:
    """One command of a page, what it prints there, and whether figures may differ."""

    words: str
    printed: str
    varies: bool


def steps_of(page: Path) -> Iterator[Command | tuple[str, str]]:
    """The commands and files (name, content) of a page, in their order."""
    for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
        comment, name, language, text = match.groups()
        if name:
            yield name, text
        elif language == "console":
            for one in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                words, _, printed = one.partition("\n")
                yield Command(words, printed.strip("\n"), comment == "figures vary")


def pattern_of(command: Command) -> str:
    """The regular expression of what a command prints."""
    lines = []
    for line in command.printed.splitlines():
        if line.strip() == "…":
            lines.append(r"(?:.*\n)*?")
            continue
        words = re.split(r"( +)", line)
        lines.append("".join(_word(word, varies=command.varies) for word in words) + r" *\n")
    return "".join(lines)


def _word(word: str, *, varies: bool) -> str:
    if varies and word.isspace():
        return " +"  # columns are as wide as their figures
    if varies and re.search(r"\d", word):
        return r"\S+"
    return ".*".join(re.escape(part) for part in word.split("…"))


def run_command(command: Command, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Its exit code and what it prints to stdout and stderr."""
    words = [found for word in shlex.split(command.words) for found in _expanded(word, folder)]
    assert words[0] == "xlmr", f"{command.words}: only xlmr is run"
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *words[1:]],
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def _expanded(word: str, folder: Path) -> list[str]:
    """The paths that a pattern names, as a shell finds them."""
    found = sorted(str(path.relative_to(folder)) for path in folder.glob(word)) if "*" in word else []
    return found or [word]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Callable[[Path], Path]:
    """The folder of a page, in which its commands have been run, those of the page before it first."""

    @cache
    def folder_of(page: Path) -> Path:
        preparation = PREPARATIONS[page.name]
        before = preparation.after
        folder = folder_of(page.with_name(before)) if before else tmp_path_factory.mktemp(page.stem)
        preparation.write(folder)
        storage = storage_with(request, preparation.bucket) if preparation.bucket else {}
        run_page(page, folder, preparation.settings, storage)
        return folder

    return folder_of


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(True for _ in steps_of(page))], ids=lambda page: page.stem
)
def test_commands_print_what_the_page_shows(page: Path, folders: Callable[[Path], Path]) -> None:
    assert folders(page).is_dir()


def storage_with(request: pytest.FixtureRequest, bucket: str) -> dict[str, str]:
    """Make a bucket; the environment in which it is found."""
    import fsspec

    server = request.getfixturevalue("s3_server")
    fsspec.filesystem("s3", endpoint_url=server.url, key="key", secret="secret").mkdir(bucket)
    environment: dict[str, str] = server.environment()
    return environment


def run_page(page: Path, folder: Path, settings: dict[str, str], storage: dict[str, str]) -> None:
    """Write the files and run the commands of a page in their order, and compare what they print."""
    small = {f"XLMR_{name}": value for name, value in settings.items()}
    environment = os.environ | small | storage | {"PYTHONPATH": str(ROOT), "COLUMNS": "120", "NO_COLOR": "1"}
    for step in steps_of(page):
        if isinstance(step, tuple):
            (folder / step[0]).parent.mkdir(exist_ok=True)
            (folder / step[0]).write_text(step[1], encoding="utf-8")
            continue
        code, printed = run_command(step, folder, environment)
        expects_error = bool(re.search("^xlmr: ", step.printed, re.MULTILINE))
        assert (code != 0) == expects_error, f"$ {step.words}\n{printed}"
        if printed and not printed.endswith("\n"):
            printed += "\n"
        assert re.fullmatch(pattern_of(step), printed), f"$ {step.words}\n{printed}\nThe page shows:\n{step.printed}"


def test_shown_output_is_compared() -> None:
    shown = Command("xlmr x", "[1/9] a.b: do (missing)\n…\ndone: 3 of 4, … left", varies=True)
    good = "[1/20] a.b: do (missing)\n  22 of 41\n  41 of 41\ndone: 2,000 of 4, nothing left\n"
    assert re.fullmatch(pattern_of(shown), good)
    assert not re.fullmatch(pattern_of(shown), good.replace("do (", "did ("))
    exact = Command("xlmr x", "rows 3", varies=False)
    assert re.fullmatch(pattern_of(exact), "rows 3\n")
    assert not re.fullmatch(pattern_of(exact), "rows 4\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_stand_in_blocks_that_are_run(page: Path) -> None:
    """A command of xlmr in another block would not be run; what cannot be run here stands in a block ``sh``."""
    for _, _, language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        assert language in {"console", "sh"} or not re.search(r"^(?:\$ )?xlmr ", text, re.MULTILINE)
