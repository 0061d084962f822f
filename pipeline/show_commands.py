"""The commands that show what is there, and what would be: plan, status, inspect, prune, settings.

Tables are printed for people, and with ``--json`` as one JSON object a line. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.dag import Dag
from pipeline.errors import XlmrError
from pipeline.options import Flag, From, Json, Settings
from pipeline.terminal import print_json

if TYPE_CHECKING:
    from pipeline.config import Section
    from pipeline.plan import Plan, StagePlan


def plan_command(dag: Dag) -> Callable[..., None]:
    """The command ``plan``: what would run, and why."""

    def plan(
        config: Path,
        *settings: Settings,
        from_: From = None,
        until: str | None = None,
        only: str | None = None,
        force: tuple[str, ...] = (),
        verify: Flag = False,
        as_json: Json = False,
    ) -> None:
        """Say of each stage whether it is fresh, missing or stale, and why. Exit code 1 where it could not run.

        Takes the stages as xlmr run does. Waits for the network for ten seconds at most, in all.

        Parameters
        ----------
        config
            YAML file of the run.
        from_
            Plan this stage or package and what is made from it.
        until
            Plan up to this stage or package.
        only
            Plan this stage or package alone.
        force
            A stage or package that is to run even if it is fresh (may be repeated).
        verify
            Compare the checksum of every file, not only its size and time.
        as_json
            A JSON object for each stage: its state, the reasons, its key and those of its inputs, its output.
        """
        from pipeline.plan import make_plan
        from pipeline.runner import Selection, check_sources
        from pipeline.waiting import PLAN_SECONDS, waiting_at_most

        loaded = dag.load_config(config, settings)
        needed = dag.for_config(loaded)
        selection = Selection(start=from_, until=until, only=only, force=force).or_settings(loaded)
        chosen = selection.stages(needed)
        forced = selection.forced(needed) & set(chosen)
        left_out: dict[str, XlmrError] = {}
        with waiting_at_most(PLAN_SECONDS):
            made = make_plan(needed, loaded, verify=verify, force=forced, only=chosen, left_out=left_out)
        left_out |= _unfit(made, loaded)
        names = [name for name in chosen if name in made or name in left_out]
        if as_json:
            print_json(_plan_record(name, made.get(name), left_out.get(name)) for name in names)
        else:
            lines = {name: made[name].line() for name in names if name in made}
            lines |= {name: f"cannot run: {error.problem}" for name, error in left_out.items()}
            for name in names:
                print(f"{name:{max(map(len, lines))}}  {lines[name]}")
        for name in names:
            if name in left_out:
                raise left_out[name]
        check_sources(made, chosen)

    return plan


def _unfit(plan: Plan, config: Section) -> dict[str, XlmrError]:
    """The stages that would run and whose settings do not go with others, with what is wrong."""
    from pipeline.runner import check_fit

    found = {}
    for name in (name for name, stage in plan.items() if not stage.fresh):
        try:
            check_fit(plan[name].stage, config)
        except XlmrError as error:
            found[name] = error
    return found


def _plan_record(name: str, plan: StagePlan | None, error: XlmrError | None) -> dict[str, Any]:
    if plan is None or error is not None:
        return {"stage": name, "state": "cannot run", "reasons": [error.problem if error else ""]}
    return {
        "stage": name,
        "state": str(plan.state),
        "reasons": plan.reasons,
        "key": plan.key,
        "inputs": plan.input_keys,
        "output": str(plan.output),
    }


def status_command(dag: Dag) -> Callable[..., None]:
    """The command ``status``: what has run."""
    del dag

    def status(run: str = "runs", *, as_json: Json = False) -> None:
        """Say what ran, when, for how long, and what went in and out.

        Parameters
        ----------
        run
            Folder of one run, or of all runs, or its address, as s3://bucket/runs.
        as_json
            A JSON object for each output: all of its manifest but the single files, with the keys of its inputs.
        """
        from pipeline.run_settings import folder_or_address
        from pipeline.status import describe_runs, records_of_runs

        folder = folder_or_address(run)
        if as_json:
            print_json(records_of_runs(folder))
            return
        for line in describe_runs(folder):
            print(line)

    return status


def inspect_command(dag: Dag) -> Callable[..., None]:
    """The command ``inspect``: what is in an output."""
    del dag

    def inspect(path: Path, *paths: Path, records: int = 3) -> None:
        """Show rows, schema, a few records, and what was dropped and why.

        Parameters
        ----------
        path
            An output folder, its manifest, or a file in it (Arrow, Parquet, JSON lines, NumPy, text).
        paths
            More of them, as where a pattern names several.
        records
            How many records to show.
        """
        from pipeline.inspect import describe

        for number, one in enumerate((path, *paths)):
            if number:
                print()
            for line in describe(one, records):
                print(line)

    return inspect


def prune_command(dag: Dag) -> Callable[..., None]:
    """The command ``prune``: outputs of other settings, removed."""

    def prune(config: Path, *settings: Settings, dry_run: Flag = False, as_json: Json = False) -> None:
        """Remove the project's outputs that this configuration does not lead to.

        Parameters
        ----------
        config
            YAML file of the run.
        dry_run
            Say what would be removed, and remove nothing.
        as_json
            A JSON object for each old output.
        """
        from pipeline.prune import old_outputs, prune, remove

        loaded = dag.load_config(config, settings)
        if as_json:
            print_json(output.as_json() for output in remove(old_outputs(dag, loaded), dry_run=dry_run))
            return
        for line in prune(dag, loaded, dry_run=dry_run):
            print(line)

    return prune


def settings_command(dag: Dag) -> Callable[..., None]:
    """The command ``settings``: every setting."""

    def settings(
        section: str = "", *, markdown: Flag = False, as_json: Json = False, json_schema: Flag = False
    ) -> None:
        """List every setting with its type, default, range, description and source.

        Parameters
        ----------
        section
            A section or a setting, as corpus.read; all if not given.
        markdown
            As a page of Markdown.
        as_json
            A JSON object for each setting.
        json_schema
            The JSON schema of a whole configuration, for editors.
        """
        import json
        from dataclasses import asdict

        from pipeline.settings_list import as_markdown, as_text, list_settings

        if json_schema:
            print(json.dumps(dag.config_model.model_json_schema(), indent=2, ensure_ascii=False))
            return
        found = list_settings(dag.config_model, section)
        if as_json:
            print_json(asdict(setting) for group in found for setting in group.settings)
            return
        for line in as_markdown(found) if markdown else as_text(found):
            print(line)

    return settings
