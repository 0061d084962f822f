"""A web server for tests of fetching: it gives files by ranges as a good one does, and misbehaves on demand."""

from __future__ import annotations

import gzip
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from corpus_crawl import wet_record

from corpus.crawl.cache import Cache
from corpus.crawl.settings import Download

Fault = Callable[["Handler", bytes], bool]
"""(handler, content) -> whether it has answered."""


@dataclass
class CrawlServer:
    """``files`` by path; ``faults`` by path, each used once, in order; ``requests`` that came: path and Range."""

    base: str
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    busy: int = 0
    busiest: int = 0
    slowness: float = 0.0
    tags: bool = True
    ranges: bool = True


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    crawl: CrawlServer
    lock = threading.Lock()

    def do_GET(self) -> None:
        crawl, path = self.crawl, self.path.lstrip("/")
        with self.lock:
            crawl.requests.append((path, self.headers.get("Range")))
            crawl.times.append(time.monotonic())
            crawl.busy += 1
            crawl.busiest = max(crawl.busiest, crawl.busy)
            fault = crawl.faults[path].pop(0) if crawl.faults.get(path) else None
        try:
            time.sleep(crawl.slowness)
            with self.lock:
                crawl.busy -= 1  # before the answer: who has it may come again before this thread continues
            content = crawl.files.get(path)
            if content is None:
                self.status(404)
            elif fault is None or not fault(self, content):
                self.give(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def tag(self, content: bytes) -> str:
        return '"' + hashlib.sha256(content).hexdigest()[:16] + '"'

    def give(self, content: bytes, length: int | None = None, cut: int | None = None) -> None:
        """The whole or the range; ``length`` is a lie about it, ``cut`` ends the connection after so many bytes."""
        start, stop = 0, len(content)
        asked = self.headers.get("Range")
        if asked and self.crawl.ranges and self.headers.get("If-Range") in (None, self.tag(content)):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = int(first), int(last) + 1 if last else stop
            if start >= len(content):
                self.status(416)
                return
        body = content[start:stop]
        partial = start > 0 or stop < len(content)
        self.send_response(206 if partial else 200)
        if partial:
            self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{len(content)}")
        if self.crawl.tags:
            self.send_header("ETag", self.tag(content))
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        self.close_connection = length is not None or cut is not None

    def status(self, code: int, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


def says(code: int, **headers: str) -> Fault:
    """Answer with a status."""

    def fault(handler: Handler, content: bytes) -> bool:
        handler.status(code, **headers)
        return True

    return fault


def cuts(after: int) -> Fault:
    """Close the connection after so many bytes."""

    def fault(handler: Handler, content: bytes) -> bool:
        handler.give(content, cut=after)
        return True

    return fault


def lies(length: Callable[[int], int]) -> Fault:
    """Declare another length than the content has."""

    def fault(handler: Handler, content: bytes) -> bool:
        handler.give(content, length=length(len(content)))
        return True

    return fault


def hangs_up(handler: Handler, content: bytes) -> bool:
    """Close the connection without a word."""
    handler.close_connection = True
    return True


def put_dump(server: CrawlServer, name: str, files: int, documents: int = 2) -> list[str]:
    paths = [f"crawl-data/{name}/segments/15.8/wet/{name}-{i:05d}.warc.wet.gz" for i in range(files)]
    server.files[f"crawl-data/{name}/wet.paths.gz"] = gzip.compress("".join(f"{p}\n" for p in paths).encode())
    for number, path in enumerate(paths):
        texts = [f"title\n{name} {number} {n}\n" + "a line of some words\n" * 20 for n in range(documents)]
        server.files[path] = b"".join(gzip.compress(wet_record(n, text)) for n, text in enumerate(texts))
    return paths


def settings(folder: Path, **values) -> Download:
    defaults = {"first_wait": 0.01, "longest_wait": 1.0, "attempts": 4, "timeout": 60.0}
    return Download(folder=folder / "cache", **(defaults | values))


def fetch_many(download: Download, base: str, names: str, answers: Any) -> None:
    """What one of many processes does: open each file and tell what was in it."""
    with Cache(download) as cache:
        for name in names:
            with cache.open(base + name) as stream:
                answers.put((name, stream.read()))


@contextmanager
def serve() -> Iterator[CrawlServer]:
    """A server on this machine alone, while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    crawl = CrawlServer(f"http://127.0.0.1:{server.server_address[1]}/")
    server.RequestHandlerClass = type("Bound", (Handler,), {"crawl": crawl, "lock": threading.Lock()})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield crawl
    finally:
        server.shutdown()
        server.server_close()
