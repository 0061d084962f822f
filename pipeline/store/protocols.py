"""Which package of fsspec reads a protocol, and the line for a person who does not have it."""

from __future__ import annotations

from pipeline.errors import UsageError

EXTRA_OF = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "gcs": "gs",
    "abfs": "abfs",
    "abfss": "abfs",
    "az": "abfs",
    "http": "http",
    "https": "http",
}
"""Protocol -> the extra of this distribution that brings its package."""


def missing_package(address: str, error: ImportError) -> UsageError:
    """One line: what the protocol of an address needs, and the command that installs it."""
    protocol = address.partition("://")[0].rpartition("::")[2]
    problem = " ".join(str(error).split())
    extra = EXTRA_OF.get(protocol)
    if extra is None:  # fsspec's own line names the package
        return UsageError(f"{address}: {problem}", f"install what fsspec's pages name for {protocol}://")
    return UsageError(f"{address}: {problem}", f"pip install 'xlmr-pipeline[{extra}]'")
