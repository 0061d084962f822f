"""The same bytes whatever the number of workers, and after any kill."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from kill_at_mark import run_until_killed

from pipeline.manifest import read_manifest

STAGES = ("fetch", "hash", "duplicates", "language_models", "mine", "cutoffs", "regroup")


def checksums(run, *words: str) -> dict[str, dict[str, str]]:
    """The checksum of every file of every stage."""
    manifests = {name: read_manifest(run.output(f"corpus.{name}", *words)) for name in STAGES}
    return {name: {file: record.sha256 for file, record in m.files.items()} for name, m in manifests.items()}


@pytest.mark.slow
def test_one_worker_and_four_give_identical_bytes(done, fresh):
    fresh.run("--run.workers", "4")
    assert checksums(fresh) == checksums(done)
    assert sum(map(len, checksums(done).values())) > 30


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["hash", "language_models", "mine", "regroup"])
def test_kill_in_the_middle_of_a_stage_and_resume(done, fresh, stage):
    """kill -9 when the first shard of ``stage`` is complete and the second nearly so, then the same command."""
    code = (
        "from pathlib import Path; from corpus.stages import PACKAGE\n"
        "from pipeline.dag import Dag; from pipeline.runner import Selection, run\n"
        "dag = Dag([PACKAGE]); run(dag, dag.load_config(Path(sys.argv[1])), Selection(until='corpus'))\n"
    )
    before = [name for name in STAGES[: STAGES.index(stage)] if name != "regroup"]
    for name in before:
        fresh.run(until=f"corpus.{name}")
    output = fresh.output(f"corpus.{stage}")
    run_until_killed(code, fresh.yaml, folder=output.name)
    assert len(list((output / ".shards").glob("*.json"))) == 1
    fresh.run()
    assert checksums(fresh) == checksums(done)


def test_files_of_the_corpus_have_the_size_that_was_asked_for(fresh):
    words = ("--corpus.regroup.file_bytes", str(2**12))
    fresh.run(*words)
    sizes = {}
    for path in sorted(fresh.output("corpus.regroup", *words).rglob("*.arrow")):
        with pa.memory_map(str(path)) as source:
            texts = pa.ipc.open_file(source).read_all().column("raw_content").to_pylist()
        sizes.setdefault((path.parent.name, path.name.rsplit("-")[0]), []).append([len(t.encode()) for t in texts])
    assert max(map(len, sizes.values())) > 1
    for files in sizes.values():
        for rows, following in pairwise(files):
            assert sum(rows) <= 2**12 or len(rows) == 1
            assert sum(rows) + following[0] > 2**12, "the next document would have fitted"


def test_the_order_of_shards_changes_no_record(small, done, fresh, tmp_path):
    """The same files under names that sort the other way round: every record is there, but for where it was found."""
    crawl = tmp_path / "crawl"
    crawl.mkdir()
    for number, path in enumerate(sorted((small / "crawl").iterdir(), reverse=True)):
        (crawl / f"{number}.warc.wet.gz").symlink_to(path)
    words = ("--corpus.fetch.crawl", f"{crawl}/*.gz")
    fresh.run(*words)

    def records(folder: Path) -> list[tuple]:
        found = [r for path in folder.rglob("*.arrow") for r in pa.ipc.open_file(str(path)).read_all().to_pylist()]
        return sorted(tuple(str(r[name]) for name in sorted(r) if name != "cc_segment") for r in found)

    ours, theirs = records(fresh.output("corpus.regroup", *words)), records(done.output("corpus.regroup"))
    assert len(ours) > 100
    assert ours == theirs
