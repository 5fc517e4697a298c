"""One computation at a time for all pages: turns in the order of requests, given up at pauses.

One is as many as is safe: torch counts the levels of forward-mode derivatives for the whole process, so that two
threads that take derivatives at once fail in each other's levels. Each page has one thread, which computes only in its
turn; a computation that another page waits for gives its turn up at its next pause and goes to the end of the queue.
As each page stands in the queue at most once, pages take turns however much one of them wants.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

from scorefield.explorer.queries.pauses import pausing

T = TypeVar("T")

SLICE = 0.05
"""Seconds of computing after which a turn is given up to a page that waits."""


_NAME = "explorer page"
"""Of the threads that compute."""


def are_computing() -> bool:
    """Whether a page's thread still runs; Python, as it ends, takes away what such a thread works with."""
    return any(thread.name == _NAME for thread in threading.enumerate())


class StoppedError(Exception):
    """A computation that is not wanted any more, or took too long, and why."""


class Turns:
    """A lock that is given in the order in which it was requested."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[Future[None]] = deque()
        self._taken = False
        self._since = 0.0

    def request(self) -> Future[None]:
        """A turn: it has come when the future is done, and lasts until `end`."""
        turn: Future[None] = Future()
        with self._lock:
            self._queue.append(turn)
        self._give()
        return turn

    def end(self) -> None:
        """End the present turn, and begin the next one."""
        with self._lock:
            self._taken = False
        self._give()

    def give_way(self) -> None:
        """Go to the end of the queue if anyone waits and this turn has lasted its time; returns in the next turn."""
        if self._queue and time.monotonic() - self._since >= SLICE:
            turn = self.request()
            self.end()
            turn.result()

    def _give(self) -> None:
        with self._lock:
            while self._queue and not self._taken:
                turn = self._queue.popleft()
                if turn.set_running_or_notify_cancel():
                    self._taken, self._since = True, time.monotonic()
                    turn.set_result(None)


class Worker:
    """A page's thread; it does not keep the process alive."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def compute(self, function: Callable[[], T], check: Callable[[float], None]) -> T:
        """What the function gives; the turn must have come, and ends with it.

        Args:
            function: called in the page's thread.
            check: called at each of its pauses with the seconds that it has computed; raises where it is not to go on.
        """
        future: Future[T] = Future()
        begun, waited = time.monotonic(), 0.0

        def hook() -> None:
            nonlocal waited
            before = time.monotonic()
            self.turns.give_way()
            waited += time.monotonic() - before
            check(before - begun - waited)

        def call() -> None:
            try:
                with pausing(hook):
                    result = function()
            except BaseException as fault:
                self.turns.end()
                future.set_exception(fault)
            else:
                self.turns.end()
                future.set_result(result)

        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=_NAME, daemon=True)
            self._thread.start()
        self._calls.put(call)
        return await asyncio.shield(asyncio.wrap_future(future))

    def close(self) -> None:
        """End the thread after what it computes now."""
        self._calls.put(None)

    def join(self, seconds: float) -> None:
        """Wait for its end, at most so long."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
