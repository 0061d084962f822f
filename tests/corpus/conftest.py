"""A small crawl cut out of the embedded one, models for two of its languages, and the DAG of this package alone."""

from __future__ import annotations

import lzma
from dataclasses import replace
from pathlib import Path

import pytest
from mined_corpus import context_for
from minified_corpus import Made

from corpus.minify.minify import minify
from corpus.output import regroup
from corpus.output.settings import Regroup
from corpus.settings import RegroupStage
from corpus.stages import PACKAGE
from pipeline.dag import Dag
from pipeline.manifest import read_manifest
from pipeline.plan import make_plan
from pipeline.runner import Selection, run

ROOT = Path(__file__).parents[2]
RECORDS = 150
"""Of each file; a gzip member each."""


def members(path: Path) -> list[bytes]:
    """The gzip members of a file."""
    content = path.read_bytes()
    starts = [i for i in range(len(content)) if content[i : i + 10] == content[:10]]
    return [content[start:stop] for start, stop in zip(starts, [*starts[1:], len(content)], strict=True)]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with crawl/*.warc.wet.gz (3 files) and clean/{de,en}.txt.xz."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "crawl").mkdir()
    (folder / "clean").mkdir()
    for path in sorted((ROOT / "samples/crawl").glob("*.warc.wet.gz"))[:3]:
        # Pages by themselves rarely meet in so small a part of the crawl: the second file repeats some of the first.
        records = members(path)[: RECORDS + 1]
        (folder / "crawl" / path.name).write_bytes(b"".join(records))
    first, second, _ = sorted((folder / "crawl").iterdir())
    second.write_bytes(second.read_bytes() + b"".join(members(first)[1:20]))
    for language in ("de", "en"):
        text = lzma.decompress((ROOT / f"samples/clean/{language}.txt.xz").read_bytes()).decode()
        (folder / "clean" / f"{language}.txt.xz").write_bytes(
            lzma.compress("".join(text.splitlines(True)[:60]).encode())
        )
    return folder


class CorpusRun:
    """The corpus stages on the small crawl, under a folder."""

    def __init__(self, small: Path, folder: Path) -> None:
        self.dag = Dag([PACKAGE])
        self.folder = folder
        self.yaml = folder / "run.yaml"
        self.yaml.write_text(
            f"run: {{directory: {folder}, project: c, workers: 1}}\n"
            f"corpus:\n"
            f"  fetch: {{crawl: '{small}/crawl/*.gz'}}\n"
            f"  language_models: {{text: '{small}/clean/*.xz', vocab_size: 500}}\n"
        )
        self.messages: list[str] = []

    def config(self, *words: str):
        # Dumps are read in place of the files that the YAML names.
        instead = ("--corpus.fetch.crawl", "") if "--corpus.fetch.dumps" in words else ()
        return self.dag.load_config(self.yaml, (*instead, *words))

    def run(self, *words: str, until: str = "corpus", **options):
        self.messages = []
        return run(self.dag, self.config(*words), Selection(until=until, **options), say=self.messages.append)

    def output(self, stage: str, *words: str) -> Path:
        return make_plan(self.dag, self.config(*words))[stage].output


@pytest.fixture(scope="session")
def done(small: Path, tmp_path_factory: pytest.TempPathFactory) -> CorpusRun:
    """A complete run with one worker, shared by the tests that only look at it."""
    made = CorpusRun(small, tmp_path_factory.mktemp("done"))
    made.run()
    return made


@pytest.fixture
def fresh(small: Path, tmp_path: Path) -> CorpusRun:
    """A run of one's own, nothing done yet."""
    return CorpusRun(small, tmp_path)


@pytest.fixture(scope="session")
def embedded(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the whole embedded crawl, and the text of the small one."""
    folder = tmp_path_factory.mktemp("embedded")
    (folder / "crawl").symlink_to(ROOT / "samples/crawl")
    (folder / "clean").symlink_to(small / "clean")
    return folder


@pytest.fixture(scope="session")
def embedded_done(embedded: Path, tmp_path_factory: pytest.TempPathFactory) -> CorpusRun:
    """A complete run of the embedded crawl by processes of this machine."""
    made = CorpusRun(embedded, tmp_path_factory.mktemp("embedded-done"))
    made.run("--run.workers", "2")
    return made


@pytest.fixture
def embedded_fresh(embedded: Path, tmp_path: Path) -> CorpusRun:
    """A run of the embedded crawl, nothing done yet."""
    return CorpusRun(embedded, tmp_path)


@pytest.fixture(scope="session")
def made(small, done, tmp_path_factory) -> Made:
    """By documents, as cc_net; several files a bucket."""
    folder = tmp_path_factory.mktemp("minified")
    config = Regroup(file_bytes=2**16, batch_bytes=2**14)
    inputs = {name: done.output(name) for name in ("corpus.mine", "corpus.cutoffs")}
    regroup.run(RegroupStage.model_construct(regroup=config), inputs, folder / "corpus", context_for(folder / "corpus"))
    # What the settings were stands in the manifest, which the core writes.
    manifest = read_manifest(done.output("corpus.regroup"))
    replace(manifest, config={"regroup": config.model_dump()}).write(folder / "corpus")
    minify(folder / "corpus", folder / "m", workers=1)
    return Made(folder / "corpus", folder / "m", small / "crawl")
