"""Where a server listens."""

from __future__ import annotations

import ipaddress
import socket

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Names under which this machine alone reaches a server."""


def bound(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A listening socket; port 0 is one that is free.

    Raises:
        ValueError: for a port that is none, or no host.
        OSError: for a port that is taken, a host that is not this machine's, or one that means every address of it
            without saying so.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"the port must be from 0 to 65535, got {port}; leave --port out for a free one.")
    if not host.strip():
        raise ValueError("the host must be an address of this machine, got nothing; leave --host out for 127.0.0.1.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once only where the protocol is named; otherwise a reply's frame can wait 40 ms for its text
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        if not _is_plain(host, listener.getsockname()[0]):
            raise ValueError("it means more than one address; 0.0.0.0 is every address of this machine")
        listener.listen(64)
    except (OSError, TypeError, ValueError) as error:  # of the system, or of a text that is no host's name
        listener.close()
        raise OSError(f"cannot listen on {host!r}, port {port}: {error}; leave --host and --port out.") from error
    return listener


def _is_plain(host: str, address: str) -> bool:
    """Whether a host stands for one address, or names all of them openly."""
    found = ipaddress.ip_address(address.partition("%")[0])
    return host in ("0.0.0.0", "::") or not (found.is_unspecified or found.is_multicast or address == "255.255.255.255")


def url(host: str, port: int) -> str:
    """The address under which a program on this machine reaches a server.

    Example:
        >>> url("0.0.0.0", 8000), url("::", 8000)
        ('http://127.0.0.1:8000', 'http://[::1]:8000')
    """
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"
