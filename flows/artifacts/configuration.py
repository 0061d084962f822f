"""The configuration that a flow run resolved to, as an artifact of it."""

from __future__ import annotations

import yaml
from prefect.artifacts import create_markdown_artifact

from pipeline.config import Section


def show_configuration(config: Section) -> None:
    """Show every setting as YAML, which ``xlmr run`` would take as it is."""
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    create_markdown_artifact(
        f"```yaml\n{text}```\n", key="configuration", description="Every setting of this run, as a run file has it"
    )
