"""The explorer's server: the page, its files and its socket, on the loopback."""

from __future__ import annotations

import asyncio
import importlib
import mimetypes
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from scorefield import __version__
from scorefield.explorer.access import Access, Guarded
from scorefield.explorer.connection import Connection
from scorefield.explorer.limits import LIMITS, Limits
from scorefield.explorer.protocol import MESSAGE_LIMIT
from scorefield.explorer.queries import Query
from scorefield.explorer.queries.about import About, about
from scorefield.explorer.session import Session
from scorefield.explorer.turns import Turns
from scorefield.web import address, transport

PAGE = Path(__file__).parent / "page"
"""The folder of the page's files."""
_JOIN = 1.0
"""Seconds that computations have to reach their next pause when the server ends."""


def application(
    queries: Mapping[str, Query], session: Session, access: Access, page: Path = PAGE, limits: Limits = LIMITS
) -> ASGIApp:
    """The application: `/` the page, `/static/...` its files, `/health`, and `/ws` the socket.

    Args:
        queries: what is answered, by name; `session.about` is always there.
        session: what every answer may use.
        access: who is answered.
        page: folder of index.html and what belongs to it.
        limits: of the pages.
    """
    table = {**queries, "session.about": Query(About, about)}
    turns = Turns()
    connections: dict[Connection, asyncio.Task[None] | None] = {}  # those whose page has left: and their end

    async def index(_: Request) -> Response:
        file = page / "index.html"
        return FileResponse(file) if file.is_file() else PlainTextResponse("The page's files are missing.\n", 404)

    async def health(_: Request) -> Response:
        return JSONResponse({"ok": True, "version": __version__})

    async def talk(websocket: WebSocket) -> None:
        if len(connections) >= limits.pages:
            await websocket.accept()
            return await websocket.close(1013, f"{limits.pages} pages are open; close one.")
        connection = Connection(websocket, table, session, turns, limits)
        connections[connection] = None
        try:
            await connection.serve()
        finally:  # its place is taken until its last computation has ended
            connections[connection] = ending = asyncio.create_task(connection.end())
            ending.add_done_callback(lambda _: connections.pop(connection))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        end = time.monotonic() + _JOIN
        for connection in list(connections):
            connection.worker.close()
            connection.worker.join(max(0.0, end - time.monotonic()))

    files = StaticFiles(directory=page, check_dir=False)  # stays inside its folder, and follows no link out of it
    routes = [Route("/", index), Route("/health", health), Mount("/static", files), WebSocketRoute("/ws", talk)]
    return Guarded(Starlette(routes=routes, lifespan=lifespan), access)


def server(app: ASGIApp, limits: Limits = LIMITS) -> transport.Server:
    """A server of the application; `run(sockets=[...])` serves until `should_exit` is set."""
    mimetypes.add_type("text/javascript", ".js")  # some systems call it plain text, which browsers do not run
    # beyond this size the socket is closed; up to it a message that is too long is answered
    return transport.server(app, limits, 4 * MESSAGE_LIMIT)


def serve(
    queries: Mapping[str, Query],
    session: Session,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[str], None] = lambda url: None,
    limits: Limits = LIMITS,
) -> None:
    """Serve the explorer until Ctrl-C or SIGTERM, then return.

    Args:
        queries: what is answered, by name.
        session: what every answer may use.
        host: address to listen on; only this machine reaches the default one.
        port: 0 is one that is free.
        ready: called with the page's address, token included, once it can be opened.
        limits: of the pages.

    Raises:
        ValueError: for a host or port that is none.
        OSError: where nothing can listen there.
    """
    token = secrets.token_urlsafe(24)
    with address.bound(host, port) as listener:
        port = listener.getsockname()[1]
        running = server(application(queries, session, Access(token, port, host), limits=limits), limits)
        importlib.import_module("torch._dynamo")  # the first derivative does, for seconds; no page is to wait for them

        def stop() -> None:
            running.should_exit = True  # a second time changes nothing: the end takes seconds at most

        with transport.signals_call(stop):
            ready(f"{address.url(host, port)}/?token={token}")
            running.run(sockets=[listener])
