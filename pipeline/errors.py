"""Errors meant for a person: one line that says what is wrong, and the fix."""

from __future__ import annotations

import errno

from pipeline.secrets import redact


class XlmrError(Exception):
    """Something that the person can fix. Exit code 1. Addresses in its texts lose their passwords and tokens."""

    exit_code = 1

    def __init__(self, problem: str, fix: str = "") -> None:
        self.problem = redact(problem)
        self.fix = redact(fix)
        super().__init__(self.problem, self.fix)

    def __str__(self) -> str:
        return f"{self.problem}; {self.fix}" if self.fix else self.problem


class UsageError(XlmrError):
    """A wrong command or configuration. Exit code 2."""

    exit_code = 2


class UnreachableError(XlmrError):
    """What is needed does not answer now, and may later: a server, a storage, a scheduler. A flow tries again."""


class SignalledError(XlmrError):
    """A stage ends because of a signal, and has saved its work."""


def explain_os_error(error: OSError) -> XlmrError | None:
    """The person's line for the operating system's common refusals, or None where there is no better line."""
    name = error.filename or "the output"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return XlmrError(
            f"{name}: the disk is full",
            "free some space and run the same command again: what is complete is kept",
        )
    if error.errno == errno.EROFS:
        return XlmrError(f"{name}: the file system is read-only", "choose another run.directory")
    if isinstance(error, FileNotFoundError) and error.filename:
        return XlmrError(f"{name}: no such file", "check the path in the configuration")
    if isinstance(error, NotADirectoryError | FileExistsError) and error.filename:
        return XlmrError(f"{name}: a file stands where a folder is meant", "move it, or name another folder")
    if isinstance(error, PermissionError) and error.filename:
        return XlmrError(f"{name}: permission denied", "check who owns it, or choose another run.directory")
    return None
