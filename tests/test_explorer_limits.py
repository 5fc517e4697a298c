"""What no page and no stranger can do to the explorer's server: make others wait, keep it busy, hinder its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from explorer_server import WAIT, Page, get, process
from scorefield.explorer.queries.pauses import PIECE, paced, pause, pausing
from scorefield.explorer.turns import SLICE

LIMITS = {"pages": 4, "connections": 12, "request": 0.5, "send": 0.5, "answer": 3}


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[int, str]]:
    with process(**LIMITS) as (_, port, token):
        yield port, token


def lives(port: int) -> bool:
    return get(port, "/health")[0] == 200


def connected(port: int, sent: bytes = b"") -> socket.socket:
    found = socket.create_connection(("127.0.0.1", port), WAIT)
    found.sendall(sent)
    return found


def cut_off(connection: socket.socket) -> float:
    """Seconds until the server ends a connection."""
    begun = time.monotonic()
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - begun


# ------------------------------------------------------------------------------------------------ slow and many peers

HEAD = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
HALF: dict[str, bytes] = {
    "nothing": b"",
    "a word": b"GET",
    "half a head": HEAD,
    "half a body": HEAD.replace(b"GET", b"POST") + b"Content-Length: 100\r\n\r\nx",
    "half of the second": HEAD + b"\r\n" + HEAD,
    "half a handshake": HEAD.replace(b"/health", b"/ws") + b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
}


@pytest.mark.parametrize("name", HALF)
def test_whoever_sends_half_a_request_is_cut_off(server: tuple[int, str], name: str) -> None:
    sent = HALF[name].replace(b"%d", b"%d" % server[0])
    with connected(server[0], sent) as connection:
        assert cut_off(connection) < LIMITS["request"] + 2 and lives(server[0])


def test_a_byte_now_and_then_does_not_keep_a_request_alive(server: tuple[int, str]) -> None:
    with connected(server[0], HEAD % server[0]) as connection, pytest.raises(ConnectionError):
        for _ in range(100):
            connection.sendall(b"X-Padding: 1\r\n")
            time.sleep(0.1)


def test_whoever_does_not_read_a_file_is_cut_off(server: tuple[int, str]) -> None:
    file = (HEAD % server[0]).replace(b"/health", b"/static/js/vendor/uplot/uPlot.iife.min.js") + b"\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(WAIT)
        connection.connect(("127.0.0.1", server[0]))
        connection.sendall(file * 200)  # 10 MB of answers, more than lies in any buffer
        time.sleep(LIMITS["request"] + 1)
        received = 0
        try:
            while part := connection.recv(1 << 16):
                received += len(part)
        except ConnectionError:
            pass
        assert received < 200 * 50_000 and lives(server[0])


def deaf_page(port: int, token: str) -> socket.socket:
    """A page that requests a large answer and reads nothing."""
    head = (
        f"GET /ws?token={token} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    connection = connected(port, head.encode())
    assert b"101" in connection.recv(1 << 12)
    message = json.dumps({"id": 1, "channel": "a", "query": "large"}).encode()
    connection.sendall(Frame(Opcode.TEXT, message).serialize(mask=True))
    return connection


def test_a_page_that_takes_nothing_loses_its_place(server: tuple[int, str]) -> None:
    deaf: list[socket.socket] = []

    def refused() -> bool:  # on a busy machine the first of them have lost theirs before the last has come
        deaf.extend(deaf_page(*server) for _ in range(int(LIMITS["pages"])))
        try:
            with Page(*server) as page:
                return not page.lives()
        except ConnectionClosed as closed:
            return closed.rcvd is not None and closed.rcvd.code == 1013

    until(refused)

    def free() -> bool:
        try:
            with Page(*server) as page:
                return page.lives()
        except ConnectionClosed:
            return False

    until(free)
    for page in deaf:
        page.close()


def test_connections_are_bounded(server: tuple[int, str]) -> None:
    until(lambda: lives(server[0]))
    many = [connected(server[0]) for _ in range(3 * int(LIMITS["connections"]))]
    at_once = [cut_off(one) < 0.3 for one in reversed(many)]
    for one in many:
        one.close()
    assert sum(at_once) >= len(many) - LIMITS["connections"] and lives(server[0])


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


# ------------------------------------------------------------------------------------------------------- fair turns


def seconds_of(page: Page, query: str, **given: object) -> float:
    begun = time.monotonic()
    assert page.request(query, **given)["ok"]
    return time.monotonic() - begun


def worked(pid: int, wait: Callable[[], float]) -> float:
    """The seconds that a process computed during a wait: on a busy machine the wait itself is longer."""
    before = processor_seconds(pid)
    waited = wait()
    return waited if before is None else (processor_seconds(pid) or 0.0) - before


def processor_seconds(pid: int) -> float | None:
    """Of a process so far; None where the system does not tell."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return None
    return sum(map(int, stat.read_text().rpartition(")")[2].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def test_no_page_waits_for_the_computations_of_others(server: tuple[int, str]) -> None:
    with Page(*server) as one, Page(*server) as two, Page(*server) as other:
        begun = time.monotonic()
        for page in (one, two):
            for channel in "abcd":
                page.send("long", channel, x=0.5)
        waits = [seconds_of(other, "square") for _ in range(5)]
        replies = [page.reply() for page in (one, two) for _ in range(4)]
        assert all(reply["ok"] for reply in replies)
        assert max(waits) < (time.monotonic() - begun) / 3, waits  # a share of what a busy machine makes longer, too


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("learn.train", {"objective": "implicit", "batch": 1024, "width": 256, "every": 50}),
        ("density.latent", {"steps": 200, "refinements": 5, "mixture": "spiral"}),
        ("density.point", {"tolerance": 1e-10, "mixture": "spiral"}),
        ("diffusion.sample", {"n": 9000, "steps": 200, "mixture": "spiral"}),
        ("diffusion.sample", {"plan": "calibrated", "steps": 60, "mixture": "spiral"}),
        ("langevin.run", {"n": 20000, "steps": 200, "every": 100, "adjusted": True}),
    ],
)
def test_no_page_waits_for_the_librarys_longest_computations(
    explorer: tuple[int, tuple[int, str]], query: str, params: dict[str, object]
) -> None:
    pid, address = explorer
    with Page(*address) as busy, Page(*address) as other:
        seconds_of(other, "field.point")
        busy.send(query, **params)
        time.sleep(0.2)
        waits = [worked(pid, lambda k=k: seconds_of(other, "field.point", x=[0.1 * k, 0.0])) for k in range(4)]
        assert max(waits) < 1.5, waits


@pytest.fixture(scope="module")
def explorer() -> Iterator[tuple[int, tuple[int, str]]]:
    """The process's number, and where its pages are."""
    with process("--port", "0") as (running, port, token):
        yield running.pid, (port, token)


def test_a_computation_that_takes_too_long_is_ended_with_a_sentence(server: tuple[int, str]) -> None:
    with Page(*server) as page:
        reply = page.request("long", x=60)
        assert not reply["ok"] and "at most 3 s of computing" in reply["error"] and page.lives()


def test_a_computation_ends_when_it_is_cancelled(server: tuple[int, str]) -> None:
    with Page(*server) as page:
        first = page.send("long", x=2.5)
        time.sleep(0.1)
        begun = time.monotonic()
        page.cancel(first)
        replies = [page.reply(), page.reply()]
        assert {reply["id"] for reply in replies} == {first, first + 1}
        assert any(reply.get("cancelled") for reply in replies) and time.monotonic() - begun < 2


def test_a_large_batch_is_answered_in_pieces_with_pauses_between_them() -> None:
    import torch

    from scorefield.analytic import Gaussian
    from scorefield.core import Level

    law, x = Gaussian(torch.zeros(2), torch.eye(2)), torch.randn(PIECE, 2, generator=torch.Generator().manual_seed(0))
    count: list[int] = []
    with pausing(lambda: count.append(1)):
        each = Level(torch.ones(len(x)), torch.linspace(0.1, 1, len(x)))
        for level in (Level(1.0, 0.5), each):
            whole, pieces = law(x, level), paced(law)(x, level)
            assert torch.allclose(whole.x0, pieces.x0) and torch.allclose(whole.eps, pieces.eps)
        assert len(count) == 4
        torch.func.jvp(lambda y: (pause(), y)[1], (x,), (x,))
        assert len(count) == 4  # never inside a forward-mode derivative
    pause()
    assert len(count) == 4 and SLICE < 0.2


# ---------------------------------------------------------------------------------------------------------- the end


def ended(running: object, how: signal.Signals, times: int = 1) -> tuple[int, str, float]:
    begun = time.monotonic()
    for _ in range(times):
        running.send_signal(how)  # type: ignore[attr-defined]
        time.sleep(0.1)
    _, err = running.communicate(timeout=WAIT)  # type: ignore[attr-defined]
    return running.returncode, err, time.monotonic() - begun  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("work", "how"),
    [
        ("nothing", signal.SIGTERM),
        ("long", signal.SIGINT),
        ("blocks", signal.SIGINT),
        ("large", signal.SIGTERM),
    ],
)
def test_a_signal_ends_the_server_in_peace(work: str, how: signal.Signals) -> None:
    with process() as (running, port, token):
        if work != "nothing":  # otherwise at once, with no page open
            page, half = Page(port, token), connected(port, b"GET / HTTP/1.1\r\n")
            for channel in "ab":
                page.send(work, channel, x=30)
            time.sleep(0.3)
        code, err, seconds = ended(running, how)
        assert (code, err) == (0, "") and seconds < 6
        if work != "nothing":
            half.close()


def test_the_command_ends_in_peace_while_it_computes() -> None:
    with process("--port", "0") as (running, port, token):
        page = Page(port, token)
        page.send("learn.train", objective="implicit", batch=1024, width=256, every=50)
        threading.Thread(target=lambda: page.send("density.latent", "b", steps=200, refinements=5)).start()
        time.sleep(1)
        code, err, seconds = ended(running, signal.SIGINT, times=3)  # as those do who cannot wait
        assert (code, err) == (0, "") and seconds < 6
