"""A web server that gives one file, after it has refused it for some time, and to who knows the password."""

from __future__ import annotations

import base64
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class FileServer(ThreadingHTTPServer):
    """Gives the file under any name that ``address`` has made."""

    def __init__(self, file: Path) -> None:
        self.content = file.read_bytes()
        self.refusals: Counter[str] = Counter()
        self.password = ""
        super().__init__(("127.0.0.1", 0), FileRequest)

    def address(self, name: str, refusals: int = 0) -> str:
        """Of a file that is refused with 503 so many times."""
        self.refusals[f"/{name}"] = refusals
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"

    def status(self, path: str, authorization: str) -> int:
        """What is answered to a request."""
        if self.password and authorization != basic(self.password):
            return 403
        if path not in self.refusals:
            return 404
        if self.refusals[path] > 0:
            self.refusals[path] -= 1
            return 503
        return 200


class FileRequest(BaseHTTPRequestHandler):
    """One request to it."""

    server: FileServer

    def do_GET(self) -> None:
        status = self.server.status(self.path, self.headers.get("Authorization", ""))
        content = self.server.content if status == 200 else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else content)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


def basic(password: str) -> str:
    """The header of the user ``me``."""
    return f"Basic {base64.b64encode(f'me:{password}'.encode()).decode()}"


@contextmanager
def serving(file: Path) -> Iterator[FileServer]:
    """Such a server, while the block runs."""
    with FileServer(file) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
