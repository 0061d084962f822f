"""A toy run in a folder of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import toy_package

from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.dag import Dag
from pipeline.executors.local import LocalExecutor
from pipeline.log import EventLog
from pipeline.plan import Plan, make_plan
from pipeline.runner import Selection, run
from pipeline.store.path import StoredPath


class Toy:
    """Runs and plans the toy DAG under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dag = Dag([toy_package.PACKAGE])
        self.yaml = folder / "toy.yaml"
        self.yaml.write_text(f"run: {{directory: {folder / 'runs'}, project: t, workers: 1}}\n")
        self.said: list[str] = []

    def config(self, *words: str):
        return self.dag.load_config(self.yaml, words)

    def run(self, *words: str, verify: bool = False, **selection) -> Plan:
        self.said = []
        selection.setdefault("until", "toy")
        config = self.config(*words)
        chosen = Selection(**selection).or_settings(config)
        return run(self.dag, config, chosen, verify=verify, say=self.said.append)

    def ran(self) -> list[str]:
        """The stages that the last run ran."""
        return [line.split()[1].rstrip(":") for line in self.said if line.startswith("[")]

    def plan(self, *words: str, **options) -> dict[str, str]:
        return {n: p.line() for n, p in make_plan(self.dag, self.config(*words), **options).items() if n != "report"}

    def output(self, stage: str, *words: str) -> Path:
        return make_plan(self.dag, self.config(*words))[stage].output


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(tmp_path)


@pytest.fixture
def map_shards(tmp_path: Path) -> Callable[..., dict[str, Counts]]:
    """Run a function over shards as a stage would, with no stage around it."""

    def run_shards(function, shards, output: Path, workers: int = 2, executor=None, call=1, identity=None, log=None):
        log = EventLog(log or tmp_path / "log.jsonl")
        context = Context("toy.test", output, workers, log, executor or LocalExecutor(workers), "{}:{}".format)
        context._calls = call - 1
        try:
            return context.map_shards(function, shards, identity)
        finally:
            context.log.close()

    return run_shards


@pytest.fixture
def in_child() -> Callable[[str], list[str]]:
    """The command that runs Python code with the toy package importable.

    It takes SIGINT, also where the tests were started in the background by a shell, which has it ignored.
    """
    here, root = Path(__file__).parent, Path(__file__).parents[2]
    prelude = f"import sys; sys.path[:0] = [{str(here)!r}, {str(root)!r}]\n"
    prelude += "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    return lambda code: [sys.executable, "-c", prelude + code]


@pytest.fixture
def start_code(in_child: Callable[[str], list[str]]) -> Iterator[Callable[[str], subprocess.Popen]]:
    """Start code in a process of its own, in a group of its own; what still runs at the end is killed."""
    processes: list[subprocess.Popen] = []

    def start(code: str) -> subprocess.Popen:
        processes.append(subprocess.Popen(in_child(code), stderr=subprocess.PIPE, text=True, start_new_session=True))
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def stored_toy(toy: Toy, bucket: StoredPath, tmp_path: Path) -> Toy:
    """The toy DAG with its runs at object storage."""
    toy.yaml.write_text(f"run: {{directory: {bucket}/runs, project: t, cache: {tmp_path / 'cache'}}}\n")
    return toy
