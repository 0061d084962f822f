"""safetensors files written and read a tensor at a time, so that a state of any size goes through little memory.

The library writes whole dictionaries only. The format is a length, a JSON header and the numbers (safetensors' README).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pipeline.errors import XlmrError

Shapes = Mapping[str, torch.Size]
"""Tensor name -> shape, in the order of the file."""

FP32 = 4
"""Bytes of a number."""


class TensorWriter:
    """Writes fp32 tensors of known shapes, in their order, and works out the checksum on the way."""

    def __init__(self, path: Path, shapes: Shapes) -> None:
        self._left = iter(list(shapes.items()))
        self._file = path.open("wb")
        self._hash = hashlib.sha256()
        self._write(_header(shapes))

    def add(self, name: str, tensor: Tensor) -> None:
        """Append the next tensor."""
        expected = next(self._left, None)
        if expected != (name, tensor.shape):
            raise ValueError(f"{name} {tuple(tensor.shape)} instead of {expected}")
        self._write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)

    def close(self) -> str:
        """Bring the file to the disk. Its SHA-256."""
        if (missing := next(self._left, None)) is not None:
            raise ValueError(f"{missing[0]} was not written")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._hash.hexdigest()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.close()

    def _write(self, content: bytes | memoryview) -> None:
        self._hash.update(content)
        self._file.write(content)


def _header(shapes: Shapes) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, shape in shapes.items():
        end = start + FP32 * math.prod(shape)
        entries[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


class TensorFile(Mapping[str, Tensor]):
    """The tensors of a file by name, each read when it is asked for."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = safe_open(path, "pt")
        except (OSError, SafetensorError) as error:
            raise XlmrError(f"{path}: not readable as safetensors ({error})") from None
        self._names = list(self._file.keys())

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        tensor: Tensor = self._file.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def shapes(self) -> dict[str, torch.Size]:
        """Their shapes; nothing is read."""
        return {name: torch.Size(self._file.get_slice(name).get_shape()) for name in self._names}
