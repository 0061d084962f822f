"""``python -m pretrain`` with a tokenizer package that only writes tiny sequences: what launchers start in tests.

FAILING_RANK in the environment names a rank that fails at its first step.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from tiny_corpus import write_sequences

from pipeline.cli import build_app, exit_code_of
from pipeline.config import Section, setting
from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.dag import Dag
from pipeline.stage import Inputs, Package, Stage
from pretrain.ranks import launch, rank_group
from pretrain.stages import PACKAGE


class Nothing(Section):
    """No settings."""

    unused: int = setting(0, "nothing")


def write(config: Nothing, inputs: Inputs, output: Path, context: Context) -> Counts:
    write_sequences(output, {"aa": 160, "bb": 20}, vocabulary=45)
    return {"sequences": 180}


def command(words: list[str]) -> int:
    """What ``xlmr`` is, with that package."""
    encode = Stage(name="tokenizer.encode", version=1, config=Nothing, run="launched:write", summary="sequences")
    train = next(stage for stage in PACKAGE.stages if stage.name == "pretrain.train")
    dag = Dag(
        [
            Package(name="tokenizer", config=Nothing, stages=(encode,)),
            replace(PACKAGE, stages=(replace(train, inputs=("tokenizer.encode",), needs=None),)),
        ]
    )

    def work() -> int:
        build_app(dag)(words, exit_on_error=False, print_error=False)
        return 0

    return exit_code_of(work, "xlmr --help")


def fail(engine: object, step: int) -> None:
    """In place of ``Engine.start_step``."""
    raise RuntimeError(f"no memory left\nat step {step}")


if __name__ == "__main__":
    rank_group.GRACE_SECONDS = 3.0  # enough here, and tests that wait for it end sooner
    if os.environ.get("FAILING_RANK") == os.environ.get("RANK", ""):
        from pretrain.engine import Engine

        Engine.start_step = fail  # type: ignore[assignment, method-assign]
    sys.exit(launch.main(sys.argv[1:], command))
