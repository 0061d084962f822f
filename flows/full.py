"""``python -m flows.full configs/demo.yaml [--section.field VALUE …]``: the whole run as one Prefect flow.

Without PREFECT_API_URL a server lives as long as the command; with it, the run shows on that server.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from prefect import State, flow

from flows.stages import StageChoice, run_as_tasks
from pipeline.cli import exit_code_of
from pipeline.dag import Dag

DAG = Dag.default()
RunFile = DAG.config_model
"""The complete configuration: Prefect's form shows every setting with its description."""


@flow(name="xlmr", description="From a raw web crawl to a fine-tuned multilingual encoder", persist_result=False)
def full(config: RunFile, stages: StageChoice = StageChoice()) -> State[Any]:  # type: ignore[valid-type]  # noqa: B008
    """Run every chosen stage that is not fresh.

    Args:
        config: The whole run, as a YAML file of configs/ gives it.
        stages: Which stages; all when nothing is said.
    """
    return run_as_tasks(DAG, config, stages)


app = App(
    name="python -m flows.full",
    help="Run every stage that is not fresh, as a Prefect flow.",
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # exit_code_of has a line for it
)


@app.default
def command(
    config: Path,
    *settings: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)],
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    until: str | None = None,
    only: str | None = None,
    force: tuple[str, ...] = (),
) -> int:
    """Run every stage that is not fresh, as a Prefect flow. Any setting can be given as --section.field VALUE.

    Parameters
    ----------
    config
        YAML file of the run, as configs/demo.yaml.
    from_
        Start at this stage or package; what it is made from must be fresh.
    until
        End with this stage or package.
    only
        This stage or package alone; what it is made from must be fresh.
    force
        Run this stage or package even if it is fresh (may be repeated).
    """
    choice = StageChoice(start=from_, until=until, only=only, force=list(force))
    state = full(DAG.load_config(config, settings), choice, return_state=True)
    if state.is_completed():
        return 0
    print(f"xlmr: {' '.join((state.message or 'the flow failed').split())}", file=sys.stderr)
    return 1


def main(words: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 failed, 2 bad usage or configuration."""
    words = sys.argv[1:] if words is None else words
    return exit_code_of(
        lambda: int(app(words, exit_on_error=False, print_error=False) or 0), "python -m flows.full --help"
    )


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.exit(code)
