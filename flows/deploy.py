"""``python -m flows.deploy [CONFIG]``: serve the flow as deployments, for people to start from Prefect's UI.

One deployment runs everything, and one a package everything up to that package. The form opens with CONFIG's settings.
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


def deployments(config: Section, packages: Iterable[str]) -> list[Any]:
    """What ``serve`` takes: ``xlmr/full``, and ``xlmr/<package>`` for each package."""
    values = config.model_dump(mode="json")
    choices: dict[str, dict[str, str]] = {"full": {}, **{package: {"until": package} for package in packages}}
    return [
        full.to_deployment(name, parameters={"config": values, "stages": choice}, tags=["xlmr"])
        for name, choice in choices.items()
    ]


def main(words: list[str] | None = None) -> int:
    """Serve until stopped. One flow run at a time: the stages of a run use the whole machine."""
    words = sys.argv[1:] if words is None else words

    def work() -> int:
        config = DAG.load_config(Path(words[0]) if words else DEFAULT_CONFIG, words[1:])
        serve(*deployments(config, [package.name for package in DAG.packages]), limit=1)
        return 0

    return exit_code_of(work, "infra/README.md")


if __name__ == "__main__":
    sys.exit(main())
