"""``python toy_flow.py FOLDER PROJECT CONFIGURATION UNTIL [OVERRIDE …]``: stages of the toy package as a flow run.

A process of its own: Prefect sends the events of a process to one server only.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import toy_package
from prefect import State, flow

from flows.complete import say_if_complete
from flows.form import words_of
from flows.stages import run_as_tasks
from pipeline.dag import Dag
from pipeline.runner import Selection


def main(folder: str, project: str, configuration: str, until: str, *overrides: str) -> None:
    dag = Dag([toy_package.PACKAGE])
    run_file = Path(folder, "run.yaml")
    run_file.write_text("{}")
    words = [word for one in overrides for word in words_of(one)]
    config = dag.load_config(run_file, [f"--run.project={project}", *words])

    @flow(name="toy")
    def toy() -> State[Any]:
        state = run_as_tasks(dag, config, Selection(until=until).stages(dag))
        say_if_complete(dag, config, "toy", configuration, overrides)
        return state

    state: State[Any] = toy(return_state=True)
    assert state.is_completed(), state.message


if __name__ == "__main__":
    main(*sys.argv[1:])
