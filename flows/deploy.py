"""``python -m flows.deploy [CONFIG]``: serve the flow as deployments, for people to start from Prefect's UI.

One deployment runs everything, and one a room everything up to that room. The form opens with CONFIG's settings.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prefect import serve

from flows.full import DAG, full
from pipeline.cli import exit_code_of
from pipeline.config import Section

DEFAULT_CONFIG = Path("configs/demo.yaml")


def deployments(config: Section, rooms: Iterable[str]) -> list[Any]:
    """What ``serve`` takes: ``xlmr/full``, and ``xlmr/<room>`` for each room."""
    values = config.model_dump(mode="json")
    choices: dict[str, dict[str, str]] = {"full": {}, **{room: {"until": room} for room in rooms}}
    return [
        full.to_deployment(name, parameters={"config": values, "stages": choice}, tags=["xlmr"])
        for name, choice in choices.items()
    ]


def main(words: list[str] | None = None) -> int:
    """Serve until stopped. One flow run at a time: the stages of a run use the whole machine."""
    words = sys.argv[1:] if words is None else words

    def work() -> int:
        config = DAG.load_config(Path(words[0]) if words else DEFAULT_CONFIG, words[1:])
        serve(*deployments(config, [room.name for room in DAG.rooms]), limit=1)
        return 0

    return exit_code_of(work, "infra/README.md")


if __name__ == "__main__":
    sys.exit(main())
