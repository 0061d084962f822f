"""Options that many commands have, as the types of their parameters."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

Settings = Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]
"""Settings of the configuration, as ``--section.field VALUE``."""

Flag = Annotated[bool, Parameter(negative="")]
"""Off unless it is given; there is no ``--no-…``."""

Json = Annotated[bool, Parameter(name="--json", negative="")]
"""What is printed as JSON: a list as one object a line."""

From = Annotated[str | None, Parameter(name="--from")]
"""A stage or package that a run begins with: ``from`` is a word of Python."""
