"""Runs beside each other: what differs in their settings, how their stages stand, and what they came to.

Configurations and folders of runs -> ComparedRun each -> RunComparison. ``comparison_page.py`` draws it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import Section
from pipeline.dag import Dag
from pipeline.errors import UsageError, XlmrError
from pipeline.keys import live_settings, live_settings_of
from pipeline.manifest import MANIFEST, Manifest, usable_manifest
from pipeline.plan import KEY_LENGTH, Plan, State, make_plan
from pipeline.report.measures import Measure, measures_of
from pipeline.stage import Stage


@dataclass(frozen=True)
class ComparedRun:
    """One of the runs that are compared.

    ``states``    stage -> why its output is not what the run's settings ask for; nothing for a stage that is fresh.
    ``sections``  dotted names of the sections that its stages read: of others it cannot be said what they are.
    ``settings``  dotted name -> value, of all settings in these that can change a result and are not switched off.
    ``problems``  package -> why its measures cannot be read.
    """

    name: str
    source: str
    outputs: Mapping[str, Path]
    manifests: Mapping[str, Manifest]
    states: Mapping[str, str]
    sections: frozenset[str]
    settings: Mapping[str, Any]
    measures: Mapping[str, Measure]
    problems: Mapping[str, str]


@dataclass(frozen=True)
class RunComparison:
    """Two runs or more, and what can be said of all of them."""

    runs: Sequence[ComparedRun]
    stages: Sequence[str]
    """Those that stand in one of the runs at least, in the order of running; the report is left out."""

    def differing_settings(self) -> dict[str, list[Any]]:
        """Dotted name -> the value in each run, where runs that have the stages for it differ.

        None: the setting changes nothing in that run, or the run has no stage that reads it.
        """
        found = {}
        for name in sorted({name for run in self.runs for name in run.settings}):
            section = ".".join(name.split(".")[:2])
            known = [run.settings.get(name) for run in self.runs if section in run.sections]
            if any(value != known[0] for value in known):
                found[name] = [run.settings.get(name) for run in self.runs]
        return found

    def measures(self) -> dict[str, list[Measure | None]]:
        """Full name -> the measure of each run, for those that one run has at least; in the order of stages."""
        names = dict.fromkeys(name for run in self.runs for name in run.measures)
        found = {name: [run.measures.get(name) for run in self.runs] for name in names}
        order = {stage: number for number, stage in enumerate(self.stages)}
        return dict(sorted(found.items(), key=lambda item: order.get(one_of(item[1]).stage, len(order))))

    def gap(self, number: int, stage: str) -> str:
        """Why run ``number`` has no number, or no current one, of ``stage``: a word for its cell; '' where it has."""
        run = self.runs[number]
        if stage.partition(".")[0] in run.problems:
            return "cannot be read"
        state = run.states.get(stage, "" if stage in run.outputs else "not run")
        return state.partition(" because ")[0]

    def as_json(self) -> dict[str, Any]:
        """The comparison for other programs."""
        return {
            "runs": [
                {
                    "name": run.name,
                    "source": run.source,
                    "outputs": {stage: str(path) for stage, path in run.outputs.items()},
                    "seconds": {stage: manifest.seconds for stage, manifest in run.manifests.items()},
                    "not_fresh": dict(run.states),
                    "problems": dict(run.problems),
                }
                for run in self.runs
            ],
            "settings": self.differing_settings(),
            "measures": {
                name: {
                    "title": one_of(found).title,
                    "values": [one.value if one else None for one in found],
                    "spreads": [one.spread if one else None for one in found],
                    "by_language": [dict(one.by) if one else {} for one in found],
                }
                for name, found in self.measures().items()
            },
        }


def one_of(measures: Sequence[Measure | None]) -> Measure:
    """The first that is there; they have title and stage in common."""
    return next(measure for measure in measures if measure is not None)


def compare(dag: Dag, runs: Sequence[ComparedRun]) -> RunComparison:
    """The runs as one comparison."""
    present = {stage for run in runs for stage in (*run.outputs, *run.states)} - {"report"}
    return RunComparison(runs, [stage for stage in dag.stages if stage in present])


def runs_named(dag: Dag, sources: Sequence[Path], words: Sequence[str] = ()) -> list[ComparedRun]:
    """A run for each source: a YAML file (with the settings in ``words``), the folder of a run, or an output in one.

    Errors: UsageError for a source that is none of these.
    """
    names = _names(sources)
    return [
        run_in_folder(dag, name, source)
        if source.is_dir()
        else run_of_config(dag, name, dag.load_config(source, words), str(source))
        for name, source in zip(names, sources, strict=True)
    ]


def _names(sources: Sequence[Path]) -> list[str]:
    """The names of files and folders; with the folder above where two would be the same, then with a number."""
    stems = [source.resolve().name if source.is_dir() else source.stem for source in sources]
    long = [
        stem if stems.count(stem) == 1 else f"{source.resolve().parent.name}/{stem}"
        for stem, source in zip(stems, sources, strict=True)
    ]
    return [name if long.count(name) == 1 else f"{name} ({number})" for number, name in enumerate(long, 1)]


def run_of_config(dag: Dag, name: str, config: Section, source: str = "", until: Sequence[str] = ()) -> ComparedRun:
    """The run of a configuration as it stands on disk; of the stages that lead to ``until`` where some are named."""
    left_out: dict[str, XlmrError] = {}
    needed = dag.for_config(config)
    plan = make_plan(needed, config, left_out=left_out, only=list(until) or None)
    plan.pop("report", None)
    states = {stage: one.line() for stage, one in plan.items() if not one.fresh}
    states |= {stage: f"cannot run because {lost.problem}" for stage, lost in left_out.items() if stage != "report"}
    wanted = needed.ancestors(until) if until else set(needed.stages)
    settings: dict[str, Any] = {}
    for stage in wanted:
        own = live_settings(dag.stage_config(dag.stages[stage], config))
        settings |= _by_package(dag.stages[stage], own)
    return _compared(dag, name, source, _outputs(plan), states, wanted, settings)


def run_without_plan(name: str, stages: Sequence[str], problem: str) -> ComparedRun:
    """A run of which nothing can be known, for the reason in ``problem``."""
    states = dict.fromkeys(stages, f"cannot run because {problem}")
    return ComparedRun(name, "", {}, {}, states, frozenset(), {}, {}, {})


def _outputs(plan: Plan) -> dict[str, Path]:
    """The outputs that are there, stale ones too."""
    return {name: one.output for name, one in plan.items() if one.manifest and one.state is not State.MISSING}


def run_in_folder(dag: Dag, name: str, folder: Path) -> ComparedRun:
    """The run whose outputs lie in ``runs/<project>``, the newest of each stage that fit each other; or one output's.

    Errors: UsageError where there is none.
    """
    start = [folder] if (folder / MANIFEST).is_file() else _newest_first(dag, folder)
    found: dict[str, Path] = {}
    for output in start:
        found |= {stage: path for stage, path in _with_inputs(output) if stage not in found}
    if not found:
        raise UsageError(f"{folder}: no stage has run there", "name a run's folder, an output, or a YAML file")
    settings: dict[str, Any] = {}
    for stage in found.keys() & dag.stages.keys():
        manifest = usable_manifest(found[stage])
        if manifest:
            own = live_settings_of(manifest.config, dag.stages[stage].config)
            settings |= _by_package(dag.stages[stage], own)
    return _compared(dag, name, str(folder), found, {}, found.keys() & dag.stages.keys(), settings)


def _newest_first(dag: Dag, project: Path) -> list[Path]:
    """The newest complete output of each stage, those that are made from most first."""
    newest = []
    for stage in reversed(dag.stages):
        made = [(m.started, path) for path in (project / stage).glob("*") if (m := usable_manifest(path))]
        newest += [max(made)[1]] if made and stage != "report" else []
    return newest


def _with_inputs(output: Path) -> Iterator[tuple[str, Path]]:
    """(stage, output) of a complete output and of everything that it was made from and that is still there."""
    manifest = usable_manifest(output)
    if manifest is None:
        return
    yield manifest.stage, output
    for stage, record in manifest.inputs.items():
        yield from _with_inputs(output.parent.parent / stage / record["key"][:KEY_LENGTH])


def _by_package(stage: Stage, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{stage.package}.{name}": value for name, value in settings.items()}


def _compared(
    dag: Dag,
    name: str,
    source: str,
    outputs: Mapping[str, Path],
    states: Mapping[str, str],
    stages: Iterable[str],
    settings: Mapping[str, Any],
) -> ComparedRun:
    sections = frozenset(
        f"{dag.stages[stage].package}.{field}" for stage in stages for field in dag.stages[stage].config.model_fields
    )
    manifests = {stage: found for stage, path in outputs.items() if (found := usable_manifest(path))}
    measures, problems = measures_of(dag.packages, outputs)
    return ComparedRun(name, source, outputs, manifests, states, sections, settings, measures, problems)
