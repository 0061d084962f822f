"""A small crawl at an address, by workers that see neither the run's folder nor its copies, as other machines."""

from __future__ import annotations

import json

import pytest
from test_dask import scheduler, why_not_hidden

from pipeline.manifest import read_manifest

__all__ = ["scheduler"]

STAGES = ("corpus.hash", "corpus.duplicates", "corpus.mine", "corpus.regroup")

pytestmark = pytest.mark.skipif(bool(why_not_hidden()), reason=why_not_hidden() or "folders can be hidden")


def files_of(run, *words: str) -> dict[str, str]:
    """Every file's checksum, by its stage and name."""
    found = {}
    for stage in STAGES:
        manifest = read_manifest(run.output(stage, *words))
        assert manifest is not None
        found |= {f"{stage}/{name}": record.sha256 for name, record in manifest.files.items()}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["dask", "beam"])
def test_workers_bring_their_own_copies(done, fresh, bucket, scheduler, tmp_path, executor):
    address, start_worker = scheduler
    for _ in range(2):
        start_worker(hidden=tmp_path)
    words = ["--run.directory", f"{bucket}/runs", "--run.cache", str(tmp_path / "cache"), "--run.executor", executor]
    if executor == "dask":
        words += ["--run.dask.scheduler", address]
    else:
        options = json.dumps([f"--dask_client_address={address}"])
        words += ["--run.beam.runner", "dask", "--run.beam.options", options]
    fresh.run(*words)
    assert files_of(fresh, *words) == files_of(done)
    output = fresh.output("corpus.regroup", *words)
    assert not [name for name in output.sizes() if name.startswith((".made/", ".work/"))]
