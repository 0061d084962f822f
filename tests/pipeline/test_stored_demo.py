"""The whole demo, made small, at object storage: by two processes that share no folder, one of which is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from test_faults import wait_for

from pipeline.store.objects import at_once
from pipeline.store.path import StoredPath

if TYPE_CHECKING:
    from s3_server import S3Server

ROOT = Path(__file__).parents[2]
SMALL = {
    "CORPUS__FETCH__CRAWL": "samples/crawl/shard-0000[01].warc.wet.gz",
    "CORPUS__MINE__LANGUAGES": "[de, en]",
    "CORPUS__LANGUAGE_MODELS__TEXT": "samples/clean/[de][en].txt.xz",  # de, en
    "CORPUS__LANGUAGE_MODELS__VOCAB_SIZE": "500",
    "TOKENIZER__SAMPLE__BYTES": "200000",
    "TOKENIZER__TRAIN__VOCAB_SIZE": "1000",
    "TOKENIZER__ENCODE__LANGUAGES": "[de, en]",
    "PRETRAIN__TRAIN__STEPS": "6",
    "PRETRAIN__TRAIN__GLOBAL_BATCH": "2",
    "PRETRAIN__TRAIN__MICRO_BATCH": "2",
    "PRETRAIN__TRAIN__WARMUP_STEPS": "1",
    "PRETRAIN__TRAIN__CHECKPOINT_EVERY": "2",
    "PRETRAIN__DATA__VALIDATION_SEQUENCES": "1",
    "FINETUNE__RECIPE__EPOCHS": "1",
    "FINETUNE__RECIPE__LONGEST": "16",
    "FINETUNE__HELP_PAGES__TRAIN_ROWS": ":64",
    "FINETUNE__HELP_PAGES__DEV_ROWS": ":16",
    "FINETUNE__HELP_PAGES__TEST_ROWS": ":16",
    "FINETUNE__HELP_PAGES__TEST_LANGUAGES": "[de]",
    "FINETUNE__PROTOCOL__SEEDS": "[1]",
    "FINETUNE__PROTOCOL__BASELINES": "false",
    "RUN__WORKERS": "1",
}
FAULTS = {"busy": 0.02, "slow": 0.005, "cut": 0.02, "lost": 0.02}
TIMED = ("report.html", "events.out.tfevents.0000000000.xlmr")
"""Files that say when they were made, in a form that is not taken apart here."""
MEASURED = ("time", "seconds", "waited_for_data", "encoder")
"""What records say of the clock, and the folder of the encoder."""

PATIENCE = 500
"""Seconds for a run that takes 30 on a quiet machine."""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(s3: S3Server, tmp_path: Path) -> Iterator[Start]:
    """Start the run in a process and process group of its own; what still runs at the end is killed."""
    processes: list[subprocess.Popen[str]] = []
    small = {f"XLMR_{name}": value for name, value in SMALL.items()}

    def start_run(directory: object, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "pipeline", "run", "configs/demo.yaml", "--run.directory", str(directory)]
        process = subprocess.Popen(
            [*command, *words], cwd=ROOT, env={**os.environ, **small, "OMP_NUM_THREADS": "1"}, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start_run
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def said_at_end(process: subprocess.Popen[str]) -> str:
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0, said
    return said


def results_in(project: Path) -> dict[str, Any]:
    """The content of each file of each output, but for what says when and where it was made."""
    if isinstance(project, StoredPath):
        names = [name for name in project.sizes() if is_result(name)]
        contents = at_once(lambda name: (project / name).read_bytes(), names)
    else:
        names = [
            name for p in project.rglob("*") if p.is_file() and is_result(name := p.relative_to(project).as_posix())
        ]
        contents = [(project / name).read_bytes() for name in names]
    return {name: plain(name, content, project) for name, content in zip(names, contents, strict=True)}


def is_result(name: str) -> bool:
    return not name.startswith("log/") and "/." not in f"/{name}" and not name.endswith(("manifest.json", *TIMED))


def plain(name: str, content: bytes, project: Path) -> Any:
    """Without times and the folder that the run lies in."""
    if name.endswith(".json"):
        return without_measured(json.loads(content))
    if name.endswith(".jsonl"):
        return [without_measured(json.loads(line)) for line in content.splitlines()]
    return content.replace(str(project).encode(), b"") if name.endswith(".md") else content


def without_measured(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_measured(one) for name, one in value.items() if name not in MEASURED}
    return [without_measured(one) for one in value] if isinstance(value, list) else value


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_machines_make_the_demo_at_an_address(
    start: Start, s3: S3Server, bucket: StoredPath, tmp_path: Path
) -> None:
    said_at_end(start(tmp_path / "runs"))
    expected = results_in(tmp_path / "runs" / "demo")
    s3.faults = FAULTS

    def task(number: int, cache: str) -> subprocess.Popen[str]:
        return start(f"{bucket}/runs", "--run.partition", f"{number}/2", "--run.cache", str(tmp_path / cache))

    tasks = [task(0, "cache-0"), task(1, "cache-1")]
    until, killed = random.Random(14).randrange(300, 1500), tasks[0]
    wait_for(lambda: len(s3.requests) >= until)
    os.killpg(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    tasks[0] = task(0, "cache-2")
    for one in tasks:
        said_at_end(one)
    assert all(s3.injected[kind] for kind in FAULTS)
    s3.faults = {}
    found = results_in(bucket / "runs" / "demo")
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    assert {name.partition("/")[0] for name in expected} >= {"corpus.mine", "pretrain.train", "finetune.help_pages"}
