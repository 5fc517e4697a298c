"""uvicorn with what it lacks: time limits on peers that send or read too slowly, bounded connections, a quiet end."""

from __future__ import annotations

import asyncio
import math
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_GRACE = 1.0
"""Seconds that open connections have to take what was sent when the server ends."""


class PeerLimits(Protocol):
    """What peers may take: a count, and times in seconds.

    Attributes:
        connections: open at a time.
        request: from the first byte of a request, or from a connection's first moment, to the end of the request.
        reply: from there to the end of its answer.
        send: in which a socket must take some of what waits for it.
    """

    @property
    def connections(self) -> int: ...
    @property
    def request(self) -> float: ...
    @property
    def reply(self) -> float: ...
    @property
    def send(self) -> float: ...


class HttpProtocol(H11Protocol):
    """A connection that is cut off where a request or its answer has not ended in time, or too many are open.

    Between an answer and the next request uvicorn's own time for idle connections runs.
    """

    def __init__(self, *args: Any, limits: PeerLimits, **named: Any) -> None:
        super().__init__(*args, **named)
        self._limits = limits
        self._deadline: asyncio.TimerHandle | None = None
        self._whole = self._idle = False  # whether the last request has come whole; whether none has begun since

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time of the first request."""
        full = len(self.connections) >= self._limits.connections
        super().connection_made(transport)
        if full:
            return transport.abort()
        self._restart(self._limits.request)

    def data_received(self, data: bytes) -> None:
        """Start the time of a request with its first byte, that of its answer with its last."""
        if self._idle:
            self._idle = False
            self._restart(self._limits.request)
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Stop the time, or start that of the next request where some of it is there."""
        self._stop()
        ended = self.conn.their_state is h11.DONE  # else some of the body that was not wanted is still to come
        self._whole, self._idle = False, ended and not self.conn.trailing_data[0]
        if not self._idle:
            self._restart(self._limits.request)
        super().on_response_complete()
        self._look()

    def _look(self) -> None:
        cycle = self.cycle
        if cycle is not None and not (self._whole or cycle.more_body or cycle.response_complete):
            self._whole, self._idle = True, False
            self._restart(self._limits.reply)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """Hand the connection over; a page's socket may be silent as long as it likes."""
        self._stop()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time."""
        self._stop()
        super().connection_lost(exc)

    def _restart(self, seconds: float) -> None:
        self._stop()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()


class SocketProtocol(WebSocketsSansIOProtocol):
    """A page's socket that is cut off where it takes nothing of what waits for it."""

    def __init__(self, *args: Any, limits: PeerLimits, **named: Any) -> None:
        super().__init__(*args, **named)
        self._limits = limits
        self._check: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Start to watch: more waits than is to be held."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """Stop to watch."""
        self._stop()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to watch."""
        self._stop()
        super().connection_lost(exc)

    def _watch(self) -> None:
        held = self.transport.get_write_buffer_size()

        def check() -> None:
            if self.transport.get_write_buffer_size() < held:
                self._watch()
            else:
                self.transport.abort()

        self._stop()
        self._check = self.loop.call_later(self._limits.send, check)

    def _stop(self) -> None:
        if self._check is not None:
            self._check.cancel()


class Server(uvicorn.Server):
    """A server that leaves signals to its caller, and waits for no peer longer than its grace when it ends."""

    def __init__(self, config: uvicorn.Config, grace: float) -> None:
        super().__init__(config)
        self._grace = grace

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; connections that are still open after a moment are cut off."""
        asyncio.get_running_loop().call_later(self._grace, self._abort)
        await super().shutdown(sockets)

    def _abort(self) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def server(app: ASGIApp, limits: PeerLimits, message_size: int, grace: float = _GRACE, idle: int = 5) -> Server:
    """A server of an application; `run(sockets=[...])` serves until `should_exit`.

    Args:
        app: that answers.
        limits: of its peers.
        message_size: most bytes of a socket's message.
        grace: seconds that open connections have to take their answers when the server ends.
        idle: seconds that a connection may be silent after an answer.
    """
    config = uvicorn.Config(
        app,
        http=partial(HttpProtocol, limits=limits),  # type: ignore[arg-type]
        ws=partial(SocketProtocol, limits=limits),  # type: ignore[arg-type]
        ws_max_size=message_size,
        ws_per_message_deflate=False,
        log_level="error",  # what strangers send is not worth a line
        access_log=False,  # addresses hold the token
        server_header=False,
        timeout_keep_alive=idle,
        timeout_graceful_shutdown=math.ceil(grace) + 2,
    )
    return Server(config, grace)


@contextmanager
def signals_call(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on Ctrl-C and SIGTERM; in threads other than the first, which get no signals, nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {one: signal.signal(one, lambda *_: stop()) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in previous.items():
            signal.signal(one, handler)
