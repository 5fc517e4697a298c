"""The explorer's server: the page, its files and its socket, on the loopback."""

from __future__ import annotations

import mimetypes
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from scorefield import __version__
from scorefield.explorer.connection import Connection, Workers
from scorefield.explorer.gate import Gate, Gated
from scorefield.explorer.protocol import MESSAGE_LIMIT
from scorefield.explorer.queries import Ask
from scorefield.explorer.queries.about import About, about
from scorefield.explorer.session import Session

PAGE = Path(__file__).parent / "page"
"""The folder of the page's files."""
PAGES = 16
"""Most pages open at a time."""


def application(asks: Mapping[str, Ask], session: Session, gate: Gate, page: Path = PAGE) -> ASGIApp:
    """The application: `/` the page, `/static/...` its files, `/health`, and `/ws` the socket.

    Args:
        asks: what may be asked, by name; `session.about` is always there.
        session: what every answer may use.
        gate: who may ask.
        page: folder of index.html and what belongs to it.
    """
    table = {**asks, "session.about": Ask(About, about)}
    workers = Workers()
    connections: set[Connection] = set()

    async def index(_: Request) -> Response:
        file = page / "index.html"
        return FileResponse(file) if file.is_file() else PlainTextResponse("The page's files are missing.\n", 404)

    async def health(_: Request) -> Response:
        return JSONResponse({"ok": True, "version": __version__})

    async def talk(websocket: WebSocket) -> None:
        if len(connections) >= PAGES:
            await websocket.accept()
            return await websocket.close(1013, f"{PAGES} pages are open; close one.")
        connection = Connection(websocket, table, session, workers)
        connections.add(connection)
        try:
            await connection.serve()
        finally:
            connections.discard(connection)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        workers.close()

    files = StaticFiles(directory=page, check_dir=False)  # stays inside its folder, and follows no link out of it
    routes = [Route("/", index), Route("/health", health), Mount("/static", files), WebSocketRoute("/ws", talk)]
    return Gated(Starlette(routes=routes, lifespan=lifespan), gate)


def bound(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A listening socket; port 0 is one that is free.

    Raises:
        OSError: for a port that is taken, or a host that is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once only where the protocol is named; otherwise a reply's frame can wait 40 ms for its text
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(64)
    except (OSError, OverflowError) as error:
        listener.close()
        raise OSError(f"cannot listen on {host}, port {port}: {error}; leave --port out for a free one.") from error
    return listener


def server(app: ASGIApp) -> uvicorn.Server:
    """A server of the application; `run(sockets=[...])` serves until it is interrupted."""
    mimetypes.add_type("text/javascript", ".js")  # some systems call it plain text, which browsers do not run
    config = uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_max_size=4 * MESSAGE_LIMIT,  # beyond it the socket is closed; up to it a long message is answered
        ws_per_message_deflate=False,
        log_level="warning",
        access_log=False,  # addresses hold the token
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)


def serve(
    asks: Mapping[str, Ask],
    session: Session,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve the explorer until it is interrupted.

    Args:
        asks: what may be asked, by name.
        session: what every answer may use.
        host: address to listen on; only this machine reaches the default one.
        port: 0 is one that is free.
        ready: called with the page's address, token included, once it can be opened.

    Raises:
        OSError: where nothing can listen there.
    """
    token = secrets.token_urlsafe(24)
    with bound(host, port) as listener:
        port = listener.getsockname()[1]
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
        ready(f"http://{shown}:{port}/?token={token}")
        server(application(asks, session, Gate(token, port, host))).run(sockets=[listener])
