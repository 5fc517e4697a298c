"""Messages for the explorer as no page sends them: a generator by seed, and a check that each gets one clear answer."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

from scorefield.explorer.protocol import Cancel, RefusedError, packed, parse
from scorefield.explorer.queries import QUERIES
from scorefield.explorer.queries.pauses import pausing
from scorefield.explorer.session import Session
from scorefield.explorer.turns import StoppedError
from scorefield.web.reading import read

ODD: list[Any] = [
    None, True, False, -1, 0, 1, 3, 17, 1.5, -0.0, 1e-300, 1e300, -1e308, 2**31, 2**53, 2**53 + 1, 2**70, 10**400,
    float("nan"), float("inf"), float("-inf"), "", "two modes", "vp", "ddim", "../../etc/passwd", "\ud800", "\0",
    "é" * 99, "x" * 5000, [], [[]], [1], [1, 2], [[1, 2]], [[0, 0]] * 6000, [1e9, -1e9], [None, None], {}, {"": 1},
    {"weights": [1], "means": [[0, 0]], "covariances": [[[1, 0], [0, 1]]]},
    {"weights": [1], "means": [[0, 0]], "covariances": [[[0, 0], [0, 0]]]},
    {"weights": [0.5] * 17, "means": [[0, 0]] * 17, "covariances": [[[1, 0], [0, 1]]] * 17},
]  # fmt: skip


def messages(seed: int, n: int) -> Iterator[str]:
    """n messages, a pure function of the seed: requests of every query with odd parameters, damaged texts, nonsense."""
    for k in range(n):
        draw = random.Random(f"{seed}/{k}")
        text = json.dumps(_message(draw))
        yield _damaged(draw, text) if draw.random() < 0.3 else text


def check(text: str) -> bool:
    """Parse a message, and its parameters, as the server does; whether it is taken.

    Raises:
        AssertionError: where what comes back is no sentence of a bounded length.
        Exception: whatever else comes back is a fault of the parser.
    """
    try:
        message = parse(text)
        if not isinstance(message, Cancel) and message.query in QUERIES:
            read(QUERIES[message.query].params, message.params)
    except (RefusedError, ValueError) as refusal:
        sentence = str(refusal)
        assert 10 < len(sentence) < 1000 and "Traceback" not in sentence and sentence.endswith((".", "?")), sentence
        return False
    return True


def compute(text: str, seconds: float = 0.1) -> str:
    """Compute what a message requests, for so long, and pack it: "answered", "refused" or "stopped".

    Raises:
        AssertionError: as `check`.
        Exception: whatever else comes out of the computation is a fault of it.
    """
    if not check(text):
        return "refused"
    message, end = parse(text), time.monotonic() + seconds

    def hook() -> None:
        if time.monotonic() > end:
            raise StoppedError("the time is over")

    if isinstance(message, Cancel) or message.query not in QUERIES:
        return "refused"
    query = QUERIES[message.query]
    try:
        with pausing(hook):
            answer = query.call(read(query.params, message.params), Session())
            for part in answer if isinstance(answer, Iterator) else [answer]:
                packed(message.id, part)
                hook()
    except StoppedError:
        return "stopped"
    except ValueError as refusal:
        assert 10 < len(str(refusal)) < 1000, refusal
        return "refused"
    return "answered"


def _message(draw: random.Random) -> Any:
    if draw.random() < 0.1:
        return _value(draw)
    name = draw.choice([*QUERIES, "session.about", "nothing"])
    message: dict[str, Any] = {"id": draw.randrange(1000), "channel": "a", "query": name, "params": _params(draw, name)}
    if draw.random() < 0.1:
        message = {"id": draw.randrange(1000), "cancel": draw.choice(ODD)}
    for part in list(message):
        if draw.random() < 0.05:
            message[part] = _value(draw)
        elif draw.random() < 0.03:
            del message[part]
    return message


def _params(draw: random.Random, name: str) -> dict[str, Any]:
    """Parameters near their defaults, in half of the requests odd ones among them, now and then one that is none."""
    given: dict[str, Any] = {}
    odd = draw.choice([0.0, 0.2])
    for field in fields(QUERIES[name].params) if name in QUERIES else ():
        if draw.random() < odd:
            given[field.name] = _value(draw)
        elif field.default is not MISSING and draw.random() < 0.5:
            given[field.name] = _near(draw, field.default)
    if draw.random() < 0.05:
        given[draw.choice(["sgima", "", "__class__", "x" * 200])] = _value(draw)
    return given


def _near(draw: random.Random, default: Any) -> Any:
    """A value of the default's type, mostly one that is taken."""
    if isinstance(default, bool):
        return default != (draw.random() < 0.2)
    if default is None:
        return None
    if isinstance(default, int | float):
        return type(default)(default * 10 ** draw.uniform(-1, 1)) + draw.randrange(2)
    if isinstance(default, tuple):
        return [_near(draw, part) for part in default]
    return draw.choice([*6 * [default], "moons", "spiral", "vp", "ve", "heun", "unipc", "calibrated", "energy"])


def _value(draw: random.Random, depth: int = 0) -> Any:
    if depth < 3 and draw.random() < 0.2:
        parts = [_value(draw, depth + 1) for _ in range(draw.randrange(4))]
        return parts if draw.random() < 0.5 else {f"k{k}": part for k, part in enumerate(parts)}
    return draw.choice([*ODD, draw.uniform(-100, 100), draw.randrange(-100, 10_000)])


def _damaged(draw: random.Random, text: str) -> str:
    """A text cut, doubled, nested, or with characters changed."""
    kind, at = draw.randrange(5), draw.randrange(len(text) + 1)
    if kind == 0:
        return text[:at]
    if kind == 1:
        return text + text
    if kind == 2:
        return "[" * draw.choice([10, 2000, 100_000]) + text
    if kind == 3:
        return text[:at] + draw.choice(['"', "}", ",", "\0", "1e999", "NaN", "9" * 5000]) + text[at:]
    letters = list(text)
    for _ in range(draw.randrange(1, 6)):
        letters[draw.randrange(len(letters))] = chr(draw.randrange(1, 0x250))
    return "".join(letters)
