"""Errors of the network that may pass by themselves, as the clients' libraries raise them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pipeline.errors import UnreachableError, XlmrError
from pipeline.storage import expand
from pipeline.store.unreachable import may_pass


class Answer(BaseHTTPRequestHandler):
    """Answers with the status that a path ends with."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.rpartition("/")[2]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_PUT = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def nobody() -> str:
    """An address at which no server is."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


@pytest.mark.parametrize(("status", "passes"), [(503, True), (429, True), (404, False), (403, False), (410, False)])
def test_status_of_a_server_says_whether_a_later_try_makes_sense(address: str, status: int, passes: bool) -> None:
    with pytest.raises(XlmrError) as caught:
        expand(f"{address}/{status}")
    assert isinstance(caught.value, UnreachableError) == passes
    assert f"{address}/{status}" in str(caught.value)


def test_server_that_is_not_there_may_be_there_later(nobody: str) -> None:
    with pytest.raises(UnreachableError, match="ClientConnectorError"):
        expand(f"{nobody}/file")
    with pytest.raises(UnreachableError, match="no-such-host"):
        expand("http://no-such-host.invalid/file")


@pytest.mark.parametrize("status", [503, 403])
def test_errors_of_httpx(address: str, nobody: str, status: int) -> None:
    import httpx

    with pytest.raises(httpx.HTTPStatusError) as refused:
        httpx.get(f"{address}/{status}").raise_for_status()
    assert may_pass(refused.value) == (status == 503)
    with pytest.raises(httpx.ConnectError) as unreachable:
        httpx.get(nobody)
    assert may_pass(unreachable.value)


@pytest.mark.parametrize("status", [503, 403])
def test_errors_of_botocore(address: str, nobody: str, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    session = pytest.importorskip("aiobotocore.session", reason="S3 is an extra")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    from botocore.config import Config

    async def ask(endpoint: str) -> None:
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        place = {"endpoint_url": endpoint, "region_name": "us-east-1", "config": config}
        async with session.get_session().create_client("s3", **place) as client:
            await client.put_object(Bucket="bucket", Key=str(status), Body=b"x")

    with pytest.raises(Exception, match=str(status)) as refused:
        asyncio.run(ask(address))
    assert may_pass(refused.value) == (status == 503)
    with pytest.raises(Exception, match="Could not connect") as unreachable:
        asyncio.run(ask(nobody))
    assert may_pass(unreachable.value)


def test_what_has_nothing_to_do_with_the_network_does_not_pass() -> None:
    for error in (ValueError("x"), FileNotFoundError("x"), PermissionError("x"), MemoryError()):
        assert not may_pass(error)
    wrapped = OSError("x")
    wrapped.__cause__ = TimeoutError()
    assert may_pass(wrapped)
