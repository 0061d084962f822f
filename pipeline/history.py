"""How an output came to be, out of manifests alone: for the cards of corpora and models.

An output's manifest names what it was made from, whose manifests lie beside it, and so on upwards. The same manifests
give the same history: nothing of when, where or how fast something was made stands in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.config import Section, flatten
from pipeline.counts import Counts
from pipeline.manifest import Manifest, read_manifest
from pipeline.plan import KEY_LENGTH
from pipeline.stage import Inputs


@dataclass(frozen=True)
class Made:
    """What a manifest says of one stage, as far as a card needs it."""

    config: Mapping[str, Any]
    counts: Counts
    outside: Mapping[str, str] = field(default_factory=dict)
    commit: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest) -> Made:
        """Out of a manifest."""
        return cls(manifest.config, manifest.counts, manifest.outside, manifest.git_commit, manifest.packages)

    def code(self, packages: tuple[str, ...]) -> str:
        """``xlmr at commit 1a2b3c4, torch 2.8.0``, with those of ``packages``; empty where no commit is known."""
        if not self.commit:
            return ""
        used = [f"{name} {version}" for name, version in self.packages.items() if name in packages]
        return ", ".join([f"xlmr at commit {self.commit.replace('+changes', ' with changes')}", *used])


History = Mapping[str, Made]
"""By stage name, the stages that made an output, those whose manifests are still there."""


def history_above(folder: Path, manifest: Manifest) -> dict[str, Made]:
    """Everything that an output was made from, as long as it is still the same build: <stage>/<key8> beside it."""
    found: dict[str, Made] = {}
    waiting = [(folder, manifest)]
    while waiting:
        place, below = waiting.pop()
        for stage, source in below.inputs.items():
            above = place.absolute().parent.parent / stage / source["key"][:KEY_LENGTH]
            known = read_manifest(above)
            if stage not in found and known is not None and known.build == source["build"]:
                found[stage] = Made.of(known)
                waiting.append((above, known))
    return found


def history_of(inputs: Inputs) -> dict[str, Made]:
    """Of an output in the making: its inputs, and everything that these were made from."""
    found: dict[str, Made] = {}
    for stage, folder in inputs.items():
        manifest = read_manifest(folder)
        if manifest is not None:
            found |= {stage: Made.of(manifest), **history_above(folder, manifest)}
    return found


def setting_of(history: History, stage: str, name: str) -> Any:
    """A setting of a stage by its dotted name; None where it is not known."""
    made = history.get(stage)
    value: Any = made.config if made else None
    for word in name.split("."):
        value = value.get(word) if isinstance(value, Mapping) else None
    return value


def described_settings(model: type[Section], values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Each setting that decides a stage's result: dotted name, value, description."""
    for name, value in sorted(flatten(values)):  # a manifest read again is sorted, one in the making is not
        yield name, shown_setting(value), _description(model, name.split("."))


def _description(model: Any, path: list[str]) -> str:
    """What the settings' model says of a field; empty where the path leads into a table."""
    found = ""
    for name in path:
        fields = getattr(model, "model_fields", {})
        if name not in fields:
            return found
        found, model = fields[name].description or "", fields[name].annotation
    return found


def shown_setting(value: Any) -> str:
    """A setting as text. Where files lay on this machine is nobody's business: a path is cut to its last part."""
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, list):
        return ", ".join(shown_setting(one) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and value.startswith(("/", "~", "file:")):
        return f"…/{Path(value).name}"
    return f"{value:,}" if isinstance(value, int) else str(value)
