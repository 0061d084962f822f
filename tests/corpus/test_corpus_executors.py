"""The corpus by Beam, by several tasks, and with a file added later: the same bytes as by one process at once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_rerun import checksums

from pipeline.manifest import read_manifest

ROOT = Path(__file__).parents[2]

TASK = """
import sys; sys.path.insert(0, sys.argv[1])
from dataclasses import replace
from pathlib import Path
import pipeline.shards.partitions
from corpus.stages import PACKAGE
from pipeline.dag import Dag
from pipeline.runner import Selection, run
pipeline.shards.partitions.LOOK_SECONDS = 0.1
CALLS = {"corpus.hash": 1, "corpus.duplicates": 1, "corpus.language_models": 1, "corpus.mine": 1, "corpus.regroup": 2}
if __name__ == "__main__":
    stages = tuple(replace(stage, sharded=CALLS.get(stage.name, 0)) for stage in PACKAGE.stages)
    dag = Dag([replace(PACKAGE, stages=stages)])
    run(dag, dag.load_config(Path(sys.argv[2]), sys.argv[3:]), Selection(until="corpus"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["in_memory", "multi_processing"])
def test_beam_gives_identical_bytes(done, fresh, mode):
    options = json.dumps([f"--direct_running_mode={mode}"])
    fresh.run("--run.executor", "beam", "--run.workers", "2", "--run.beam.options", options)
    assert checksums(fresh) == checksums(done)


@pytest.mark.slow
def test_three_tasks_give_identical_bytes(done, fresh):
    tasks = [
        subprocess.Popen(
            [sys.executable, "-c", TASK, str(ROOT), str(fresh.yaml), "--run.partition", f"{number}/3"],
            stderr=subprocess.PIPE, text=True,
        )
        for number in range(3)
    ]  # fmt: skip
    errors = [task.communicate(timeout=500)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0, 0], errors
    assert checksums(fresh) == checksums(done)


def test_a_file_that_is_added_leaves_the_hashes_of_the_others(small, fresh, tmp_path):
    crawl = tmp_path / "crawl"
    crawl.mkdir()
    first, second, third = sorted((small / "crawl").iterdir())
    shutil.copy(first, crawl)
    shutil.copy(second, crawl)
    words = ("--corpus.fetch.crawl", f"{crawl}/*.gz")
    fresh.run(*words, until="corpus.hash")
    before = fresh.output("corpus.hash", *words)
    shutil.copy(third, crawl)
    fresh.run(*words, until="corpus.hash")
    after = fresh.output("corpus.hash", *words)
    assert after != before
    for name in ("shard-00000", "shard-00001"):
        for kind in ("lines", "sorted"):
            assert (after / kind / f"{name}.npy").samefile(before / kind / f"{name}.npy")
    alone = ("--run.project", "alone", *words)
    fresh.run(*alone, until="corpus.hash")
    one, two = read_manifest(after), read_manifest(fresh.output("corpus.hash", *alone))
    assert {n: r.sha256 for n, r in one.files.items()} == {n: r.sha256 for n, r in two.files.items()}
    assert one.counts == two.counts
    assert one.warnings == two.warnings
    first_copy = crawl / first.name
    first_copy.write_bytes(second.read_bytes())
    fresh.run(*words, until="corpus.hash")
    changed = fresh.output("corpus.hash", *words)
    assert not (changed / "lines/shard-00000.npy").samefile(after / "lines/shard-00000.npy"), "another content"
    assert (changed / "lines/shard-00001.npy").samefile(after / "lines/shard-00001.npy")
