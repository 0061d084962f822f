"""safetensors read by tensor: each goes from the file into memory of its own, in fp32, and must be finite.

safetensors' own reader maps the file, so that a model being loaded counts twice: once as pages of the file, once as the
copy that is kept. Here one tensor at a time is in memory besides those that were asked for.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pipeline.errors import XlmrError
from pipeline.json_file import read_json_as
from pretrain.conversion import refuse_pickles

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""What weights may be stored as."""

COPY_AGAIN = "copy the folder again from where it came, or run the stage that wrote it again"


class WeightsFile(Mapping[str, Tensor]):
    """The tensors of one file by name, each read when it is asked for, as fp32.

    Errors: XlmrError naming the file where it is missing, damaged, or holds a number that is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with safe_open(path, "pt"):  # checks the header: lengths, types, that every byte is of one tensor
                pass
        except FileNotFoundError:
            raise XlmrError(f"{path}: no such file", "name a folder that pretrain.export wrote") from None
        except (SafetensorError, OSError) as error:
            said = " ".join(str(error).split())
            raise XlmrError(f"{path}: not readable as safetensors ({said})", COPY_AGAIN) from None
        # Held open: a training that removes its old checkpoints takes none of it away from who reads one.
        self._file = path.open("rb", buffering=0)
        weakref.finalize(self, self._file.close)
        length = int.from_bytes(self._file.read(8), "little")
        entries: dict[str, Any] = json.loads(self._file.read(length))
        self._data = 8 + length
        self._entries = {name: entry for name, entry in entries.items() if name != "__metadata__"}

    def shape(self, name: str) -> torch.Size:
        """Of a tensor, which is not read."""
        return torch.Size(self._entries[name]["shape"])

    def __getitem__(self, name: str) -> Tensor:
        entry = self._entries[name]
        if entry["dtype"] not in DTYPES:
            raise XlmrError(f"{self._path}: {name} is of type {entry['dtype']}", f"weights are {', '.join(DTYPES)}")
        stored = torch.empty(entry["shape"], dtype=DTYPES[entry["dtype"]])
        if stored.numel():
            start, end = entry["data_offsets"]
            self._file.seek(self._data + start)
            self._fill(stored, end - start)
        values = stored.float()
        self._check_finite(name, values)
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _fill(self, stored: Tensor, size: int) -> None:
        left = memoryview(stored.reshape(-1).view(torch.uint8).numpy().data)
        while left:
            count = self._file.readinto(left)
            if not count:
                raise XlmrError(f"{self._path}: cut short while it was read ({len(left)} of {size} bytes)", COPY_AGAIN)
            left = left[count:]

    def _check_finite(self, name: str, values: Tensor) -> None:
        if not values.numel():
            return
        least, most = torch.aminmax(values)  # both are NaN where a value is
        if not (torch.isfinite(least) and torch.isfinite(most)):
            raise XlmrError(f"{self._path}: {name} has values that are NaN or infinite", COPY_AGAIN)


class _Index(BaseModel):
    """``model.safetensors.index.json``: which file each tensor stands in."""

    weight_map: dict[str, str]


class Weights(Mapping[str, Tensor]):
    """The tensors of a folder by name, in one safetensors file or in several. Errors: those of ``WeightsFile``."""

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, WeightsFile] = {}
        refuse_pickles(folder)
        index = folder / INDEX
        if not index.exists() or (folder / WEIGHTS).exists():
            self._add(folder / WEIGHTS, None)
            return
        found = read_json_as(_Index, index, COPY_AGAIN).weight_map
        for file_name in sorted(set(found.values())):
            if Path(file_name).name != file_name or not file_name.isprintable():
                raise XlmrError(f"{index}: weight_map names the file {file_name!r}", "files must lie beside it")
            self._add(folder / file_name, {name for name, place in found.items() if place == file_name})

    def shape(self, name: str) -> torch.Size:
        """Of a tensor, which is not read."""
        return self._files[name].shape(name)

    def _add(self, path: Path, wanted: set[str] | None) -> None:
        opened = WeightsFile(path)
        if wanted is not None and (missing := wanted - set(opened)):
            raise XlmrError(f"{path}: has no tensor {min(missing)!r}", f"it is not the file of {INDEX}")
        self._files |= dict.fromkeys(opened, opened)

    def __getitem__(self, name: str) -> Tensor:
        return self._files[name][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)
