"""No message crashes the explorer's parser or its server: each is taken, or refused in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from explorer_server import Hold, Page, folder_of, serving
from fuzz_explorer import check, compute, messages


def test_every_message_is_taken_or_refused_in_a_sentence() -> None:
    taken = [check(text) for text in messages(0, 4000)]
    assert 0.02 < sum(taken) / len(taken) < 0.9  # both happen


def test_what_is_taken_is_computed_or_refused_in_a_sentence() -> None:
    ends = [compute(text) for text in messages(2, 150)]
    assert {"answered", "refused"} <= set(ends)


def test_messages_are_determined_by_their_seed() -> None:
    assert list(messages(3, 50)) == list(messages(3, 50)) != list(messages(4, 50))
    assert list(islice(messages(3, 10**6), 50)) == list(messages(3, 50))


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with folder_of(tmp_path_factory.mktemp("fuzz")) as page, serving(page, Hold()) as port:
        yield port


def test_a_server_outlives_them(port: int, tmp_path: Path) -> None:
    with Page(port) as page:
        for text in messages(1, 400):
            page.socket.send(text.encode("utf-8", "replace").decode())
        page.last = 10**9
        last = page.send("square", "the end", x=3)
        while (reply := page.reply())["id"] != last:
            assert reply["ok"] or 5 < len(reply["error"]) <= 1000
        assert reply["result"]["y"] == 9
