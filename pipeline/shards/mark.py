"""What is left of a shard that was done: the mark of one that is complete, or what went wrong.

The marks of a stage are kept compressed. One of corpus.mine counts by language and reason: 119 kB of objects for 110
languages and three reasons, 7 kB compressed. A dump has 64,000 shards.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

from pipeline.counts import Counts
from pipeline.json_file import CLOSED, DamagedFileError, InnerPath, parse_record, read_record
from pipeline.manifest import FileRecord


@dataclass(frozen=True)
class ShardReport:
    """What a shard function returns: its counts, and a line for everything that the person should know of.

    Progress is counted in documents where ``counts["documents"]`` is a number, or has one under ``read``.
    """

    __pydantic_config__: ClassVar = CLOSED

    counts: Counts
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ShardMark:
    """The mark of a complete shard: what it counted, the files it made, what they depend on, the seconds it took."""

    __pydantic_config__: ClassVar = CLOSED

    report: ShardReport
    files: dict[InnerPath, FileRecord]
    identity: str | None = None
    seconds: float = 0.0

    @classmethod
    def read(cls, path: Path) -> ShardMark | None:
        """The mark at ``path``; None where there is none, or none that can be read."""
        try:
            return read_record(cls, path, "run the stage again")
        except (FileNotFoundError, DamagedFileError):
            return None

    def is_whole(self, output: Path) -> bool:
        """Whether every file that it names is there as it was written."""
        return not any(record.fault(output / name) for name, record in self.files.items())


@dataclass(frozen=True)
class ShardFailure:
    """What went wrong with a shard, in words, because not every exception survives the way between processes."""

    problem: str
    trace: str = ""
    passing: bool = False
    """Nothing is wrong with the shard: what it needs did not answer."""


Outcome = ShardMark | ShardFailure


def pack(mark: ShardMark) -> bytes:
    """A mark as compressed JSON."""
    return zlib.compress(json.dumps(asdict(mark), ensure_ascii=False, separators=(",", ":")).encode(), 1)


def unpack(packed: bytes) -> ShardMark:
    """The mark again. Errors: DamagedFileError for what ``pack`` has not made."""
    try:
        return parse_record(ShardMark, zlib.decompress(packed), "a packed mark", "run the same command again")
    except zlib.error as error:
        raise DamagedFileError(f"a packed mark: {error}", "run the same command again") from None


class PackedMarks(MutableMapping[str, ShardMark]):
    """Marks by the names of their shards, each unpacked when it is asked for."""

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}

    def __getitem__(self, name: str) -> ShardMark:
        return unpack(self._packed[name])

    def __setitem__(self, name: str, mark: ShardMark) -> None:
        self._packed[name] = pack(mark)

    def __delitem__(self, name: str) -> None:
        del self._packed[name]

    def __contains__(self, name: object) -> bool:
        return name in self._packed

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def packed(self, name: str) -> bytes:
        """One as it is kept."""
        return self._packed[name]

    def take(self, name: str, packed: bytes) -> None:
        """Keep one that is packed already, where there is none of this name."""
        self._packed.setdefault(name, packed)

    def join(self, others: PackedMarks) -> None:
        """Keep those of ``others`` too."""
        self._packed |= others._packed


class ShardCounts(Mapping[str, Counts]):
    """What each shard counted, by its name, in the order of the stage's shards; unpacked when it is asked for."""

    def __init__(self, marks: PackedMarks, names: Collection[str]) -> None:
        self._marks, self._names = marks, names

    def __getitem__(self, name: str) -> Counts:
        return self._marks[name].report.counts

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
