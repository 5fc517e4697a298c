"""The explorer's server: the page, its files and its socket, on the loopback."""

from __future__ import annotations

import asyncio
import ipaddress
import mimetypes
import secrets
import socket
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
from scorefield.explorer import transport
from scorefield.explorer.access import Access, Guarded
from scorefield.explorer.connection import Connection
from scorefield.explorer.limits import LIMITS, Limits
from scorefield.explorer.protocol import MESSAGE_LIMIT
from scorefield.explorer.queries import Query
from scorefield.explorer.queries.about import About, about
from scorefield.explorer.session import Session
from scorefield.explorer.turns import Turns

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


def bound(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A listening socket; port 0 is one that is free.

    Raises:
        ValueError: for a port that is none, or no host.
        OSError: for a port that is taken, a host that is not this machine's, or one that means every address of it
            without saying so.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"the port must be from 0 to 65535, got {port}; leave --port out for a free one.")
    if not host.strip():
        raise ValueError("the host must be an address of this machine, got nothing; leave --host out for 127.0.0.1.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once only where the protocol is named; otherwise a reply's frame can wait 40 ms for its text
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        if not _is_plain(host, listener.getsockname()[0]):
            raise ValueError("it means more than one address; 0.0.0.0 is every address of this machine")
        listener.listen(64)
    except (OSError, TypeError, ValueError) as error:  # of the system, or of a text that is no host's name
        listener.close()
        raise OSError(f"cannot listen on {host!r}, port {port}: {error}; leave --host and --port out.") from error
    return listener


def _is_plain(host: str, address: str) -> bool:
    """Whether a host stands for one address, or names all of them openly."""
    found = ipaddress.ip_address(address.partition("%")[0])
    return host in ("0.0.0.0", "::") or not (found.is_unspecified or found.is_multicast or address == "255.255.255.255")


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
    ready: Callable[[str], None] = lambda address: None,
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
    with bound(host, port) as listener:
        port = listener.getsockname()[1]
        running = server(application(queries, session, Access(token, port, host), limits=limits), limits)

        def stop() -> None:
            running.should_exit = True  # a second time changes nothing: the end takes seconds at most

        with transport.signals_call(stop):
            shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
            ready(f"http://{shown}:{port}/?token={token}")
            running.run(sockets=[listener])
