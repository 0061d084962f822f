"""TensorBoard's event file, scalars only, without TensorBoard: records with checksums around a small protobuf message.

The format: TFRecord (tensorflow/core/lib/io/record_writer.h) around Event (tensorflow/core/util/event.proto).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

VERSION = b"brain.Event:2"
POLYNOMIAL = 0x82F63B78
"""Of CRC-32C (Castagnoli), bits reversed."""

WALL_TIME, STEP, FILE_VERSION, SUMMARY = 1, 2, 3, 5
VALUE, TAG, SIMPLE_VALUE = 1, 1, 2
"""Numbers of the fields of Event, Summary and Summary.Value."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Protobuf's wire types."""


class EventFile:
    """The one event file of ``folder``, begun anew."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / "events.out.tfevents.0000000000.xlmr").open("wb")
        self._file.write(record_of(_key(WALL_TIME, FIXED64) + struct.pack("<d", 0.0) + _sized(FILE_VERSION, VERSION)))

    def add(self, step: int, scalars: Mapping[str, float], wall_time: float) -> None:
        """One event with all ``scalars`` by tag; it can be read at once."""
        if scalars:
            self._file.write(record_of(event_of(step, scalars, wall_time)))
            self._file.flush()

    def close(self) -> None:
        """Close it."""
        self._file.close()


def event_of(step: int, scalars: Mapping[str, float], wall_time: float) -> bytes:
    """An Event with a Summary."""
    values = b"".join(
        _sized(VALUE, _sized(TAG, tag.encode()) + _key(SIMPLE_VALUE, FIXED32) + struct.pack("<f", number))
        for tag, number in scalars.items()
    )
    time = _key(WALL_TIME, FIXED64) + struct.pack("<d", wall_time)
    return time + _key(STEP, VARINT) + _varint(step) + _sized(SUMMARY, values)


def record_of(content: bytes) -> bytes:
    """Length, its checksum, content, its checksum."""
    length = struct.pack("<Q", len(content))
    return length + _checksum(length) + content + _checksum(content)


def crc32c(content: bytes) -> int:
    """CRC-32C, byte by byte over a table: records are short."""
    state = 0xFFFFFFFF
    for byte in content:
        state = _TABLE[(state ^ byte) & 0xFF] ^ (state >> 8)
    return state ^ 0xFFFFFFFF


def _table() -> list[int]:
    table = []
    for entry in range(256):
        for _ in range(8):
            entry = (entry >> 1) ^ (POLYNOMIAL if entry & 1 else 0)  # noqa: PLW2901 - the entry is shifted out
        table.append(entry)
    return table


_TABLE = _table()


def _checksum(content: bytes) -> bytes:
    crc = crc32c(content)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _key(field: int, wire_type: int) -> bytes:
    return _varint(field << 3 | wire_type)


def _sized(field: int, content: bytes) -> bytes:
    return _key(field, BYTES) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
