"""What the pages of one server may use."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """Counts, and times in seconds.

    Args:
        pages: open at a time.
        connections: open at a time, those that fetch files included.
        channels: of one page with work on them.
        request: from an HTTP connection's first moment, or the first byte of its next request, to the end of that; and
            again to the end of the answer: whoever sends half a request, nothing, or reads an answer too slowly is cut
            off.
        send: in which a page's socket must take some of what waits for it.
        answer: of computing for one answer, or one part of a stream.
        stream: from the first to the last part of a stream.
    """

    pages: int = 16
    connections: int = 64
    channels: int = 16
    request: float = 10.0
    send: float = 20.0
    answer: float = 60.0
    stream: float = 600.0

    @property
    def reply(self) -> float:
        """From the end of a request to that of its answer, which is a file of the page."""
        return self.request


LIMITS = Limits()
"""Those of the command."""
