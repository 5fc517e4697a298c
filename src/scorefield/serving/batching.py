"""Requests that come within a few milliseconds, answered by one call of the model; one call at a time.

One is as many as is safe: torch counts the levels of forward-mode derivatives for the whole process. The noise of a
row belongs to its request's seed and its number there, so what a request gets does not depend on its company, up to
the rounding of matrix kernels.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from scorefield.serving.asks import Answer, Ask, Endpoint, RefusedError
from scorefield.serving.limits import Limits
from scorefield.serving.metrics import Metrics

_LOG = logging.getLogger(__name__)
STOPPING = "the service ends; ask another, or this one again when it is back."

Outcome = Answer | Exception


@dataclass(eq=False)
class Waiting:
    """A request in the queue."""

    endpoint: Endpoint
    ask: Ask
    key: Hashable | None
    future: asyncio.Future[Answer]
    since: float = field(default_factory=time.monotonic)

    @property
    def rows(self) -> int:
        """Of its answer."""
        return self.endpoint.wanted(self.ask.options, 0 if self.ask.data is None else len(self.ask.data))


class Batcher:
    """The queue of one service, and the thread that computes; it does not keep the process alive.

    Args:
        model: that answers.
        limits: of its clients.
        metrics: that count.
    """

    def __init__(self, model: Any, limits: Limits, metrics: Metrics) -> None:
        self._model, self._limits, self._metrics = model, limits, metrics
        self._queue: deque[Waiting] = deque()
        self._there = asyncio.Event()
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="scorefield answers", daemon=True)
        self._thread.start()
        self._end = float("inf")  # when whatever still computes is given up
        self.stopping = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    async def answer(self, endpoint: Endpoint, ask: Ask) -> Answer:
        """What the model answers.

        Raises:
            RefusedError: where too much waits, it took too long, or the service ends.
            Exception: what the model raises.
        """
        if self.stopping:
            raise RefusedError(503, STOPPING, retry=5)
        if len(self._queue) >= self._limits.queue:
            raise RefusedError(429, f"{len(self._queue):,} requests wait; try again in a second.", retry=1)
        key = endpoint.together(self._model, ask.options)
        waiting = Waiting(endpoint, ask, key, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._there.set()
        return await waiting.future

    async def work(self) -> None:
        """Answer what comes, for ever."""
        while True:
            await self._there.wait()
            await asyncio.sleep(self._limits.gather)
            while self._queue:
                batch = self._next()
                if batch:
                    self._deliver(batch, await self._computed(batch))
            self._there.clear()

    def stop(self, end: float) -> None:
        """Take nothing new; what waits is answered, but for what would be computed at a time (monotonic) or later."""
        self.stopping, self._end = True, end

    def close(self, seconds: float) -> None:
        """End the thread, and wait for that at most so long."""
        self._calls.put(None)
        self._thread.join(seconds)

    def _next(self) -> list[Waiting]:
        """The first request and those that go with it, out of the queue; those who waited too long hear of it."""
        now, first, rest = time.monotonic(), self._queue.popleft(), deque[Waiting]()
        if first.future.done():
            return []
        if now - first.since > self._limits.wait:
            sentence = f"the request waited for {self._limits.wait:g} s; try again in a few seconds."
            first.future.set_exception(RefusedError(503, sentence, retry=5))
            return []
        batch, rows = [first], first.rows
        while self._queue and first.key is not None:
            one = self._queue.popleft()
            fits = one.endpoint is first.endpoint and one.key == first.key and not one.future.done()
            if fits and len(batch) < self._limits.together and rows + one.rows <= self._limits.rows:
                batch.append(one)
                rows += one.rows
            else:
                rest.append(one)
        self._queue = rest or self._queue
        return batch

    async def _computed(self, batch: Sequence[Waiting]) -> list[Outcome]:
        loop, future = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

        def call() -> None:
            found = self._outcomes(batch)
            with suppress(RuntimeError):  # the service has ended meanwhile
                loop.call_soon_threadsafe(_settle, future, found)

        self._calls.put(call)
        return await future

    def _outcomes(self, batch: Sequence[Waiting]) -> list[Outcome]:
        """An answer or a fault for each; where one of several is at fault, each is computed alone. In the thread."""
        try:
            return list(self._call(batch))
        except RefusedError as fault:
            return [fault] * len(batch)
        except Exception as fault:
            if len(batch) == 1:
                return [fault]
            return [self._outcomes([one])[0] for one in batch]

    def _call(self, batch: Sequence[Waiting]) -> list[Answer]:
        endpoint, latest = batch[0].endpoint, time.monotonic() + self._limits.seconds

        def report(share: float, what: str) -> None:
            now = time.monotonic()
            if now > self._end:
                raise RefusedError(503, STOPPING, retry=5)
            if now > latest:
                sentence = f"an answer takes at most {self._limits.seconds:g} s of computing; ask for less."
                raise RefusedError(503, sentence, retry=60)

        report(0.0, "")
        return endpoint.answer(self._model, [one.ask for one in batch], report)

    def _deliver(self, batch: Sequence[Waiting], outcomes: Sequence[Outcome]) -> None:
        name = batch[0].endpoint.name
        done = [one.evaluations for one in outcomes if isinstance(one, Answer)]
        self._metrics.computed(name, len(batch), sum(done))
        for one, outcome in zip(batch, outcomes, strict=True):
            if one.future.done():  # whoever asked has left
                continue
            if isinstance(outcome, Answer):
                one.future.set_result(outcome)
            else:
                one.future.set_exception(outcome)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


def _settle(future: asyncio.Future[list[Outcome]], found: list[Outcome]) -> None:
    if not future.done():
        future.set_result(found)
