"""A real S3 server on loopback (moto's), which can fail as the real ones do.

``faults`` maps a kind to how often it happens, of 1: ``busy`` answers 503, ``slow`` waits, ``cut`` ends a body early,
``lost`` does what was asked and answers 500. ``before`` is called with the method and path of each request: a process
can be killed at that very moment. Where it gives True, nothing is done and the answer is 503.

``conditions`` says how conditional writes are taken: ``as AWS``; ``as others``, whose refusal does not name the
condition; ``ignored``; ``not implemented``.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

SLOW_SECONDS = 0.5


class S3Server:
    """Started when made; ``close`` ends it."""

    def __init__(self) -> None:
        self.faults: dict[str, float] = {}
        self.before: Callable[[str, str], bool] | None = None
        self.conditions = "as AWS"
        self.requests: list[tuple[str, str]] = []
        self.injected: Counter[str] = Counter()
        self._rng = random.Random(7)
        self._app = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def environment(self) -> dict[str, str]:
        """What a client needs to know, as all clients of S3 read it."""
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
        return {**keys, "AWS_ENDPOINT_URL": self.url}

    def count(self, method: str, inside: str = "") -> int:
        """Requests of a method whose address has ``inside``."""
        return sum(one == method and inside in path for one, path in self.requests)

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _happens(self, kind: str) -> bool:
        happens = self._rng.random() < self.faults.get(kind, 0.0)
        self.injected[kind] += happens
        return happens

    def _answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        path = f"{environ['PATH_INFO']}?{environ.get('QUERY_STRING', '')}"
        self.requests.append((environ["REQUEST_METHOD"], path))
        dropped = self.before is not None and self.before(environ["REQUEST_METHOD"], path)
        if dropped or self._happens("busy"):
            return _refuse(environ, start, "503 Slow Down", b"SlowDown")
        if self._happens("slow"):
            time.sleep(SLOW_SECONDS)
        if self.conditions == "not implemented" and "HTTP_IF_NONE_MATCH" in environ:
            return _refuse(environ, start, "501 Not Implemented", b"NotImplemented")
        if self.conditions == "ignored":
            environ.pop("HTTP_IF_NONE_MATCH", None)
        answer: list[Any] = []
        with self._lock:  # conditional puts are atomic
            body = b"".join(self._app(environ, lambda *given: answer.extend(given)))
        if environ["REQUEST_METHOD"] == "PUT" and self._happens("lost"):
            start("500 Internal Server Error", [("Content-Type", "application/xml")])
            return [_error(b"InternalError")]
        if environ["REQUEST_METHOD"] == "GET" and len(body) > 1 and self._happens("cut"):
            start(answer[0], [*answer[1], ("Connection", "close")])
            return _cut(body)
        if self.conditions == "as others" and answer[0].startswith("412"):
            body = body.replace(b"<Condition>If-None-Match</Condition>", b"")
            answer[1] = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
        start(*answer[:2])
        return [body]


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug names it
        pass


def _refuse(environ: dict[str, Any], start: Any, status: str, code: bytes) -> list[bytes]:
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    start(status, [("Content-Type", "application/xml")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [_error(code)]


def _error(code: bytes) -> bytes:
    return b"<?xml version='1.0'?><Error><Code>" + code + b"</Code><Message>injected</Message></Error>"


def _cut(body: bytes) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    raise ConnectionAbortedError("the body is cut here")
