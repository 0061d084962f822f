"""A package whose list of shards can grow: one stage lists numbers, the next writes each, with its inputs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pipeline.config import Section, setting
from pipeline.context import Context
from pipeline.counts import Counts, sum_counts
from pipeline.shards import ShardReport
from pipeline.stage import Inputs, Package, Stage
from pipeline.storage import read_json, write_json


class Listing(Section):
    """Which numbers."""

    numbers: list[int] = setting([1, 2, 3], "the numbers")


class Writing(Section):
    """What is written of each."""

    factor: int = setting(1, "what each is multiplied by")
    diary: str | None = setting(None, "a file that gets a line for each number that is worked on", affects_result=False)


class GrowingConfig(Section):
    """Both."""

    listing: Listing = setting(Listing(), "which")
    writing: Writing = setting(Writing(), "what")


class ListStage(Section):
    """Read by growing.list."""

    listing: Listing


class WriteStage(Section):
    """Read by growing.write."""

    writing: Writing


def list_numbers(config: ListStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    write_json(output / "numbers.json", config.listing.numbers)
    return {"numbers": len(config.listing.numbers)}


def write_one(settings: Writing, shard: tuple[str, int], workspace: Path) -> ShardReport:
    name, number = shard
    if settings.diary:
        with Path(settings.diary).open("a") as diary:
            diary.write(f"{name}={number}\n")
    (workspace / "numbers").mkdir()
    (workspace / "numbers" / f"{name}.txt").write_text(str(number * settings.factor))
    return ShardReport({"documents": number}, [f"{number} is odd"] if number % 2 else [])


def write(config: WriteStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    numbers = read_json(inputs["growing.list"] / "numbers.json")
    shards = {f"n{place}": (f"n{place}", number) for place, number in enumerate(numbers)}
    identity = {name: str(number) for name, (_, number) in shards.items()}
    return sum_counts(context.map_shards(partial(write_one, config.writing), shards, identity))


PACKAGE = Package(
    name="growing",
    config=GrowingConfig,
    stages=(
        Stage("growing.list", 1, ListStage, f"{__name__}:list_numbers", "list numbers"),
        Stage(
            "growing.write", 1, WriteStage, f"{__name__}:write", "write numbers", ("growing.list",), resumable=True,
            sharded=1,
        ),
    ),
)  # fmt: skip
