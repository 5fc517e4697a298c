"""What no client can do to `scorefield serve`, and what each gets told in one sentence."""

from __future__ import annotations

import http.client
import json
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from explorer_runs import mixed_table_session
from scorefield.serving.access import VARIABLE, token_from
from serving import TOKEN, WAIT, Client, Said, process

ROW = {"town": "Bern", "area": 60.5, "rooms": 12, "price": 17000, "garden": 0, "sold": "2020-05-01"}
LIMITS = {
    "body": 20_000,
    "rows": 50,
    "evaluations": 2_000,
    "seconds": 0.25,
    "queue": 3,
    "request": 0.7,
    "connections": 12,
    "grace": 4.0,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("homes")
    mixed_table_session(folder).run.save(folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def client(run: Path) -> Iterator[Client]:
    with process(run, **LIMITS) as (_, client):
        yield client


def lives(client: Client) -> bool:
    return client.ask("/sample", {"n": 1, "steps": 2}).status == 200


# ------------------------------------------------------------------------------------------------------- bad input

BAD: dict[str, tuple[bytes, int, str]] = {
    "no json": (b"nonsense", 400, "JSON"),
    "half": (b'{"rows": [', 400, "JSON"),
    "deep": (b"[" * 15_000, 400, "JSON"),
    "a list": (b"[]", 400, "object"),
    "not utf-8": (b'{"rows": "\xff"}', 400, "JSON"),
    "nan": (b'{"rows": [{"area": NaN}]}', 400, "NaN"),
    "infinity": (b'{"rows": [{"area": -Infinity}]}', 400, "Infinity"),
    "a name twice": (b'{"seed": 1, "seed": 2, "rows": []}', 400, "twice"),
    "nothing": (b"", 422, "needs 'rows'"),
    "rows by another name": (b'{"rowz": []}', 422, "needs 'rows'"),
    "no rows": (b'{"rows": []}', 422, "one object or more"),
    "rows no list": (b'{"rows": {"area": 1}}', 422, "one object or more"),
    "a row no object": (b'{"rows": [1]}', 422, "row 1"),
    "a cell no value": (b'{"rows": [{"area": [1]}]}', 422, "cells are"),
    "an unknown option": (json.dumps({"rows": [ROW], "sead": 1}).encode(), 422, "did you mean 'seed'"),
    "a wrong type": (json.dumps({"rows": [ROW], "seed": "1"}).encode(), 422, "seed must be a whole number"),
    "out of range": (json.dumps({"rows": [ROW], "tolerance": 0}).encode(), 422, "tolerance must be"),
    "another choice": (json.dumps({"rows": [ROW], "unseen": "drop"}).encode(), 422, "'error', 'missing'"),
}
CELLS: dict[str, tuple[dict[str, Any], str]] = {
    "a text for a number": ({"area": "big"}, "'area' takes a number or null, got 'big' in row 2"),
    "a truth for a number": ({"area": True}, "'area' takes a number"),
    "a huge number": ({"area": 10**400}, "'area' takes a number"),
    "far beyond": ({"area": 1e301}, "'area' takes a number"),
    "a number for a text": ({"town": 3}, "'town' takes a text"),
    "an unknown category": ({"town": "Rom"}, "'Rom' in row 2 (from 1), unseen at training"),
    "no time": ({"sold": "soon"}, "'sold' takes a time"),
    "a zone": ({"sold": "2020-05-01T00:00:00Z"}, "without a zone"),
    "no whole number": ({"rooms": 1.5}, "'rooms' holds 1.5 in row 2"),
    "another column": ({"colour": "red"}, "'colour', unknown at training"),
    "a time out of range": ({"sold": "9999-12-31"}, ""),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_bodies_are_one_sentence(client: Client, name: str) -> None:
    body, status, word = BAD[name]
    said = client.ask("/density", body)
    assert said.status == status and word in said.error


@pytest.mark.parametrize("name", CELLS)
def test_bad_cells_are_one_sentence(client: Client, name: str) -> None:
    cells, word = CELLS[name]
    said = client.ask("/density", {"rows": [ROW, ROW | cells]})
    assert said.status == 422 or not word
    if said.status != 200:
        assert word in said.error and "fault of scorefield" not in said.error


def test_a_lacking_column_is_named_and_a_lacking_cell_is_a_hole(client: Client) -> None:
    less = {name: value for name, value in ROW.items() if name != "price"}
    said = client.ask("/density", {"rows": [less]})
    assert said.status == 422 and "lacks the column(s) 'price'" in said.error
    hole = client.ask("/density", {"rows": [{**ROW, "price": None}, ROW], "seed": 1})
    assert client.ask("/density", {"rows": [less, ROW], "seed": 1}).json == hole.json
    assert client.ask("/predict", {"rows": [less], "target": "town"}).status == 422
    assert "no column" in client.ask("/predict", {"rows": [ROW], "target": "colour"}).error
    assert client.ask("/impute", {"rows": [{**ROW, "town": "Rom"}], "unseen": "missing", "steps": 2}).status == 200


def test_what_is_not_known_is_refused(client: Client) -> None:
    assert client.ask("/density", b"a=1", Content_Type="application/x-www-form-urlencoded").status == 415
    assert client.ask("/density", b"\x93NUMPY", Content_Type="application/x-npy").status == 415
    assert client.ask("/density?seed=1", {"rows": [ROW]}).status == 400
    assert client.ask("/sample", {"given": ["price>"]}).status == 422
    for path in ("/", "/none", "/density/", "/static/../model.json", "/%2e%2e/model.json", "/" + "x" * 5000):
        assert client.ask(path, {}).status == 404, path


# ---------------------------------------------------------------------------------------------------------- tokens


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer ", "Bearer x", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \xff"]
)
def test_a_wrong_token_is_let_in_nowhere(client: Client, given: str | None) -> None:
    stranger = client._replace(token=None)
    named = {} if given is None else {"Authorization": given}
    for path, method in (("/density", "POST"), ("/metrics", "GET"), ("/openapi.json", "GET"), ("/none", "GET")):
        said = stranger.ask(path, b"{}" if method == "POST" else None, method, **named)
        assert said.status == 401 and said.headers["www-authenticate"] == "Bearer" and TOKEN not in said.error
    assert stranger.ask("/health", method="GET", **named).json["ok"] is True


def test_a_token_stands_once(client: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=WAIT)
    connection.putrequest("GET", "/metrics")
    for word in (TOKEN, "other"):
        connection.putheader("Authorization", f"Bearer {word}")
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()


def test_tokens_come_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    made, is_new = token_from(None)
    assert is_new and len(made) > 30 and made != token_from(None)[0]
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    monkeypatch.setenv(VARIABLE, TOKEN[::-1])
    assert token_from(tmp_path / "token") == (TOKEN, False) and token_from(None) == (TOKEN[::-1], False)
    for bad in ("", "short", "with a space in the middle", "é" * 20):
        monkeypatch.setenv(VARIABLE, bad)
        with pytest.raises(ValueError, match=VARIABLE):
            token_from(None)
    with pytest.raises(ValueError, match="none"):
        token_from(tmp_path / "none")


# ---------------------------------------------------------------------------------------------------------- limits


def test_too_much_is_refused_with_its_size(client: Client) -> None:
    said = client.ask("/sample", {"n": 51})
    assert said.status == 413 and "at most 50 rows" in said.error and "51" in said.error
    assert client.ask("/density", {"rows": [{}] * 51}).status == 413
    said = client.ask("/sample", {"n": 50, "steps": 41})
    assert said.status == 413 and "2,050" in said.error
    assert client.ask("/impute", {"rows": [ROW] * 10, "draws": 6}).status == 413
    said = client.ask("/density", b" " * 20_001)
    assert said.status == 413 and "20,000 bytes" in said.error and said.headers["connection"] == "close"


def test_a_body_of_unknown_length_is_read_no_further_than_allowed(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port), WAIT) as connection:
        head = f"POST /density HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        for _ in range(30):
            connection.sendall(b"3e8\r\n" + b" " * 1000 + b"\r\n")
            if select.select([connection], [], [], 0.02)[0]:  # it has answered, and reads no more
                break
        assert b" 413 " in connection.recv(1 << 12).split(b"\r\n")[0]
    for told in ("-1", "x", "9" * 40):
        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=WAIT)
        connection.putrequest("POST", "/density")
        connection.putheader("Authorization", f"Bearer {TOKEN}")
        connection.putheader("Content-Length", told)
        connection.endheaders()
        assert connection.getresponse().status in (400, 413)
        connection.close()


def test_what_takes_too_long_is_ended_with_a_sentence(client: Client) -> None:
    said = client.ask("/outliers", {"rows": [ROW] * 30, "share": 1.0, "tolerance": 1e-5})
    assert said.status == 503 and "at most 0.25 s of computing" in said.error and int(said.headers["retry-after"]) > 0
    assert lives(client)


def test_more_than_may_wait_is_refused_and_nothing_is_lost(client: Client) -> None:
    found: list[Said] = []

    def ask(k: int) -> None:
        found.append(client.ask("/predict", {"rows": [ROW] * 5, "target": "sold", "seed": k, "steps": 6}))

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert len(found) == 11 and {one.status for one in found} <= {200, 429, 503}
    refused = [one for one in found if one.status == 429]
    assert refused and all("wait" in one.error and one.headers["retry-after"] == "1" for one in refused)
    assert any(one.status == 200 for one in found) and lives(client)


# ------------------------------------------------------------------------------------------------------- slow peers

HEAD = f"POST /sample HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
HALF = {
    "nothing": b"",
    "a word": b"POST",
    "half a head": HEAD,
    "half a body": HEAD + b"Content-Length: 100\r\n\r\n{",
    "half of the second": HEAD + b"Content-Length: 2\r\n\r\n{}" + HEAD,
}


@pytest.mark.parametrize("name", HALF)
def test_whoever_sends_half_a_request_is_cut_off(client: Client, name: str) -> None:
    with socket.create_connection(("127.0.0.1", client.port), WAIT) as connection:
        connection.sendall(HALF[name])
        begun = time.monotonic()
        try:
            while connection.recv(1 << 16):
                pass
        except ConnectionError:
            pass
        assert time.monotonic() - begun < LIMITS["request"] + 2 and lives(client)


def test_a_connection_may_rest_between_two_requests(client: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=WAIT)
    for _ in range(2):
        connection.request("POST", "/sample", b'{"steps": 2}', {"Authorization": f"Bearer {TOKEN}"})
        assert connection.getresponse().read()
        kept = connection.sock
        time.sleep(2 * LIMITS["request"])
    assert connection.sock is kept and kept is not None
    connection.close()


def test_connections_are_bounded(client: Client) -> None:
    many = [socket.create_connection(("127.0.0.1", client.port), WAIT) for _ in range(30)]
    for one in many:
        one.close()
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        try:
            if lives(client):
                return
        except (ConnectionError, http.client.HTTPException):
            time.sleep(0.05)
    raise AssertionError("the service answers no more")


# --------------------------------------------------------------------------------------------------------- the end


def test_a_signal_ends_the_service_and_what_has_begun_is_answered(run: Path) -> None:
    with process(run, grace=15.0) as (running, client):
        found: list[Said] = []
        asks = [("/predict", {"rows": [ROW], "target": "sold"}), ("/sample", {"n": 2}), ("/density", {"rows": [ROW]})]
        threads = [threading.Thread(target=lambda a=a: found.append(client.ask(*a))) for a in asks]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        kept = http.client.HTTPConnection("127.0.0.1", client.port, timeout=WAIT)
        kept.request("GET", "/health")
        kept.getresponse().read()
        running.send_signal(signal.SIGTERM)
        try:
            kept.request("POST", "/sample", b"{}", {"Authorization": f"Bearer {TOKEN}"})
            assert kept.getresponse().status == 503
        except (ConnectionError, http.client.HTTPException):
            pass  # its connection was closed first
        _, err = running.communicate(timeout=WAIT)
        for thread in threads:
            thread.join(WAIT)
        assert (running.returncode, err) == (0, "")
        assert [one.status for one in found] == [200, 200, 200]
        with pytest.raises(ConnectionError):
            client.ask("/health", method="GET")


def test_what_does_not_end_in_time_is_refused_and_the_process_ends(run: Path) -> None:
    with process(run, grace=1.5) as (running, client):
        found: list[Said] = []
        asking = threading.Thread(
            target=lambda: found.append(client.ask("/outliers", {"rows": [ROW] * 10_000, "share": 1.0}))
        )
        asking.start()
        time.sleep(1.0)
        begun = time.monotonic()
        for _ in range(3):  # as those do who cannot wait
            running.send_signal(signal.SIGINT)
            time.sleep(0.1)
        _, err = running.communicate(timeout=WAIT)
        assert (running.returncode, err) == (0, "") and time.monotonic() - begun < 8
        asking.join(WAIT)
        assert not found or (found[0].status == 503 and "ends" in found[0].error)
