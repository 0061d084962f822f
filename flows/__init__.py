"""Prefect's view of the DAG: the same stages as tracked tasks, with a form, a graph and artifacts in its UI.

Freshness, resuming and excluding each other stay the core's; nothing here knows what a stage does.
"""

import os

# Prefect reads its settings when it is first imported. Whoever sets them outside is right.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
