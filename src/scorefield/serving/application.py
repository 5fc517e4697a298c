"""The application: one endpoint for each answer of the run, and /health, /metrics, /openapi.json."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from scorefield import __version__, runs
from scorefield.data.pictures import grid_png
from scorefield.serving import metrics as counted
from scorefield.serving.access import is_let_in
from scorefield.serving.asks import Answer, Ask, Endpoint, RefusedError
from scorefield.serving.batching import Batcher
from scorefield.serving.endpoints import check_of, endpoints_of, no_such
from scorefield.serving.limits import Limits
from scorefield.serving.openapi import document
from scorefield.serving.reading import JSON, NPY, PNG, ask_of

_LOG = logging.getLogger(__name__)
_SMALL = 1 << 16  # bytes that are read, or written, between two other requests
_HEADERS = {"x-content-type-options": "nosniff", "cache-control": "no-store"}


class Service:
    """The pages of one run.

    Args:
        model: of the run.
        name: of the run.
        token: that clients must bring.
        limits: of the clients.
    """

    def __init__(self, model: Any, name: str, token: str, limits: Limits) -> None:
        self._model, self._token, self.limits = model, token, limits
        self._kind = runs.kind_of_model(model)
        self._endpoints, self._check = endpoints_of(self._kind), check_of(self._kind)
        self.metrics = counted.Metrics()
        schema = model.codec.schema if self._kind is runs.TABLES else None
        self._document = json.dumps(document(self._endpoints, limits, schema, name)).encode()
        self.batcher: Batcher | None = None
        self.end = float("inf")

    def application(self) -> Starlette:
        """To be served."""
        routes = [
            Route("/health", self._counting("health", self._health)),
            Route("/metrics", self._counting("metrics", self._metrics)),
            Route("/openapi.json", self._counting("openapi", self._openapi)),
            *(
                Route(f"/{name}", self._counting(name, self._answering(one)), methods=["POST"])
                for name, one in self._endpoints.items()
            ),
        ]
        made = Starlette(routes=routes, lifespan=self._lifespan, exception_handlers={HTTPException: self._missing})
        made.router.redirect_slashes = False
        return made

    def stop(self) -> None:
        """Take nothing new, and answer what has begun within the grace."""
        if self.batcher is not None and not self.batcher.stopping:
            self.batcher.stop(time.monotonic() + self.limits.grace - 1.0)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self.batcher = Batcher(self._model, self.limits, self.metrics)
        working = asyncio.create_task(self.batcher.work())
        yield
        working.cancel()
        self.batcher.close(0.5)

    # ------------------------------------------------------------------------------------------------- pages

    async def _health(self, _: Request) -> Response:
        ends = self.batcher is None or self.batcher.stopping
        return _json({"ok": not ends, "version": __version__}, 503 if ends else 200)

    async def _metrics(self, request: Request) -> Response:
        self._let_in(request)
        return Response(self.metrics.text(len(self.batcher or ())), media_type=counted.MEDIA)

    async def _openapi(self, request: Request) -> Response:
        self._let_in(request)
        return Response(self._document, media_type=JSON)

    def _answering(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def page(request: Request) -> Response:
            self._let_in(request)
            body = await _body(request, self.limits.body)
            content = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            query = dict(request.query_params)
            read = lambda: self._read(endpoint, content, query, body)  # noqa: E731
            ask = read() if len(body) < _SMALL else await asyncio.to_thread(read)
            if self.batcher is None:
                raise RefusedError(503, "the service begins; try again in a second.", retry=1)
            answer = await self.batcher.answer(endpoint, ask)
            made = lambda: _written(answer, request.headers.get("accept", ""))  # noqa: E731
            small = endpoint.wanted(ask.options, 0 if ask.data is None else len(ask.data)) < 100
            return made() if small and answer.records is None else await asyncio.to_thread(made)

        return page

    def _read(self, endpoint: Endpoint, content: str, query: dict[str, str], body: bytes) -> Ask:
        ask = ask_of(endpoint, content, query, body, self.limits)
        if endpoint.takes == "rows":
            self._check(self._model, endpoint, ask.data, ask.options)
        return ask

    def _let_in(self, request: Request) -> None:
        if not is_let_in(request.headers, self._token):
            raise RefusedError(401, "the token is missing or wrong; send the header Authorization: Bearer TOKEN.")

    # ----------------------------------------------------------------------------------------- every answer

    def _counting(
        self, name: str, page: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """A page whose faults are sentences, and which is counted."""

        async def whole(request: Request) -> Response:
            begun = time.monotonic()
            try:
                response = await page(request)
            except ClientDisconnect:
                response = Response(status_code=499)
            except Exception as fault:
                response = _refusal(fault)
            response.headers.update(_HEADERS)
            self.metrics.answered(name, response.status_code, time.monotonic() - begun)
            return response

        return whole

    async def _missing(self, request: Request, fault: Exception) -> Response:
        """An address that no page has, or one that is asked in another way."""
        status = getattr(fault, "status_code", 404)

        async def page(_: Request) -> Response:
            self._let_in(request)
            name = request.url.path.strip("/")
            if status == 405:
                raise RefusedError(405, f"/{name} does not take {request.method[:10]}; /openapi.json says how.")
            raise RefusedError(404, no_such(self._kind, name))

        response = await self._counting("other", page)(request)
        response.headers.update({k: v for k, v in (getattr(fault, "headers", None) or {}).items() if status == 405})
        return response


async def _body(request: Request, most: int) -> bytes:
    """The body of a request, read no further than it may be long."""
    sentence = f"a body has at most {most:,} bytes; send fewer rows or records at a time."
    told = request.headers.get("content-length", "0")
    if not told.isdecimal() or int(told[:20]) > most:
        raise RefusedError(413, sentence)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise RefusedError(413, sentence)
        parts.append(part)
    return b"".join(parts)


def _written(answer: Answer, accept: str) -> Response:
    """An answer in JSON, or where the client takes it, records as a .npy file or a picture."""
    kinds = [kind.partition(";")[0].strip().lower() for kind in accept.split(",")]
    if answer.records is not None and NPY in kinds:
        file = io.BytesIO()
        np.save(file, answer.records, allow_pickle=False)
        return Response(file.getvalue(), media_type=NPY)
    if answer.records is not None and PNG in kinds:
        return Response(grid_png(answer.records), media_type=PNG)
    return _json(answer.to_json())


def _refusal(fault: Exception) -> Response:
    """A fault as a sentence: the library's as they are, anything else is named and logged."""
    if isinstance(fault, RefusedError):
        headers = {} if fault.retry is None else {"retry-after": str(fault.retry)}
        if fault.status == 401:
            headers["www-authenticate"] = "Bearer"
        if fault.status == 413:
            headers["connection"] = "close"  # the rest of the body is not read
        return _json({"error": _sentence(fault)}, fault.status, headers)
    if isinstance(fault, (ValueError, TypeError)):
        return _json({"error": _sentence(fault)}, 422)
    _LOG.error("the computation failed", exc_info=fault)
    return _json({"error": f"this is a fault of scorefield: {type(fault).__name__}: {_sentence(fault)}"}, 500)


def _sentence(fault: Exception) -> str:
    return " ".join(str(fault).split())[:1000] or type(fault).__name__


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    content = json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
    return Response(content, status, headers, JSON)
