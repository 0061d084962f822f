"""``python -m pretrain`` with a tokenizer package that only writes tiny sequences: what launchers start in tests.

FAILING_RANK in the environment names a rank that fails at its first step, HANGING_RANK one that stands still in its
third, EXPIRY the seconds after which a rank that is not heard of is taken for dead, STORE those after which a store
that does not answer is given up, STEP_SECONDS how long a step takes at least.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tiny_corpus import write_sequences

from pipeline.cli import build_app, exit_code_of
from pipeline.config import Section, setting
from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.dag import Dag
from pipeline.stage import Inputs, Package, Stage
from pretrain.ranks import launch, rank_group, store_calls
from pretrain.stages import PACKAGE

if TYPE_CHECKING:
    from torch import Tensor

    from pretrain.data.masking import MaskedBatch
    from pretrain.engine import Engine


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


def hang(self: Engine, batch: MaskedBatch) -> Tensor:
    """In place of ``Engine._loss``: as where a GPU hangs."""
    if self._steps == 2:
        time.sleep(3600)
    return loss_of(self, batch)


def slowly(self: Engine, step: int) -> None:
    """In place of ``Engine.start_step``: so that something can happen in the middle of a training."""
    time.sleep(float(os.environ["STEP_SECONDS"]))
    start_step(self, step)


if __name__ == "__main__":
    rank_group.GRACE_SECONDS = 3.0  # enough here, and tests that wait for it end sooner
    rank_group.BEAT_SECONDS = 0.5
    rank_group.EXPIRY_SECONDS = float(os.environ.get("EXPIRY", rank_group.EXPIRY_SECONDS))
    store_calls.STORE_SECONDS = int(os.environ.get("STORE", store_calls.STORE_SECONDS))
    if "STEP_SECONDS" in os.environ:
        from pretrain.engine import Engine

        start_step = Engine.start_step
        Engine.start_step = slowly  # type: ignore[method-assign]
    rank = os.environ.get("RANK", "")
    if rank and rank in (os.environ.get("FAILING_RANK"), os.environ.get("HANGING_RANK")):
        from pretrain.engine import Engine

        loss_of = Engine._loss
        if os.environ.get("FAILING_RANK") == rank:
            Engine.start_step = fail  # type: ignore[assignment, method-assign]
        else:
            Engine._loss = hang  # type: ignore[method-assign]
    sys.exit(launch.main(sys.argv[1:], command))
