"""A figure of a running stage, as the loss so far: one artifact, whose picture is replaced until the stage ends."""

from __future__ import annotations

from pathlib import Path
from typing import cast
from uuid import UUID

from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate

from flows.artifacts.repeater import Repeater
from flows.artifacts.sections import picture_of
from pipeline.stage import Stage, load_object

DRAW_SECONDS = 15.0
"""Between two pictures: an artifact's page shows a new one when it is loaded again."""


class LiveFigure(Repeater):
    """Keep the picture of the current task up to date while the block runs. For a stage that names one (``live``).

    ``output`` is the folder of this machine that the stage writes to.
    """

    def __init__(self, stage: Stage, output: Path, key: str) -> None:
        super().__init__(DRAW_SECONDS, f"live-{stage.name}")
        self._stage, self._output, self._key = stage, output, key
        self._artifact: UUID | None = None
        self._shown = ""

    def look(self) -> None:
        """Draw it, and show it if it is another than before."""
        figure = load_object(self._stage.live)(self._output)
        picture = picture_of([figure]) if figure is not None else self._shown
        if picture == self._shown:
            return
        if self._artifact is None:
            description = f"{figure.title}, while {self._stage.name} runs. Load the page again for the newest."
            self._artifact = cast(UUID, create_markdown_artifact(picture, self._key, description=description))
        else:
            with get_client(sync_client=True) as client:
                client.update_artifact(self._artifact, ArtifactUpdate(data=picture))
        self._shown = picture

    def finish(self) -> None:
        """Show the last numbers, too."""
        self.look()
