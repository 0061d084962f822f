"""A package small enough to see through: numbers are written by shards, then summed, then the sum is squared."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pipeline.config import Section, setting
from pipeline.context import Context
from pipeline.counts import Counts, sum_counts
from pipeline.errors import XlmrError
from pipeline.report.measures import Measure
from pipeline.shards import MARKS, ShardReport
from pipeline.stage import Inputs, Package, Stage


class Numbers(Section):
    """How many numbers, and how slowly."""

    count: int = setting(4, "how many", ge=0)
    factor: int = setting(1, "what each is multiplied by")
    bad: int | None = setting(None, "the number that fails")
    seconds: float = setting(0.0, "time that each takes", affects_result=False)
    go_file: str | None = setting(None, "what each waits for, once `free` are complete", affects_result=False)
    free: int = setting(0, "how many are not held up", affects_result=False)
    file: str | None = setting(None, "an outside file")


class Power(Section):
    """To which power the sum is raised."""

    exponent: int = setting(2, "the power")


class ToyConfig(Section):
    """Two sections, so that a stage can be seen to read its own only."""

    numbers: Numbers = setting(Numbers(), "the numbers")
    power: Power = setting(Power(), "the power")


class NumbersStage(Section):
    """Read by toy.write and toy.sum."""

    numbers: Numbers


class PowerStage(Section):
    """Read by toy.power."""

    power: Power


class NoSettings(Section):
    """Read by toy.sum: nothing."""


def write_one(settings: Numbers, number: int, workspace: Path) -> ShardReport:
    if number == settings.bad:
        raise XlmrError(f"number {number} is bad", "take another")
    time.sleep(settings.seconds)
    wait_for_go_file(settings, workspace)
    (workspace / "numbers").mkdir()
    (workspace / "numbers" / f"{number}.txt").write_text(str(number * settings.factor))
    return ShardReport({"numbers": 1}, ["seven is odd"] if number == 7 else [])


def wait_for_go_file(settings: Numbers, workspace: Path) -> None:
    """So that a test finds the stage half done, however slow the machine is."""
    marks = workspace.parents[2] / MARKS
    while settings.go_file and not Path(settings.go_file).exists() and len(list(marks.glob("*.json"))) >= settings.free:
        time.sleep(0.02)


def write(config: NumbersStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    shards = {f"number-{n}": n for n in range(config.numbers.count)}
    return sum_counts(context.map_shards(partial(write_one, config.numbers), shards))


def add(config: NoSettings, inputs: Inputs, output: Path, context: Context) -> Counts:
    files = sorted((inputs["toy.write"] / "numbers").glob("*.txt"))
    total = sum(int(path.read_text()) for path in files)
    (output / "sum.txt").write_text(str(total))
    return {"sum": total}


def raise_to_power(config: PowerStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    total = int((inputs["toy.sum"] / "sum.txt").read_text())
    (output / "power.txt").write_text(str(total**config.power.exponent))
    return {"power": total**config.power.exponent}


def measures(outputs: Mapping[str, Path]) -> list[Measure]:
    found = []
    if "toy.sum" in outputs:
        numbers = {path.stem: float(path.read_text()) for path in outputs["toy.write"].glob("numbers/*.txt")}
        total = int((outputs["toy.sum"] / "sum.txt").read_text())
        found.append(
            Measure("toy.sum", "sum", "sum of the numbers", total, numbers, curve=[(1, 0.5), (2, float(total))])
        )
    if "toy.power" in outputs:
        power = int((outputs["toy.power"] / "power.txt").read_text())
        found.append(Measure("toy.power", "power", "power of the sum", power, spread=0.5))
    return found


PACKAGE = Package(
    name="toy",
    config=ToyConfig,
    measures=f"{__name__}:measures",
    stages=(
        Stage(
            "toy.write", 1, NumbersStage, f"{__name__}:write", "write numbers", resumable=True, sharded=1,
            outside=lambda config: {config.numbers.file: "numbers.file"} if config.numbers.file else {},
        ),
        Stage("toy.sum", 1, NoSettings, f"{__name__}:add", "add them up", ("toy.write",)),
        Stage("toy.power", 1, PowerStage, f"{__name__}:raise_to_power", "raise the sum", ("toy.sum",)),
    ),
)  # fmt: skip
