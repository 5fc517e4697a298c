"""What the clients of one service may use."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """Counts, bytes, and times in seconds.

    Args:
        body: bytes of one request.
        rows: that one request gives, or wants.
        evaluations: of the network that one request wants, where it says how many.
        seconds: of computing for the answers that are computed together.
        wait: from a request to the beginning of its computation.
        queue: requests that wait at a time.
        gather: how long a request waits for others that can be computed with it.
        together: requests that are computed at once, at most.
        connections: open at a time.
        request: from the first byte of a request to its last.
        reply: from there to the end of its answer.
        send: as for every server; a service has no sockets that stay open.
        grace: that requests have to be answered when the service ends.
    """

    body: int = 8 << 20
    rows: int = 10_000
    evaluations: int = 1_000_000
    seconds: float = 30.0
    wait: float = 30.0
    queue: int = 256
    gather: float = 0.003
    together: int = 64
    connections: int = 256
    request: float = 20.0
    reply: float = 120.0
    send: float = 20.0
    grace: float = 8.0


LIMITS = Limits()
"""Those of the command."""
