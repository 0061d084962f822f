"""Runners of Beam that fail, or wait, as those of a cluster do. Files in the folder of XLMR_TEST_RUNNER say when."""

from __future__ import annotations

import os
import time
from pathlib import Path

from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineResult, PipelineState


def folder() -> Path:
    return Path(os.environ["XLMR_TEST_RUNNER"])


class FailingRunner(FnApiRunner):
    """Fails as often as there are files fail-*, and removes one each time: before its shards, or after (fail-z…)."""

    def run_pipeline(self, pipeline, options):
        path = next(iter(sorted(folder().glob("fail-*"))), None)
        result = None if path and "fail-z" not in path.name else super().run_pipeline(pipeline, options)
        if path:
            path.unlink()
            raise RuntimeError("the cluster went away")
        return result


class WaitingResult(PipelineResult):
    def __init__(self):
        super().__init__(PipelineState.RUNNING)

    def wait_until_finish(self, duration=None):
        print("waiting for resources", flush=True)
        (folder() / "waits").touch()
        time.sleep(600)

    def cancel(self):
        (folder() / "cancelled").touch()


class WaitingRunner(FnApiRunner):
    """Takes the job and does nothing."""

    def run_pipeline(self, pipeline, options):
        return WaitingResult()
