"""The server of one run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scorefield import runs
from scorefield.serving.application import Service
from scorefield.serving.limits import LIMITS, Limits
from scorefield.web import address, transport

_IDLE = 60
"""Seconds that a connection may be silent between two requests: longer than clients keep theirs."""


def serve(
    run: str | Path,
    token: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    limits: Limits = LIMITS,
    ready: Callable[[str], None] = lambda url: None,
) -> bool:
    """Serve a run until Ctrl-C or SIGTERM: what has begun is answered, new requests are refused, then it returns.

    Args:
        run: folder of a trained model.
        token: that clients must bring.
        host: address to listen on; only this machine reaches the default one.
        port: 0 is one that is free.
        limits: of the clients.
        ready: called with the service's address once it can be asked.

    Returns:
        Whether something is still computed that could not be ended in time; the process should then leave at once.

    Raises:
        FileError: for a folder that holds no run.
        ValueError: for a host or port that is none.
        OSError: where nothing can listen there.
    """
    service = Service(runs.load(run), Path(run).resolve().name, token, limits)
    with address.bound(host, port) as listener:
        port = listener.getsockname()[1]
        running = transport.server(service.application(), limits, 1, limits.grace, _IDLE)

        def stop() -> None:
            running.should_exit = True  # a second time changes nothing: the end takes seconds at most
            service.stop()

        with transport.signals_call(stop):
            ready(address.url(host, port))
            running.run(sockets=[listener])
    return service.batcher is not None and service.batcher.is_alive
