"""One page's requests: a queue for each channel, the newest request first, streams a part at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from starlette.websockets import WebSocket, WebSocketDisconnect

from scorefield.explorer.limits import Limits
from scorefield.explorer.protocol import Cancel, RefusedError, Request, error, packed, parse
from scorefield.explorer.queries import Query
from scorefield.explorer.session import Session
from scorefield.explorer.turns import StoppedError, Turns, Worker
from scorefield.web.reading import read

_LOG = logging.getLogger(__name__)
_END = object()


class Outcome(NamedTuple):
    """A reply to send, and the rest of the stream it begins or goes on with."""

    text: str
    frame: bytes | None = None
    rest: Iterator[dict[str, Any]] | None = None


@dataclass
class Channel:
    """The request that has begun, the one that waits, and whether the first is still wanted."""

    waiting: Request | None = None
    running: Request | None = None
    cancelled: bool = False


class Connection:
    """One page.

    Args:
        socket: of the page, not yet accepted.
        queries: what is answered.
        session: what every answer may use.
        turns: in which all pages compute.
        limits: of the page.
    """

    def __init__(
        self, socket: WebSocket, queries: Mapping[str, Query], session: Session, turns: Turns, limits: Limits
    ) -> None:
        self._socket, self._queries, self._session, self._limits = socket, queries, session, limits
        self.worker = Worker(turns)
        self._channels: dict[str, Channel] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._computing = asyncio.Lock()  # a page stands in the line for turns once
        self._sending = asyncio.Lock()  # a text and its frame stay together
        self._open = True

    async def serve(self) -> None:
        """Answer until the page leaves; what it wanted last is then computed no further than its next pause."""
        try:
            await self._socket.accept()
            while (message := await self._socket.receive())["type"] == "websocket.receive":
                await self._hear(message.get("text"))
        except (WebSocketDisconnect, RuntimeError):  # the page has left before it was accepted
            pass
        finally:
            self._open = False

    async def end(self) -> None:
        """Wait for what is still computed for a page that has left."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.worker.close()

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
        """Put a request in its channel's queue, in place of the one that waits there."""
        if any(request.id in (r.id for r in (x.waiting, x.running) if r) for x in self._channels.values()):
            raise RefusedError("this id belongs to a request that is not answered yet; count ids up.", request.id)
        channel = self._channels.get(request.channel)
        if channel is None:
            most = self._limits.channels
            if len(self._channels) >= most:
                raise RefusedError(f"at most {most} channels have work at a time; wait for an answer.", request.id)
            channel = self._channels[request.channel] = Channel(request)
            task = asyncio.create_task(self._work(request.channel, channel))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        old, channel.waiting = channel.waiting, request
        if old is not None:
            await self._send(Outcome(error(old.id, "superseded", "superseded")))

    async def _cancel(self, cancel: Cancel) -> None:
        found = False
        for channel in self._channels.values():
            if channel.waiting is not None and channel.waiting.id == cancel.target:
                channel.waiting, found = None, True
                await self._send(Outcome(error(cancel.target, "cancelled", "cancelled")))
                break
            if channel.running is not None and channel.running.id == cancel.target:
                channel.cancelled = found = True
                break
        await self._send(Outcome(*packed(cancel.id, {"cancelled": found})))

    async def _work(self, name: str, channel: Channel) -> None:
        """Answer the requests of one channel, one after the other, until none waits."""
        try:
            while channel.waiting is not None and self._open:
                outcome = await self._compute(channel, lambda: self._begin(channel))
                if outcome is not None and channel.running is not None:
                    await self._answer(channel.running, channel, outcome)
                channel.running = None
        finally:
            del self._channels[name]

    async def _compute(self, channel: Channel, choose: Callable[[], Callable[[], Outcome] | None]) -> Outcome | None:
        """What a function gives that is chosen when this page's turn has come; None where there is none any more."""

        def check(seconds: float) -> None:
            if channel.cancelled or not self._open:
                raise StoppedError("cancelled")
            if seconds > self._limits.answer:
                raise StoppedError(f"an answer takes at most {self._limits.answer:g} s of computing; request less.")

        async with self._computing:
            await asyncio.wrap_future(self.worker.turns.request())
            function = choose()
            if function is None:
                self.worker.turns.end()
                return None
            return await self.worker.compute(function, check)

    def _begin(self, channel: Channel) -> Callable[[], Outcome] | None:
        """Choose the newest request of a channel, if it still has one."""
        request, channel.waiting = channel.waiting, None
        if request is None or not self._open:
            return None
        channel.running, channel.cancelled = request, False
        return lambda: self._first(request)

    async def _answer(self, request: Request, channel: Channel, outcome: Outcome) -> None:
        """Send a reply, and the parts that follow it while they are wanted; other work has its turn between them."""
        started = time.monotonic()
        while not channel.cancelled:
            await self._send(outcome)
            rest = outcome.rest
            if rest is None:
                return
            if channel.cancelled or channel.waiting is not None or not self._open:
                break
            late = time.monotonic() - started > self._limits.stream
            following = await self._compute(channel, lambda r=rest, o=late: lambda: self._next(request.id, r, o))  # type: ignore[misc]
            outcome = following or outcome
        if outcome.rest is not None:
            await self._compute(Channel(), lambda: lambda: _closed(outcome))
        why = "cancelled" if channel.cancelled else "superseded"
        await self._send(Outcome(error(request.id, why, why)))

    def _first(self, request: Request) -> Outcome:
        """Compute an answer, or the first part of one. Runs in the page's thread."""
        try:
            if request.query not in self._queries:
                raise ValueError(f"there is no query {request.query[:60]!r}; there are {', '.join(self._queries)}.")
            kind, function = self._queries[request.query]
            value = function(read(kind, request.params), self._session)
            if not isinstance(value, Iterator):
                return Outcome(*packed(request.id, value))
        except Exception as fault:
            return _failed(request.id, fault)
        return self._next(request.id, value, False)

    def _next(self, id: int, rest: Iterator[dict[str, Any]], late: bool) -> Outcome:
        """Compute the next part of a stream. Runs in the page's thread."""
        try:
            if late:
                _close(rest)
                raise ValueError(f"a stream ends after {self._limits.stream:g} s; request it again.")
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
    """An error as a sentence: the library's refusals as they are, anything else is named and logged."""
    if isinstance(fault, (ValueError, TypeError, StoppedError)):
        return Outcome(error(id, str(fault) or type(fault).__name__))
    _LOG.error("the computation failed", exc_info=fault)
    return Outcome(error(id, f"the computation failed: {type(fault).__name__}: {fault}"))


def _closed(outcome: Outcome) -> Outcome:
    """The outcome, its stream ended."""
    if outcome.rest is not None:
        _close(outcome.rest)
    return outcome


def _close(stream: Iterator[dict[str, Any]]) -> None:
    """End a generator, whatever it does about it."""
    try:
        getattr(stream, "close", lambda: None)()
    except Exception as fault:
        _LOG.error("a stream did not end well", exc_info=fault)
