"""What a stage has made, as an artifact: where it is, what it was made from, its cost, its counts, its warnings."""

from __future__ import annotations

from typing import cast

from prefect.artifacts import Artifact, create_markdown_artifact
from prefect.client.schemas.objects import Artifact as ArtifactResponse

from flows.artifacts.links import show_links
from flows.artifacts.sections import artifact_key, show_sections
from pipeline.config import flatten
from pipeline.dag import Dag
from pipeline.manifest import Manifest
from pipeline.markdown import markdown_table
from pipeline.plan import Plan, StagePlan
from pipeline.store.copies import Copies


def show_stage(dag: Dag, plan: Plan, name: str, copies: Copies) -> None:
    """Show a stage that is complete: itself, its pages, and its part of the report."""
    stage, key = plan[name], artifact_key(name)
    if stage.manifest is None:
        return
    create_markdown_artifact(describe_stage(stage, stage.manifest), key=key, description=stage.stage.summary)
    show_links(stage, key)
    show_sections(dag, plan, name, copies)


def is_shown(stage: StagePlan) -> bool:
    """Whether the server has the artifacts of this very output."""
    found = cast(ArtifactResponse | None, Artifact.get(artifact_key(stage.stage.name)))
    return found is not None and f"`{stage.key}`" in str(found.data)


def describe_stage(plan: StagePlan, manifest: Manifest) -> str:
    """Markdown: where the output is, what it cost, what it counted, and its warnings."""
    megabytes = sum(record.size for record in manifest.files.values()) / 1e6
    facts = [
        ("output", f"`{plan.output}`"),
        *(("page", f"`{page}`") for page in sorted(plan.output.glob("*.html"))),
        ("key", f"`{plan.key}`"),
        *((f"made from {name}", f"`{key}`") for name, key in plan.input_keys.items()),
        ("started", manifest.started[:19]),
        ("seconds", f"{manifest.seconds:,.1f}"),
        ("peak memory", f"{manifest.peak_memory_bytes / 1e9:.2f} GB"),
        ("files", f"{len(manifest.files):,}, {megabytes:,.1f} MB"),
    ]
    counts = [
        (name, f"{value:,}" if isinstance(value, int | float) else value) for name, value in flatten(manifest.counts)
    ]
    parts = [f"# {plan.stage.name}", plan.stage.summary, markdown_table(("what", "is"), facts)]
    if counts:
        parts.append(markdown_table(("count", "value"), counts))
    parts.append("\n".join(f"- warning: {line}" for line in manifest.warnings))
    return "\n\n".join(parts)
