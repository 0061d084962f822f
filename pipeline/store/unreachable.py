"""Which errors of the network may pass by themselves, so that a later try makes sense."""

from __future__ import annotations

from collections.abc import Iterator

PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 509, 520, 522, 524})
"""Statuses of HTTP that a later try may not meet."""
_UNREACHABLE = frozenset(
    {
        "ClientConnectionError",  # aiohttp
        "ClientPayloadError",
        "HTTPClientError",  # botocore
        "TransportError",  # httpx
        "gaierror",
    }
)
"""Classes of clients' libraries, beside the system's ConnectionError and TimeoutError: no connection, or one cut."""


def may_pass(error: BaseException) -> bool:
    """Whether what a client raises, or what that was raised from, is a server that does not answer now."""
    return any(_is_unreachable(one) or _status_of(one) in PASSING_STATUSES for one in _with_causes(error))


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def _is_unreachable(error: BaseException) -> bool:
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return not _UNREACHABLE.isdisjoint(one.__name__ for one in type(error).__mro__)


def _status_of(error: BaseException) -> object:
    """The status of HTTP that an error of aiohttp, httpx or botocore is about."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):  # botocore
        return answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return getattr(error, "status", None) or getattr(answer, "status_code", None)
