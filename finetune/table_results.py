"""Results that a table is made of: results.json of finished stages, checked, each with what it is of.

A run's folder -> the one result that is meant; where there could be several, none is chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from pipeline.errors import UsageError, XlmrError
from pipeline.json_file import read_json_as
from pipeline.manifest import MANIFEST, read_manifest

RESULTS = "results.json"

Results = Mapping[str, Any]
"""What results.json says, with ``path`` of its output and ``date`` of the run."""

TRANSFER_TASKS = ("xnli",)
"""Tasks whose training texts in other languages are translations."""


class RunScores(BaseModel):
    """One run of a result."""

    model_config = ConfigDict(extra="allow")

    initialisation: str
    learning_rate: float
    seed: int
    dev_score: float
    test: dict[str, dict[str, float]] = Field(min_length=1)


class ResultsFile(BaseModel):
    """The keys of results.json that a table reads."""

    model_config = ConfigDict(extra="allow")

    task: str
    kind: Literal["classification", "regression", "tagging", "span"]
    trained_on: list[str] = Field(min_length=1)
    chosen_on: list[str]
    runs: list[RunScores] = Field(min_length=1)
    baselines: dict[str, dict[str, dict[str, float]]] = {}
    encoder: str = ""
    translated_test: bool = False

    @field_validator("runs")
    @classmethod
    def _tested_alike(cls, runs: list[RunScores]) -> list[RunScores]:
        for one in runs:
            if one.test.keys() != runs[0].test.keys():
                raise ValueError(f"were tested on {', '.join(runs[0].test)} and on {', '.join(one.test)}")
        return runs


def results_of(paths: Iterable[Path]) -> list[Results]:
    """The results of several outputs or runs, each once. Errors: see ``read_results``."""
    found: dict[Path, Results] = {}
    for path in paths:
        one = read_results(path)
        found.setdefault(Path(one["path"]).resolve(), one)
    return list(found.values())


def read_results(path: Path) -> Results:
    """The results of an output folder, or of the one output of finetune.task of a run's folder.

    Errors: XlmrError for none, for several that could be meant, and for a results.json of another shape.
    """
    if (path / RESULTS).is_file():
        return _read(path)
    outputs = sorted(file.parent for file in path.glob(f"finetune.task/*/{RESULTS}"))
    finished = [output for output in outputs if (output / MANIFEST).is_file()] or outputs
    if not finished:
        raise XlmrError(f"{path}: holds no results", "name an output of finetune.task, or the folder of a run")
    found = [_read(output) for output in finished]
    if len(found) > 1:
        shown = "; ".join(f"{Path(one['path']).name} ({described(one)})" for one in found)
        raise UsageError(
            f"{path}: {len(found)} results could be meant: {shown}", "name the folder of one of them, or xlmr prune"
        )
    return found[0]


def _read(output: Path) -> Results:
    checked = read_json_as(ResultsFile, output / RESULTS, "run finetune.task again")
    return checked.model_dump() | {"path": str(output), "date": _date(output)}


def _date(output: Path) -> str:
    """When the stage ran, by its manifest; without one, when its results were written."""
    manifest = read_manifest(output)
    if manifest is not None:
        return manifest.started[:10]
    return datetime.fromtimestamp((output / RESULTS).stat().st_mtime, UTC).date().isoformat()


def encoder_name(folder: str) -> str:
    """A folder by its name; one of pretrain.export by its project and key too."""
    parts = Path(folder).parts
    return "/".join(parts[-3:] if "pretrain.export" in parts[-2:] else parts[-1:])


def protocol_name(one: Results) -> str:
    """How languages are used, in the papers' words."""
    if one.get("translated_test"):
        return "translate-test"
    translated = one["task"] in TRANSFER_TASKS
    if len(one["trained_on"]) > 1:
        return "translate-train-all" if translated else "train all"
    (language,) = one["trained_on"]
    if any(tested != language for run in one["runs"] for tested in run["test"]):
        return "cross-lingual transfer"
    return "translate-train" if translated and language != "en" else f"train {language}"


def described(one: Results, encoder: bool = True) -> str:
    """What a result is of: encoder, languages, translated or not, seeds, date, key of the output."""
    chosen = "each language's own dev" if one.get("chosen_by") == "language" else ", ".join(one["chosen_on"])
    parts = [encoder_name(one["encoder"])] if encoder and one.get("encoder") else []
    parts += [f"train {', '.join(one['trained_on'])}", f"chosen on {chosen}"]
    parts += ["tests translated to English"] if one.get("translated_test") else []
    parts += [seeds_of([one]), *dates_of([one])]
    parts += [Path(one["path"]).name] if one.get("path") else []
    return ", ".join(parts)


def seeds_of(results: Sequence[Results]) -> str:
    """``5 seeds``, or ``1 to 5 seeds`` where results have different numbers."""
    counts = [len({run["seed"] for run in one["runs"]}) for one in results]
    low, high = min(counts), max(counts)
    return f"{low} seed{'s' * (low > 1)}" if low == high else f"{low} to {high} seeds"


def dates_of(results: Sequence[Results]) -> list[str]:
    """The day, or the first and the last; empty where none is known."""
    days = sorted({one["date"] for one in results if one.get("date")})
    return [" to ".join(dict.fromkeys([days[0], days[-1]]))] if days else []


def by_encoder(results: Sequence[Results]) -> Iterator[list[Results]]:
    """Results that may stand in one row: of the same encoder, and all of translated tests or none."""
    groups: dict[tuple[str, bool], list[Results]] = {}
    for one in results:
        groups.setdefault((one.get("encoder", ""), bool(one.get("translated_test"))), []).append(one)
    yield from groups.values()


def one_each(results: Sequence[Results], names: Mapping[int, str]) -> dict[str, Results]:
    """Name -> the result that is meant; ``names``: place in ``results`` -> name. Errors: UsageError for two of one."""
    found: dict[str, Results] = {}
    for place, name in names.items():
        if name in found:
            both = " and ".join(str(one.get("path", one["task"])) for one in (found[name], results[place]))
            raise UsageError(f"{both}: both are results of {name} from the same encoder", "name one of them")
        found[name] = results[place]
    return found
