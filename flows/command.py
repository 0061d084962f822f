"""``python -m flows.command CONFIG [--section.field VALUE …]``: the whole run as a Prefect flow from the command line.

Without PREFECT_API_URL a server lives as long as the command; with it, the run shows on that server.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from prefect.exceptions import Abort, Pause

from flows.form import Configuration, dag, folder_of_configurations, one_a_line, resolve, stage_choice
from flows.packages import full
from pipeline.cli import exit_code_of
from pipeline.errors import UsageError, XlmrError
from pipeline.runner import Selection

app = App(
    name="python -m flows.command",
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
    force: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Run every stage that is not fresh, as a Prefect flow. Any setting can be given as --section.field VALUE.

    Parameters
    ----------
    config
        A YAML file of configs/, as configs/demo.yaml.
    from_
        Start at this stage or package; what it is made from must be fresh.
    until
        End with this stage or package.
    only
        This stage or package alone; what it is made from must be fresh.
    force
        Run the selected stages even if they are fresh.
    """
    name = _configuration(config)
    overrides = one_a_line(settings)
    resolved = resolve(name, "", overrides)
    stages = Selection(from_, until, only).or_settings(resolved).stages(dag())
    chosen = [stage_choice(full.name)(stage) for stage in stages]
    try:
        state = full(Configuration(name), "", chosen, force, overrides, return_state=True)
    except (Abort, Pause) as signal:  # cancelled or suspended in the UI
        raise XlmrError(str(signal) or "the run was suspended on the server", "the same command resumes it") from None
    if state.is_completed():
        return 0
    print(f"xlmr: {' '.join((state.message or 'the flow failed').split())}", file=sys.stderr)
    return 1


def _configuration(path: Path) -> str:
    folder = folder_of_configurations()
    if not path.exists():
        raise UsageError(f"{path}: no such configuration", f"look in {folder}/")
    try:
        name = path.resolve().relative_to(folder.resolve()).with_suffix("").as_posix()
        return Configuration(name).value
    except ValueError:
        raise UsageError(
            f"{path}: is not among the run files of {folder}/", "put it there, or set XLMR_CONFIGS to its folder"
        ) from None


def main(words: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 failed, 2 bad usage or configuration."""
    words = sys.argv[1:] if words is None else words
    return exit_code_of(
        lambda: int(app(words, exit_on_error=False, print_error=False) or 0), "python -m flows.command --help"
    )


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.exit(code)
