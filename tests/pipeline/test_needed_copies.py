"""What a worker on another machine fetches for itself before it does shards of a run at an address."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import XlmrError
from pipeline.manifest import FileRecord, list_files
from pipeline.store.copies import Copies
from pipeline.store.needed_copies import NeededCopies
from pipeline.store.output import MADE, StoredOutput
from pipeline.store.path import StoredPath


@pytest.fixture
def needed(stored_toy, bucket: StoredPath, tmp_path: Path) -> NeededCopies:
    """Of shards of a stage that reads toy.write, has read a shard's file back, and has written one itself."""
    stored_toy.run(until="toy.write")
    output = bucket / "runs" / "t" / "s" / "00000000"
    with Copies(tmp_path / "driver", 10**9) as copies:
        copies.begin(output, anew=True)
        stored = StoredOutput(output, copies, [stored_toy.output("toy.write")])
        (stored.copy / ".hidden").mkdir()
        shard, nobody = stored.copy / ".hidden" / "shard.txt", stored.copy / "nobody-reads.txt"
        for path in (shard, nobody, stored.copy / "own.txt"):
            path.write_text(path.name)
        (output / ".hidden" / "shard.txt").put(shard)
        stored.fetch(shard.parent, {"shard.txt": FileRecord.of(shard)})
        made = stored.needed_copies("call", lambda: ["nobody-reads.txt"])
    shutil.rmtree(tmp_path / "driver")
    return replace(made, cache=tmp_path / "worker")


def test_a_worker_fetches_inputs_and_what_the_stage_has_made(needed, s3, bucket, stored_toy):
    needed.bring()
    copy = needed.output.local(needed.cache)
    assert {path.name for path in list_files(copy)} == {"own.txt"}
    assert (copy / ".hidden" / "shard.txt").read_text() == "shard.txt"
    numbers = stored_toy.output("toy.write").local(needed.cache) / "numbers"
    assert [path.read_text() for path in sorted(numbers.iterdir())] == ["0", "1", "2", "3"]
    s3.requests.clear()
    replace(needed).bring()
    assert s3.requests == [], "once in a process"


def test_the_stage_puts_what_it_has_written_once_and_removes_the_lists(needed, s3, bucket, tmp_path):
    with Copies(tmp_path / "driver", 10**9) as copies:
        copies.begin(needed.output, anew=False)
        stored = StoredOutput(needed.output, copies)
        own = stored.copy / "own.txt"
        own.write_text("own.txt")
        stored.needed_copies("one", tuple)
        s3.requests.clear()
        assert stored.needed_copies("two", tuple).made == needed.output / MADE / "two.json"
        assert s3.count("PUT", "own.txt") == 0
        own.write_text("written again")
        stored.needed_copies("three", tuple)
        assert (needed.output / "own.txt").read_text() == "written again"
        stored.complete({"own.txt": FileRecord.of(own)}, {})
    assert set(needed.output.sizes()) == {".begun", "own.txt"}


def test_an_input_that_is_gone_and_a_cache_that_cannot_be_written_are_one_line(needed, stored_toy, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(XlmrError, match=r"file.*: Not a directory; run\.cache has to be a path that every worker can"):
        replace(needed, cache=tmp_path / "file" / "cache").bring()
    (stored_toy.output("toy.write") / "manifest.json").unlink()
    with pytest.raises(XlmrError, match=r"toy\.write/\w+: is not complete"):
        replace(needed, cache=tmp_path / "another").bring()
