"""The pages of ``xlmr serve``: a list of runs, a page for each, and the files that these link to. Reads only."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from pipeline.formatting import duration
from pipeline.report.page import TEMPLATES
from pipeline.serve.runs import SHOWN, file_in, projects_in, read_run

HEADERS = {
    # A page of a run draws itself, without scripts and without anything of other machines.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
CONNECT_SECONDS = 0.3


def make_app(runs: Path, hosts: Sequence[str] = (), tensorboard: str = "") -> Starlette:
    """The ASGI application of a folder of runs.

    ``hosts``        names by which the server is called, besides those of the loopback.
    ``tensorboard``  address of a TensorBoard; linked to while it answers.
    """

    async def index(request: Request) -> Response:
        def page() -> str:
            shown = [read_run(runs, project) for project in projects_in(runs)]
            shown.sort(key=lambda run: run.last, reverse=True)
            return _render("serve_index.html.j2", runs=shown, folder=runs.name, tensorboard=_if_up(tensorboard))

        return HTMLResponse(await run_in_threadpool(page), headers=HEADERS)

    async def run_page(request: Request) -> Response:
        def page() -> str | None:
            project = request.path_params["project"]
            if project not in projects_in(runs):
                return None
            return _render("serve_run.html.j2", run=read_run(runs, project), tensorboard=_if_up(tensorboard))

        text = await run_in_threadpool(page)
        if text is None:
            raise HTTPException(404)
        return HTMLResponse(text, headers=HEADERS)

    async def file(request: Request) -> Response:
        path = await run_in_threadpool(file_in, runs, "{project}/{path}".format(**request.path_params))
        if path is None:
            raise HTTPException(404)
        return FileResponse(path, media_type=SHOWN[path.suffix], headers=HEADERS)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/{project}/", run_page),
            Route("/{project}/files/{path:path}", file),
            Route("/favicon.ico", _no_icon),  # browsers ask for one
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, *hosts], www_redirect=False)],
        exception_handlers={404: _not_found},
    )


def _render(template: str, **values: Any) -> str:
    return TEMPLATES.get_template(template).render(duration=duration, quote=quote, **values)


def _if_up(address: str) -> str:
    """The address, while something listens there; else empty."""
    url = urlsplit(address)
    if not url.hostname:
        return ""
    try:
        with socket.create_connection((url.hostname, url.port or 80), CONNECT_SECONDS):
            return address
    except OSError:
        return ""


async def _no_icon(request: Request) -> Response:
    return Response(status_code=204, headers=HEADERS)


async def _not_found(request: Request, error: Exception) -> Response:
    return PlainTextResponse("nothing is there\n", status_code=404, headers=HEADERS)
