"""A server of the explorer on a real socket, with queries made for tests, and pages that talk to it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from websockets.sync.client import ClientConnection, connect

from scorefield.explorer.access import Access
from scorefield.explorer.queries import Query
from scorefield.explorer.queries.pauses import pause
from scorefield.explorer.server import application, server
from scorefield.explorer.session import Session
from scorefield.web.address import bound

TOKEN = "the-right-token"
WAIT = 20.0  # far more than anything here takes


@dataclass(frozen=True)
class Square:
    x: float = 2.0


@dataclass(frozen=True)
class Count:
    n: int = 3
    pause: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.n <= 10**6 and 0 <= self.pause <= 1):
            raise ValueError(f"n must be from 0 to 10**6 and pause from 0 to 1, got {self.n} and {self.pause}.")


class Hold:
    """What lets a test hold a computation, and see which ones began."""

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.ended = threading.Event()
        self.release = threading.Event()
        self.at_once = self.most = 0
        self._lock = threading.Lock()

    def held(self, p: Square, _: Session) -> dict[str, Any]:
        with self._lock:
            self.begun.append(p.x)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        assert self.release.wait(WAIT)
        with self._lock:
            self.at_once -= 1
        return {"x": p.x}

    def count(self, p: Count, _: Session) -> Iterator[dict[str, Any]]:
        try:
            for k in range(p.n):
                time.sleep(p.pause)
                yield {"k": k, "row": np.arange(k)}
        finally:
            self.ended.set()


def square(p: Square, _: Session) -> dict[str, Any]:
    return {
        "y": p.x**2,
        "both": [np.full((2, 3), p.x), {"whole": np.arange(5)}],
        "nan": float("nan"),
        "one": np.float64(1),
    }


def fails(_: Square, __: Session) -> dict[str, Any]:
    raise ZeroDivisionError("as it happens")


def fails_later(_: Square, __: Session) -> Iterator[dict[str, Any]]:
    yield {"k": 0}
    raise RuntimeError("half way")


def refuses(_: Square, __: Session) -> dict[str, Any]:
    raise ValueError("this is not possible; try that.")


def unsendable(_: Square, __: Session) -> dict[str, Any]:
    return {"set": {1}}


def long(p: Square, _: Session) -> dict[str, Any]:
    """x seconds of computing with a pause every 10 ms."""
    for _k in range(round(100 * p.x)):
        end = time.monotonic() + 0.01
        while time.monotonic() < end:
            pass
        pause()
    return {"x": p.x}


def blocks(p: Square, _: Session) -> dict[str, Any]:
    """x seconds without a pause."""
    time.sleep(p.x)
    return {"x": p.x}


def large(_: Square, __: Session) -> dict[str, Any]:
    return {"x": np.zeros(1 << 24, np.float32)}


def huge(_: Square, __: Session) -> dict[str, Any]:
    return {"x": np.broadcast_to(np.zeros(1), (1 << 27,))}


def queries(hold: Hold) -> dict[str, Query]:
    """What the servers of tests answer."""
    squares = {
        "square": square,
        "held": hold.held,
        "fails": fails,
        "fails.later": fails_later,
        "refuses": refuses,
        "unsendable": unsendable,
        "long": long,
        "blocks": blocks,
        "large": large,
        "huge": huge,
    }
    return {"count": Query(Count, hold.count), **{name: Query(Square, call) for name, call in squares.items()}}


@contextmanager
def serving(page: Path, hold: Hold) -> Iterator[int]:
    """The server in a thread; its port."""
    with bound() as listener:
        port = listener.getsockname()[1]
        running = server(application(queries(hold), Session(), Access(TOKEN, port), page))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield port
        finally:
            hold.release.set()
            running.should_exit = True
            thread.join(WAIT)
            assert not thread.is_alive()


PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
from explorer_server import Hold, queries
from scorefield.explorer.limits import Limits
from scorefield.explorer.server import serve
from scorefield.explorer.session import Session
from scorefield.web.address import bound
serve(queries(Hold()), Session(), ready=lambda address: print(address, flush=True), limits=Limits(**{limits!r}))
"""


@contextmanager
def process(*words: str, **limits: float) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """A server in a process of its own: it, its port and token. With words: the command `scorefield explore WORDS`."""
    program = ["-c", PROGRAM.format(tests=str(Path(__file__).parent), limits=limits)]
    call = [sys.executable, *(["-m", "scorefield", "explore", "--no-browser", *words] if words else program)]
    running = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        address = running.stdout.readline().split()[-1]
        yield running, int(address.split(":")[2].split("/")[0]), address.split("token=")[1]
    finally:
        running.kill()
        running.wait()


@contextmanager
def folder_of(tmp: Path) -> Iterator[Path]:
    """A page's folder, next to a secret, and a link to that."""
    (tmp / "secret.txt").write_text("secret")
    page = tmp / "page"
    (page / "js").mkdir(parents=True)
    (page / "index.html").write_text("<title>the page</title>")
    (page / "js" / "main.js").write_text("export {};")
    (page / "link.txt").symlink_to(tmp / "secret.txt")
    yield page


def get(port: int, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body; the path goes out as it stands."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
    connection.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
    connection.close()
    return found


def talk(
    port: int, token: str | None = TOKEN, origin: str | None = "", host: str = "127.0.0.1"
) -> AbstractContextManager[ClientConnection]:
    """A socket; by default one that is let in."""
    query = "" if token is None else f"?token={token}"
    own = f"http://{host}:{port}" if origin == "" else origin
    return connect(
        f"ws://{host}:{port}/ws{query}", origin=own, max_size=None, open_timeout=WAIT, close_timeout=1, proxy=None
    )


class Page:
    """The other end of the protocol, as the page has it."""

    def __init__(self, port: int, token: str = TOKEN) -> None:
        self.last = 0
        self.socket = talk(port, token).__enter__()

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, query: str, channel: str = "a", **given: object) -> int:
        self.last += 1
        self.socket.send(json.dumps({"id": self.last, "channel": channel, "query": query, "params": given}))
        return self.last

    def cancel(self, target: int) -> int:
        self.last += 1
        self.socket.send(json.dumps({"id": self.last, "cancel": target}))
        return self.last

    def reply(self) -> dict[str, Any]:
        reply = json.loads(self.socket.recv(WAIT))
        frame = self.socket.recv(WAIT) if reply.get("binary") else b""
        return unpacked(reply, frame)

    def request(self, query: str, **given: object) -> dict[str, Any]:
        id = self.send(query, **given)
        reply = self.reply()
        assert reply["id"] == id
        return reply

    def raw(self, text: str | bytes) -> dict[str, Any]:
        self.socket.send(text)
        return self.reply()

    def lives(self) -> bool:
        return self.request("square", x=3)["result"]["y"] == 9


def unpacked(value: Any, frame: bytes) -> Any:
    if isinstance(value, list):
        return [unpacked(part, frame) for part in value]
    if isinstance(value, dict) and "dtype" in value:
        end = value["offset"] + value["length"]
        return np.frombuffer(frame[value["offset"] : end], value["dtype"]).reshape(value["shape"])
    if isinstance(value, dict):
        return {name: unpacked(part, frame) for name, part in value.items()}
    return value
