"""A failed run's log has the line that says what to do, and no traceback of Prefect's own after it."""

from __future__ import annotations

import logging

from prefect.exceptions import FailedRun

LOGGERS = ("prefect.flow_runs", "prefect.engine")


def shorten(record: logging.LogRecord) -> bool:
    """Leave of a record about a failed state its message alone; for ``logging.Logger.addFilter``."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, FailedRun):
        record.msg, record.args, record.exc_info, record.exc_text = str(error), (), None, None
    return True


def shorten_logs() -> None:
    """Do so in this process."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(shorten)
