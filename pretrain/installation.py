"""What training needs of the machine, for ``xlmr doctor``: torch's build, DeepSpeed, GPUs. Imports neither of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from pipeline.doctor import Finding, installed_version

DEVICES = Path("/dev")
INSTALL = "pip install 'xlmr-pipeline[train]'"


def check() -> Iterator[Finding]:
    """One finding for each thing."""
    gpus = _gpus()
    build = _torch_build()
    if build is None:
        yield Finding("torch", "absent", "not installed: no pretraining and no fine-tuning", INSTALL)
    elif gpus and not build.accelerator:
        fix = "install torch's build for this GPU (pytorch.org/get-started)"
        yield Finding("torch", "missing", f"{build.version}, a build for CPUs, but the machine has a GPU", fix)
    else:
        yield Finding("torch", "ok", f"{build.version}, a build for {build.accelerator or 'CPUs'}")
    if deepspeed := installed_version("deepspeed"):
        yield Finding("deepspeed", "ok", deepspeed)
    else:
        yield Finding("deepspeed", "absent", "not installed: no pretraining and no fine-tuning", INSTALL)
    if gpus:
        yield Finding("GPU", "ok", ", ".join(gpus))
    else:
        yield Finding("GPU", "absent", "none is found; training uses the processors", "see docs/pretrain.md")


class _Build:
    """What torch's own ``version.py`` says, read as text: the import would take seconds."""

    def __init__(self, source: str) -> None:
        values = dict(re.findall(r"^(\w+)(?:\s*:[^=]*)?\s*=\s*'([^']*)'", source, re.MULTILINE))
        self.version = values.get("__version__", "version unknown")
        names = {"cuda": "CUDA", "hip": "ROCm", "xpu": "XPU"}
        self.accelerator = next((f"{name} {values[key]}" for key, name in names.items() if values.get(key)), "")


def _torch_build() -> _Build | None:
    found = find_spec("torch")
    if found is None or found.origin is None:
        return None
    try:
        return _Build(Path(found.origin).with_name("version.py").read_text(encoding="utf-8"))
    except OSError:
        return None


def _gpus() -> list[str]:
    """The device files of NVIDIA's and AMD's GPUs."""
    found = [*DEVICES.glob("nvidia[0-9]*"), *(DEVICES / "dri").glob("renderD*")]
    return sorted(str(path) for path in found if "nvidia" in path.name or (DEVICES / "kfd").exists())
