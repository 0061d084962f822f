"""The same crawl by several executors: the time of each beside that of ``local``, and whether the bytes are the same.

    python -m benchmarks.executors 'crawl/*.warc.wet.gz' --text 'clean/*.txt.xz' --copies 5 --workers 2 --rounds 3

With ``--copies`` each file is read so many times, by links, and every copy of the crawl is deduplicated by itself: a
crawl of some minutes, beside which the start of an executor counts for what it does in a real one.

A run of corpus.hash, corpus.duplicates and corpus.mine is a process of its own, with its start and that of its workers.
Each round has all executors, in an order that changes, so that other load on the machine is spread over them; a table
of the rounds so far follows each. The list of shards and the language models are made once. Processor seconds are those
of the run and of whatever it starts. ``dask`` is a cluster of processes, ``beam`` Beam's own local runner,
``beam-dask`` Beam on the same Dask cluster, ``beam-portable`` Beam's job service with a worker pool.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from corpus.crawl.dumps import files_of
from corpus.stages import PACKAGE
from pipeline.dag import Dag
from pipeline.manifest import read_manifest
from pipeline.plan import make_plan

STAGES = ("corpus.hash", "corpus.duplicates", "corpus.mine")
EXECUTORS = ("local", "dask", "beam", "beam-dask", "beam-portable")
_BECOME_REAPER = 36
"""PR_SET_CHILD_SUBREAPER: the processor seconds of workers that outlive their parent are counted here too."""


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("crawl")
    words.add_argument("--text", required=True, help="clean text <language>.txt.xz that the language models learn from")
    words.add_argument("--copies", type=int, default=1, help="how often the crawl is read, each time for itself")
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--executors", nargs="+", choices=EXECUTORS, default=list(EXECUTORS))
    given = words.parse_args()
    ctypes.CDLL(None).prctl(_BECOME_REAPER, 1, 0, 0, 0)
    names: list[str] = list(dict.fromkeys(["local", *given.executors]))
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        bench = _Bench(Path(folder), _Crawl.of(given.crawl, given.copies, Path(folder)), given.text, given.workers)
        bench.prepare()
        found: dict[str, list[_Measured]] = {name: [] for name in names}
        for number in range(given.rounds):
            for name in (*names[number % len(names) :], *names[: number % len(names)]):
                found[name].append(bench.measure(name))
                print(f"round {number + 1}: {name} {found[name][-1]}", file=sys.stderr, flush=True)
            report(found, bench)


@dataclass(frozen=True)
class _Measured:
    """One run: its seconds, those of processors, the mean number of processes that wanted one, and its checksums."""

    seconds: float
    processor: float
    load: float
    files: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {self.processor:.1f} processor seconds, load {self.load:.1f}"


@dataclass(frozen=True)
class _Crawl:
    """Files by a pattern; ``window`` shards of them are deduplicated together, all where it is None."""

    pattern: str
    window: int | None = None

    @classmethod
    def of(cls, pattern: str, copies: int, folder: Path) -> _Crawl:
        """The crawl so many times, by links in ``folder``. A file is a shard, so the files of a copy are a window."""
        if copies == 1:
            return cls(pattern)
        files = [Path(name).resolve() for name in files_of(pattern)]
        for number in range(copies):
            (copy := folder / "crawl" / f"copy-{number:03d}").mkdir(parents=True)
            for file in files:
                (copy / file.name).symlink_to(file)
        return cls(f"{folder}/crawl/copy-*/*", len(files))


class _Bench:
    """Runs of the corpus in a folder of their own."""

    def __init__(self, folder: Path, crawl: _Crawl, text: str, workers: int) -> None:
        self.workers, self._folder = workers, folder
        self._yaml = folder / "run.yaml"
        self._yaml.write_text(
            f"run: {{directory: {folder}, project: bench, workers: {workers}}}\n"
            f"corpus:\n  fetch: {{crawl: '{crawl.pattern}'}}\n  language_models: {{text: '{text}'}}\n"
            f"  duplicates: {{window: {json.dumps(crawl.window)}}}\n"
        )
        dag = Dag([PACKAGE])
        plan = make_plan(dag, dag.load_config(self._yaml))
        self.outputs = {stage: plan[stage].output for stage in STAGES}

    def prepare(self) -> None:
        """What is made once."""
        for stage in ("corpus.fetch", "corpus.language_models"):
            self._run("--only", stage)

    def measure(self, name: str) -> _Measured:
        """A run from nothing by that executor."""
        for output in self.outputs.values():
            shutil.rmtree(output.parent, ignore_errors=True)
        before, began = _processor_seconds(), time.perf_counter()
        with self._executor(name) as words:
            self._run("--from", STAGES[0], "--until", STAGES[-1], *words)
            seconds = time.perf_counter() - began
        _reap()
        return _Measured(seconds, _processor_seconds() - before, os.getloadavg()[0], self.checksums())

    def checksums(self) -> dict[str, str]:
        """Of every file of the stages."""
        manifests = {stage: read_manifest(output) for stage, output in self.outputs.items()}
        found = {stage: manifest.files for stage, manifest in manifests.items() if manifest is not None}
        return {f"{stage}/{name}": record.sha256 for stage, files in found.items() for name, record in files.items()}

    def counts(self, stage: str) -> Mapping[str, object]:
        """What the stage counted in the last run."""
        manifest = read_manifest(self.outputs[stage])
        return manifest.counts if manifest is not None else {}

    def _run(self, *words: str) -> None:
        command = [sys.executable, "-m", "pipeline", "run", str(self._yaml), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)

    @contextlib.contextmanager
    def _executor(self, name: str) -> Iterator[list[str]]:
        """Its words, while the servers that it needs are there."""
        words = ["--run.executor", name.partition("-")[0]]
        if name == "beam-dask":
            with self._dask() as address:
                options = json.dumps([f"--dask_client_address={address}"])
                yield [*words, "--run.beam.runner", "dask", "--run.beam.options", options]
        elif name == "beam-portable":
            with self._portable() as external:
                yield [*words, "--run.beam.runner", "portable", "--run.beam.options", json.dumps(external)]
        else:
            yield words

    @contextlib.contextmanager
    def _dask(self) -> Iterator[str]:
        port, quiet = _free_port(), ["--no-dashboard"]
        address = f"tcp://127.0.0.1:{port}"
        scheduler = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), *quiet]
        worker = ["distributed.cli.dask_worker", address, "--nthreads", "1", *quiet]
        with _servers([scheduler, *([worker] * self.workers)], [port]):
            yield address

    @contextlib.contextmanager
    def _portable(self) -> Iterator[list[str]]:
        job, pool = _free_port(), _free_port()
        service = ["apache_beam.runners.portability.local_job_service_main", "--port", str(job)]
        workers = ["apache_beam.runners.worker.worker_pool_main", "--service_port", str(pool)]
        with _servers([service, workers], [job, pool]):
            external = ["--environment_type=EXTERNAL", f"--environment_config=localhost:{pool}"]
            yield [f"--job_endpoint=localhost:{job}", *external]


@contextlib.contextmanager
def _servers(modules: list[list[str]], ports: list[int]) -> Iterator[None]:
    """Python modules that run as programs with our packages, ready when they listen at the ports."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OMP_NUM_THREADS": "1",
        # Beam's pool starts each worker by the name python, as in an activated environment.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    with contextlib.ExitStack() as stack:
        for module in modules:
            process = subprocess.Popen(
                [sys.executable, "-m", *module],
                env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(os.killpg, process.pid, 9)
        for port in ports:
            while not _listens(port):
                time.sleep(0.05)
        yield


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def _processor_seconds() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _reap() -> None:
    """Wait for processes that lost their parent."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, 0)[0]:
            pass


def report(found: Mapping[str, list[_Measured]], bench: _Bench) -> None:
    """Print medians, and their ratios round by round."""
    local = found["local"]
    rounds, records = len(local), bench.counts("corpus.hash")["records"]
    loads = [one.load for measured in found.values() for one in measured]
    print(f"\n{records:,} records, {bench.workers} workers, {rounds} rounds; load {min(loads):.1f} to {max(loads):.1f}")
    print("\n| executor | seconds | × local | rounds | processor seconds | × local | same bytes |")
    print("| --- | ---: | ---: | --- | ---: | ---: | --- |")
    for name, measured in found.items():
        ratios = [one.seconds / other.seconds for one, other in zip(measured, local, strict=True)]
        work = [one.processor / other.processor for one, other in zip(measured, local, strict=True)]
        seconds = f"{median(one.seconds for one in measured):.1f} | {median(ratios):.2f}"
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        processor = f"{median(one.processor for one in measured):.1f} | {median(work):.2f}"
        same = "yes" if all(one.files == local[0].files for one in measured) else "NO"
        print(f"| {name} | {seconds} | {spread} | {processor} | {same} |", flush=True)


if __name__ == "__main__":
    main()
