"""Whom the explorer answers: token, Host, Origin, paths; and the command that starts it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from explorer_server import TOKEN, WAIT, Hold, folder_of, get, serving, talk
from scorefield.explorer.access import Access
from scorefield.web.address import bound


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """One server for the questions that leave nothing behind."""
    with folder_of(tmp_path_factory.mktemp("server")) as page, serving(page, Hold()) as port:
        yield port


# ------------------------------------------------------------------------------------------------- who is answered


def test_the_page_needs_the_token_and_its_files_do_not(shared: int) -> None:
    status, headers, body = get(shared, f"/?token={TOKEN}")
    assert status == 200 and "the page" in body
    assert (
        headers["content-security-policy"].startswith("default-src 'self'") and headers["cache-control"] == "no-store"
    )
    assert headers["referrer-policy"] == "no-referrer" and headers["x-content-type-options"] == "nosniff"
    assert get(shared, "/static/js/main.js")[1]["content-type"].startswith("text/javascript")
    assert json.loads(get(shared, "/health")[2])["ok"] is True
    for wrong in (
        "/",
        "/?token=",
        "/?token=x",
        f"/?token={TOKEN}x",
        f"/?token=x&token={TOKEN}",
        "/?token=%ff",
        "/?token=é",
    ):
        status, headers, body = get(shared, wrong.encode().decode("latin-1") if wrong.isascii() else "/?token=%C3%A9")
        assert status == 403 and "token" in body and "content-security-policy" in headers, wrong


@pytest.mark.parametrize("path", ["/", "/health", "/static/js/main.js"])
def test_a_foreign_host_or_origin_gets_nothing(shared: int, path: str) -> None:
    path += f"?token={TOKEN}"
    assert get(shared, path, Host=f"localhost:{shared}")[0] == 200
    assert get(shared, path, Origin=f"http://127.0.0.1:{shared}")[0] == 200
    for host in (
        "evil.example",
        f"evil.example:{shared}",
        "127.0.0.1",
        f"127.0.0.1:{shared + 1}",
        "",
        f"127.0.0.1.evil:{shared}",
    ):
        assert get(shared, path, Host=host)[0] in (400, 403), host
    for origin in ("http://evil.example", "null", f"https://127.0.0.1:{shared}", f"http://localhost:{shared}"):
        assert get(shared, path, Origin=origin)[0] == 403, origin


def test_the_socket_needs_token_and_origin(shared: int) -> None:
    own = f"http://127.0.0.1:{shared}"
    cases = [
        (None, own),
        ("x", own),
        (TOKEN, None),
        (TOKEN, "http://evil.example"),
        (TOKEN, "null"),
        (TOKEN, own + "1"),
    ]
    for token, origin in cases:
        with pytest.raises(InvalidStatus) as refused:
            talk(shared, token, origin).__enter__()
        assert refused.value.response.status_code == 403
    with talk(shared, host="localhost"):
        pass


def test_hosts_of_a_server_that_listens_everywhere() -> None:
    everywhere, here = Access("x", 8000, "0.0.0.0"), Access("x", 80)
    assert everywhere.accepts_host("192.168.1.5:8000") and everywhere.accepts_host("[fe80::1]:8000")
    assert not everywhere.accepts_host("evil.example:8000") and not everywhere.accepts_host("192.168.1.5:8001")
    assert here.accepts_host("localhost") and here.accepts_host("[::1]") and not here.accepts_host("192.168.1.5")
    assert Access("x", 8000, "lab.example").accepts_host("LAB.example:8000")


PATHS = [
    "/static/../secret.txt",
    "/static/../../secret.txt",
    "/static/js/../../secret.txt",
    "/static/%2e%2e/secret.txt",
    "/static/..%2fsecret.txt",
    "/static/%2e%2e%2fsecret.txt",
    "/static/..%5csecret.txt",
    "/static//etc/passwd",
    "/static/%2fetc%2fpasswd",
    "/static/link.txt",
    "/static/%00",
    "/static/" + "a" * 5000,
    "/static/",
    "/secret.txt",
    "/../secret.txt",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_file_outside_the_page_is_read(shared: int, path: str) -> None:
    status, _, body = get(shared, path)
    assert status in (400, 404, 405) and "secret" not in body and "root:" not in body
    assert get(shared, "/health")[0] == 200


# ------------------------------------------------------------------------------------------------- the command


def test_the_command_serves_until_it_is_interrupted() -> None:
    words = [sys.executable, "-m", "scorefield", "explore", "--no-browser"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        port = int(address.split(":")[2].split("/")[0])
        assert address.startswith("http://127.0.0.1:") and len(address.split("token=")[1]) >= 32
        status, _, body = get(port, address.removeprefix(f"http://127.0.0.1:{port}"))
        assert status == 200 and "<title>" in body and get(port, "/")[0] == 403
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=WAIT)
    assert process.returncode == 0 and err == ""


def test_a_run_that_is_none_and_a_port_that_is_taken_are_errors_in_a_line(tmp_path: Path) -> None:
    with bound() as listener:
        port = listener.getsockname()[1]
        for words in ([str(tmp_path / "no")], ["--port", str(port), "--no-browser"], ["--port", "70000"]):
            command = [sys.executable, "-m", "scorefield", "explore", *words]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert done.returncode == 2 and done.stderr.startswith("scorefield: error: "), done.stderr
            assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("host", ["", " ", "0", "0x0", "0::0", "nowhere.invalid", "a\x00b", "é" * 80, "<broadcast>"])
def test_a_host_that_is_no_address_or_means_them_all_without_saying_so_is_refused(host: str) -> None:
    with pytest.raises((ValueError, OSError), match=r"host|listen") as refused:
        bound(host)
    assert str(refused.value).endswith(".") and "\n" not in str(refused.value)


@pytest.mark.parametrize("port", [-1, 65536, 10**30])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 65535"):
        bound(port=port)


def test_the_command_refuses_a_host_and_a_port_in_a_sentence(scorefield: Any) -> None:
    for words in (("--host", ""), ("--host", "0"), ("--host", "no where"), ("--port", "-1"), ("--port", "65536")):
        code, _, err = scorefield("explore", "--no-browser", *words)
        assert code == 2 and err.splitlines()[-1].startswith("scorefield: error: "), words
