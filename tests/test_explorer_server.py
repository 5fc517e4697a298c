"""The explorer's socket: queries, channels and streams, and that no message ends the server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from explorer_server import WAIT, Hold, Page, folder_of, get, serving, unpacked
from scorefield.explorer.protocol import MESSAGE_LIMIT, packed


@pytest.fixture
def hold() -> Hold:
    return Hold()


@pytest.fixture
def port(tmp_path: Path, hold: Hold) -> Iterator[int]:
    with folder_of(tmp_path) as page, serving(page, hold) as port:
        yield port


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """One server for the questions that leave nothing behind."""
    with folder_of(tmp_path_factory.mktemp("server")) as page, serving(page, Hold()) as port:
        yield port


# ------------------------------------------------------------------------------------------- queries


def test_an_answer_with_its_arrays(shared: int) -> None:
    with Page(shared) as page:
        reply = page.request("square", x=1.5)
        result = reply["result"]
        assert reply["ok"] is True and reply["more"] is False
        assert result["y"] == 2.25 and result["nan"] is None and result["one"] == 1.0
        assert result["both"][0].dtype == np.float32 and (result["both"][0] == 1.5).all()
        assert result["both"][1]["whole"].tolist() == [0, 1, 2, 3, 4]
        assert page.request("session.about")["result"]["kind"] == "none"


def test_arrays_lie_at_multiples_of_eight_and_keep_their_values() -> None:
    arrays = [
        np.arange(3.0),
        np.array([True, False, True]),
        np.arange(5, dtype=np.int64),
        np.zeros((0, 2)),
        np.array(7.0),
    ]
    text, frame = packed(1, {"arrays": arrays})
    reply = json.loads(text)
    places = reply["result"]["arrays"][:-1]
    assert all(place["offset"] % 8 == 0 for place in places) and reply["result"]["arrays"][-1] == 7.0
    for array, place in zip(arrays, places, strict=False):
        assert (unpacked(place, frame or b"") == array).all() and place["shape"] == list(array.shape)


BAD = {  # message: a word of the answer
    "": "JSON",
    "nonsense": "JSON",
    "[" * 100_000: "JSON",
    '{"id": 1, "channel": "a", "query": "square", "params": {"x": NaN}}': "JSON",
    '{"id": 1, "channel": "a", "query": "square", "params": {"x": 1e999}}': "x",
    '{"id": 1, "channel": "a", "query": "square", "params": {"x": ' + "9" * 5000 + "}}": "x",
    "[]": "object",
    "null": "object",
    "{}": "id",
    '{"id": true}': "id",
    '{"id": -1}': "id",
    '{"id": 1.5}': "id",
    '{"id": 1}': "request",
    '{"id": 1, "cancel": "x"}': "cancel",
    '{"id": 1, "channel": "a", "query": "square", "more": 1}': "request",
    '{"id": 1, "channel": 1, "query": "square"}': "channel",
    '{"id": 1, "channel": "a", "query": ["square"]}': "query",
    '{"id": 1, "channel": "a", "query": "square", "params": []}': "params",
    '{"id": 1, "channel": "' + "a" * 65 + '", "query": "square"}': "64",
    '{"id": 1, "channel": "a", "query": "nothing"}': "nothing",
    '{"id": 1, "channel": "a", "query": "\\ud800"}': "there is no query",
    '{"id": 1, "channel": "a", "query": "__class__"}': "__class__",
    '{"id": 1, "channel": "a", "query": "square", "params": {"y": 1}}': "y",
    '{"id": 1, "channel": "a", "query": "square", "params": {"x": "1"}}': "x",
    '{"id": 1, "channel": "a", "query": "square", "params": {"x": true}}': "x",
    '{"id": 1, "channel": "a", "query": "square", "params": {"x": {}}}': "x",
    '{"id": 1, "channel": "a", "query": "count", "params": {"n": 5, "pause": 11}}': "pause",
    " " * (MESSAGE_LIMIT + 1): "characters",
}


def test_a_message_that_cannot_be_answered_is_an_error(shared: int) -> None:
    with Page(shared) as page:
        page.last = 10
        for message, word in BAD.items():
            reply = page.raw(message)
            assert reply["ok"] is False and word in reply["error"] and len(reply["error"]) < 1001, message[:100]
        assert page.raw(b"\x00\xff")["ok"] is False
        assert page.lives()


def test_a_message_beyond_all_measure_closes_its_own_socket_only(shared: int) -> None:
    with Page(shared) as other, Page(shared) as page:
        with pytest.raises(ConnectionClosed):
            page.socket.send(" " * (5 * MESSAGE_LIMIT))
            page.socket.recv(WAIT)
        assert other.lives()


@pytest.mark.parametrize("query", ["fails", "refuses", "unsendable", "huge"])
def test_a_computation_that_fails_is_an_error(shared: int, query: str) -> None:
    sentences = {
        "fails": "ZeroDivisionError: as it happens",
        "refuses": "try that",
        "unsendable": "set",
        "huge": "bytes",
    }
    with Page(shared) as page:
        reply = page.request(query)
        assert reply["ok"] is False and sentences[query] in reply["error"] and page.lives()


# ------------------------------------------------------------------------------------------------------ streams


def test_a_stream_comes_in_order_and_ends(shared: int) -> None:
    with Page(shared) as page:
        page.send("count", n=5)
        replies = [page.reply() for _ in range(6)]
        assert [r["more"] for r in replies] == [True] * 5 + [False] and "result" not in replies[-1]
        assert [r["result"]["k"] for r in replies[:-1]] == list(range(5))
        assert all(len(r["result"]["row"]) == r["result"]["k"] for r in replies[:-1])
        page.send("count", n=0)
        assert page.reply()["more"] is False


def test_a_stream_that_fails_half_way_says_so(shared: int) -> None:
    with Page(shared) as page:
        page.send("fails.later")
        assert page.reply()["more"] is True
        assert "half way" in page.reply()["error"] and page.lives()


def until_end(page: Page, id: int) -> dict[str, Any]:
    while (reply := page.reply())["id"] != id or reply.get("more"):
        pass
    return reply


def test_a_new_request_ends_a_stream_on_its_channel(port: int, hold: Hold) -> None:
    with Page(port) as page:
        first = page.send("count", n=10**6)
        assert page.reply()["more"] is True
        second = page.send("square", x=4)
        assert until_end(page, first)["superseded"] is True
        assert until_end(page, second)["result"]["y"] == 16 and hold.ended.wait(WAIT)


def test_a_cancelled_stream_ends(port: int, hold: Hold) -> None:
    with Page(port) as page:
        first = page.send("count", n=10**6)
        assert page.reply()["more"] is True
        page.cancel(first)
        assert until_end(page, first)["cancelled"] is True and hold.ended.wait(WAIT)
        assert page.lives()


def test_a_page_that_leaves_takes_its_work_along(port: int, hold: Hold) -> None:
    page = Page(port)
    page.send("count", n=10**6)
    page.reply()
    page.socket.close()
    assert hold.ended.wait(WAIT)


def test_streams_leave_room_for_other_requests(port: int) -> None:
    with Page(port) as page, Page(port) as other:
        for channel in "abcd":
            page.send("count", channel, n=10**6, pause=0.01)
        assert other.lives()


# ------------------------------------------------------------------------------------- lines, and two pages


def waited(condition: Any) -> bool:
    end = time.monotonic() + WAIT
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return bool(condition())


def test_the_newest_request_of_a_channel_takes_the_place_of_the_waiting_one(port: int, hold: Hold) -> None:
    with Page(port) as page:
        page.send("held", x=1)
        assert waited(lambda: hold.begun == [1])
        for x in (2, 3, 4):
            page.send("held", x=x)
        replies = [page.reply(), page.reply()]
        assert [r["id"] for r in replies] == [2, 3] and all(r["superseded"] for r in replies)
        hold.release.set()
        assert [page.reply()["id"], page.reply()["id"]] == [1, 4] and hold.begun == [1, 4]


def test_cancelling_what_waits_what_runs_and_what_is_not_there(port: int, hold: Hold) -> None:
    with Page(port) as page:
        page.send("held", x=1)
        assert waited(lambda: hold.begun == [1])
        page.send("held", x=2)
        page.cancel(2)
        assert page.reply()["cancelled"] is True and page.reply()["result"] == {"cancelled": True}
        page.cancel(1)
        assert page.reply()["result"] == {"cancelled": True}
        page.cancel(77)
        assert page.reply()["result"] == {"cancelled": False}
        hold.release.set()
        reply = page.reply()
        assert reply["id"] == 1 and reply["cancelled"] is True and hold.begun == [1]
        assert page.lives()


def test_one_computation_at_a_time_and_the_pages_do_not_mix(port: int, hold: Hold) -> None:
    with Page(port) as one, Page(port) as two:
        for k, channel in enumerate("abcd"):
            one.send("held", channel, x=k)
            two.send("held", channel, x=10 + k)
        assert waited(lambda: len(hold.begun) == 1)
        assert json.loads(get(port, "/health")[2])["ok"]  # the event loop is free
        hold.release.set()
        for page, first in ((one, 0), (two, 10)):
            replies = [page.reply() for _ in range(4)]
            assert {r["id"]: r["result"]["x"] for r in replies} == {k + 1: first + k for k in range(4)}
        assert hold.most == 1  # two threads would take torch's derivatives in each other's levels


def test_work_that_waits_is_dropped_when_its_page_leaves(port: int, hold: Hold) -> None:
    gone = Page(port)
    for k, channel in enumerate("abcdef"):
        gone.send("held", channel, x=k)
    assert waited(lambda: len(hold.begun) == 1)
    gone.socket.close()
    with Page(port) as page:
        page.send("square", x=5)
        time.sleep(0.1)
        hold.release.set()
        assert page.reply()["result"]["y"] == 25 and len(hold.begun) == 1


def test_too_many_channels_ids_and_pages(port: int, hold: Hold) -> None:
    with Page(port) as page:
        for k in range(16):
            page.send("held", f"c{k}")
        assert "channels" in page.request("held", channel="one more")["error"]
        page.last = 0
        assert "id" in page.request("held", channel="c0")["error"]
        pages = [Page(port) for _ in range(15)]
        with pytest.raises(ConnectionClosed) as closed:
            Page(port).lives()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1013
        for other in pages:
            other.socket.close()
        hold.release.set()


# --------------------------------------------------------------------------------------------------- any message

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
NEAR = st.fixed_dictionaries(  # close to a request: each part right or anything
    {},
    optional={
        "id": st.integers(0, 5) | JSON,
        "channel": st.sampled_from("ab") | JSON,
        "query": st.sampled_from(["square", "count", "fails", "refuses"]) | JSON,
        "params": st.dictionaries(st.sampled_from(["x", "n", "pause"]), st.integers(-2, 9) | JSON, max_size=2) | JSON,
        "cancel": st.integers(0, 5) | JSON,
    },
)
ANY = st.one_of(NEAR.map(json.dumps), JSON.map(json.dumps), st.text(max_size=60), st.binary(max_size=60))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(ANY, min_size=1, max_size=8))
def test_no_messages_crash_or_hang_the_server(shared: int, messages: list[str | bytes]) -> None:
    with Page(shared) as page:
        for message in messages:
            page.socket.send(message if isinstance(message, bytes) else message.encode("utf-8", "replace").decode())
        page.last = 10**9
        last = page.send("square", "the end", x=3)
        assert until_end(page, last)["result"]["y"] == 9
