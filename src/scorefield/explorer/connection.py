"""One page's requests: a line for each channel, the newest request first, streams a part at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from starlette.websockets import WebSocket, WebSocketDisconnect

from scorefield.explorer.protocol import Cancel, RefusedError, Request, error, packed, parse
from scorefield.explorer.queries import Ask
from scorefield.explorer.queries.reading import read
from scorefield.explorer.session import Session

CHANNELS = 16
"""Most channels of one page with work on them."""
STREAM_SECONDS = 600.0
"""Longest life of a stream."""

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_END = object()


class Workers:
    """Threads for all pages: `async with workers:` waits for one in turn, `await workers.call(...)` uses it.

    One is enough and as many as is safe: torch counts the levels of forward-mode derivatives for the whole process, so
    that two threads that take derivatives at once fail in each other's levels.

    Args:
        count: of threads.
    """

    def __init__(self, count: int = 1) -> None:
        self._free = asyncio.Semaphore(count)
        self._threads = ThreadPoolExecutor(count, "explorer")

    async def __aenter__(self) -> None:
        await self._free.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._free.release()

    async def call(self, function: Callable[[], T]) -> T:
        """What the function gives, computed outside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Outcome(NamedTuple):
    """A reply to send, and the rest of the stream it begins or goes on with."""

    text: str
    frame: bytes | None = None
    rest: Iterator[dict[str, Any]] | None = None


@dataclass
class Line:
    """One channel: the request that has begun, the one that waits, and whether the first is still wanted."""

    waiting: Request | None = None
    running: Request | None = None
    cancelled: bool = False


class Connection:
    """One page.

    Args:
        socket: of the page, not yet accepted.
        asks: what may be asked.
        session: what every answer may use.
        workers: that compute.
    """

    def __init__(self, socket: WebSocket, asks: Mapping[str, Ask], session: Session, workers: Workers) -> None:
        self._socket, self._asks, self._session, self._workers = socket, asks, session, workers
        self._lines: dict[str, Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Lock()  # a text and its frame stay together
        self._open = True

    async def serve(self) -> None:
        """Answer until the page leaves; what it asked for last is then computed no further than its present part."""
        await self._socket.accept()
        try:
            while (message := await self._socket.receive())["type"] == "websocket.receive":
                await self._hear(message.get("text"))
        finally:
            self._open = False
            await asyncio.gather(*self._tasks)

    async def _hear(self, text: str | None) -> None:
        try:
            if text is None:
                raise RefusedError("a message is a text, got bytes.")
            message = parse(text)
            if isinstance(message, Cancel):
                await self._cancel(message)
            else:
                await self._take(message)
        except RefusedError as fault:
            await self._send(Outcome(error(fault.id, str(fault))))

    async def _take(self, request: Request) -> None:
        """Put a request in its channel's line, in place of the one that waits there."""
        if any(request.id in (r.id for r in (x.waiting, x.running) if r) for x in self._lines.values()):
            raise RefusedError("this id belongs to a request that is not answered yet; count ids up.", request.id)
        line = self._lines.get(request.channel)
        if line is None:
            if len(self._lines) >= CHANNELS:
                raise RefusedError(f"at most {CHANNELS} channels have work at a time; wait for an answer.", request.id)
            line = self._lines[request.channel] = Line(request)
            task = asyncio.create_task(self._work(request.channel, line))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        old, line.waiting = line.waiting, request
        if old is not None:
            await self._send(Outcome(error(old.id, "superseded", "superseded")))

    async def _cancel(self, cancel: Cancel) -> None:
        found = False
        for line in self._lines.values():
            if line.waiting is not None and line.waiting.id == cancel.target:
                line.waiting, found = None, True
                await self._send(Outcome(error(cancel.target, "cancelled", "cancelled")))
                break
            if line.running is not None and line.running.id == cancel.target:
                line.cancelled = found = True
                break
        await self._send(Outcome(*packed(cancel.id, {"cancelled": found})))

    async def _work(self, channel: str, line: Line) -> None:
        """Answer the requests of one channel, one after the other, until none waits."""
        while line.waiting is not None and self._open:
            async with self._workers:
                request, line.waiting = line.waiting, None
                if request is None or not self._open:
                    continue
                line.running, line.cancelled = request, False
                outcome = await self._workers.call(lambda r=request: self._begin(r))  # type: ignore[misc]
            await self._answer(request, line, outcome)
            line.running = None
        del self._lines[channel]

    async def _answer(self, request: Request, line: Line, outcome: Outcome) -> None:
        """Send a reply, and the parts that follow it while they are wanted; other work has its turn between them."""
        started = time.monotonic()
        while not line.cancelled:
            await self._send(outcome)
            rest = outcome.rest
            if rest is None:
                return
            if line.cancelled or line.waiting is not None or not self._open:
                break
            async with self._workers:
                late = time.monotonic() - started > STREAM_SECONDS
                outcome = await self._workers.call(lambda r=rest, o=late: self._go_on(request.id, r, o))  # type: ignore[misc]
        if outcome.rest is not None:
            end = outcome.rest
            await self._workers.call(lambda: _close(end))
        why = "cancelled" if line.cancelled else "superseded"
        await self._send(Outcome(error(request.id, why, why)))

    def _begin(self, request: Request) -> Outcome:
        """Compute an answer, or the first part of one. Runs in a thread."""
        try:
            if request.ask not in self._asks:
                raise ValueError(f"nothing is called {request.ask[:60]!r} here; there is {', '.join(self._asks)}.")
            kind, function = self._asks[request.ask]
            value = function(read(kind, request.params), self._session)
            if not isinstance(value, Iterator):
                return Outcome(*packed(request.id, value))
        except Exception as fault:
            return _failed(request.id, fault)
        return self._go_on(request.id, value, False)

    def _go_on(self, id: int, rest: Iterator[dict[str, Any]], late: bool) -> Outcome:
        """Compute the next part of a stream. Runs in a thread."""
        try:
            if late:
                _close(rest)
                raise ValueError(f"a stream ends after {STREAM_SECONDS:.0f} s; ask again.")
            part = next(rest, _END)
            if part is _END:
                return Outcome(*packed(id, None))
            return Outcome(*packed(id, part, more=True), rest)  # type: ignore[arg-type]
        except Exception as fault:
            return _failed(id, fault)

    async def _send(self, outcome: Outcome) -> None:
        async with self._sending:
            if not self._open:
                return
            try:
                await self._socket.send_text(outcome.text)
                if outcome.frame is not None:
                    await self._socket.send_bytes(outcome.frame)
            except (WebSocketDisconnect, RuntimeError):  # the page has left meanwhile
                self._open = False


def _failed(id: int, fault: Exception) -> Outcome:
    """An error in words: what the library refuses speaks for itself, anything else is named and logged."""
    if isinstance(fault, (ValueError, TypeError)):
        return Outcome(error(id, str(fault) or type(fault).__name__))
    _LOG.error("the computation failed", exc_info=fault)
    return Outcome(error(id, f"the computation failed: {type(fault).__name__}: {fault}"))


def _close(stream: Iterator[dict[str, Any]]) -> None:
    """End a generator, whatever it does about it."""
    try:
        getattr(stream, "close", lambda: None)()
    except Exception as fault:
        _LOG.error("a stream did not end well", exc_info=fault)
