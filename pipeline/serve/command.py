"""``xlmr serve RUNS_DIRECTORY``. Nothing heavy is imported at the top."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.dag import Dag
from pipeline.errors import UsageError, XlmrError
from pipeline.extras import check_extra

PORT = 8321
REPORTS_URL = "XLMR_REPORTS_URL"
"""Environment variable: the address by which browsers reach ``xlmr serve``, as https://reports.example.org."""
RUNS_FOLDER = "XLMR_RUNS"
"""Environment variable: the folder that ``xlmr serve`` shows there, for programs that link to it."""


def serve_command(dag: Dag) -> Callable[..., None]:
    """``xlmr serve``, made from the DAG."""
    del dag

    def serve(
        runs: Path = Path("runs"),
        *,
        host: str = "127.0.0.1",
        port: int = PORT,
        tensorboard: str = "http://127.0.0.1:6006",
    ) -> None:
        """Show the runs of a folder in a browser, each with its report and figures, until Ctrl-C.

        Only pages and figures are served, no text of a corpus and no weights. There is no login: on another host than
        127.0.0.1 put a proxy with one before it, and set XLMR_REPORTS_URL to the address of the proxy.

        Parameters
        ----------
        runs
            Folder of all runs.
        host
            Address to listen at.
        port
            Port to listen at.
        tensorboard
            Address of a TensorBoard that shows the same folder; linked to while it runs.
        """
        check_extra("serve", "xlmr serve")
        if not runs.is_dir():
            raise UsageError(f"{runs}: no such folder", "name the folder of all runs (run.directory)")
        _serve(runs, host, port, tensorboard)

    return serve


def public_host() -> str:
    """The name of the host in XLMR_REPORTS_URL; empty where that is not set. Errors: UsageError for no address."""
    address = os.environ.get(REPORTS_URL, "")
    host = urlsplit(address).hostname or ""
    if address and (not host or urlsplit(address).scheme not in {"http", "https"}):
        raise UsageError(f"{REPORTS_URL}: is no address of a web server", "set it as https://reports.example.org")
    return host


def _serve(runs: Path, host: str, port: int, tensorboard: str) -> None:
    import socket

    import uvicorn

    from pipeline.serve.app import make_app

    names = [name for name in (host, public_host()) if name and name not in {"0.0.0.0", "::"}]
    app = make_app(runs, names, tensorboard)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen()
        except OSError as error:
            raise XlmrError(f"{host}:{port}: {error.strerror}", "give another --port or --host") from None
        shown = f"[{host}]" if ":" in host else host
        print(f"{runs} is on http://{shown}:{listening.getsockname()[1]}/, until Ctrl-C", flush=True)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
