"""``python -m pipeline`` is ``xlmr``."""

from pipeline.cli import entry

entry()
