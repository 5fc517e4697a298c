"""Who is answered: the token, the Host and the Origin, and the headers that keep other pages out."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_ANYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Access:
    """The rules of one server.

    Args:
        token: that the page and its socket must name.
        port: that the server listens on.
        host: that it listens on; the loopback's own names are always right.

    Example:
        >>> access = Access("secret", 8000)
        >>> [access.accepts_host(name) for name in ("127.0.0.1:8000", "evil.example:8000", "127.0.0.1:80")]
        [True, False, False]
    """

    token: str
    port: int
    host: str = "127.0.0.1"

    def accepts_host(self, given: str) -> bool:
        """Whether a Host header names this server. A foreign name that resolves to this machine is not it."""
        name, _, port = given.lower().rpartition(":")
        if not port.isdecimal() or given.endswith("]"):
            name, port = given.lower(), "80"
        if port != str(self.port):
            return False
        if name in _LOOPBACK or name.strip("[]") == self.host.lower():
            return True
        return self.host in _ANYWHERE and (_is_address(name.strip("[]")) or name == socket.gethostname().lower())

    def accepts_token(self, query: bytes) -> bool:
        """Whether a query string holds the token, once; the comparison takes the same time for every wrong one."""
        given = parse_qs(query.decode("latin-1")).get("token", [])
        return len(given) == 1 and hmac.compare_digest(given[0].encode(), self.token.encode())

    def refusal(self, scope: Scope) -> str:
        """Why a request is refused, in a sentence; nothing where it is not."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self.accepts_host(hosts[0]):
            return "This explorer answers to its own address only."
        is_socket = scope["type"] == "websocket"
        origins = headers.getlist("origin")
        if (is_socket and not origins) or any(origin.lower() != f"http://{hosts[0].lower()}" for origin in origins):
            return "This explorer answers to its own page only."
        if (is_socket or scope["path"] == "/") and not self.accepts_token(scope["query_string"]):
            return "The address lacks the right token; open the one that `scorefield explore` printed."
        return ""


class Guarded:
    """An application that answers only those who have access."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on; every answer gets the headers."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        refusal = self._access.refusal(scope)
        if scope["type"] == "websocket":
            if refusal:
                return await send({"type": "websocket.close", "code": 1008, "reason": refusal})  # HTTP's 403
            return await self._app(scope, receive, send)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _headers(Headers(scope=scope).get("host", "") if not refusal else "").items():
                    headers[name] = value
            await send(message)

        app = PlainTextResponse(refusal + "\n", 403) if refusal else self._app
        return await app(scope, receive, guarded)


def _headers(host: str) -> dict[str, str]:
    socket_source = f" ws://{host}" if host else ""
    return {
        "content-security-policy": f"default-src 'self'; connect-src 'self'{socket_source}; "
        "img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
    }


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
