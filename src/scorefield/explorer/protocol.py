"""What page and server say to each other: JSON text, and one binary frame after a reply that holds arrays.

    request  {"id": 17, "channel": "field", "query": "field.grid", "params": {...}}
    cancel   {"id": 18, "cancel": 17}
    reply    {"id": 17, "ok": true, "more": false, "result": {...}}
    part     {"id": 17, "ok": true, "more": true, "result": {...}}, of a stream; its end has "more": false and no result
    error    {"id": 17, "ok": false, "error": "one sentence"}, and "superseded" or "cancelled": true where that is why

An array in a result is replaced by `{"dtype", "shape", "offset", "length"}`: its little-endian bytes lie in the binary
frame, at an offset that is a multiple of 8; the text then has `"binary": true`. A number that is not finite is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn, TypeGuard

import numpy as np

from scorefield.web.reading import LARGEST

MESSAGE_LIMIT = 1 << 20
"""Longest message of the page, in characters."""
REPLY_LIMIT = 1 << 26
"""Most bytes of arrays in one reply."""

_WIRE = {"b": "uint8", "u": "int32", "i": "int32", "f": "float32"}


class RefusedError(ValueError):
    """A message that cannot be answered: one sentence for the page, and the id it came with, if it had one."""

    def __init__(self, sentence: str, id: int | None = None) -> None:
        super().__init__(sentence)
        self.id = id


class Request(NamedTuple):
    """One query, with its parameters as they came."""

    id: int
    channel: str
    query: str
    params: dict[str, Any]


class Cancel(NamedTuple):
    """A request `target` that is to be answered no further."""

    id: int
    target: int


def parse(text: str) -> Request | Cancel:
    """A message of the page.

    Raises:
        RefusedError: for what is too long, is not JSON, or is neither a request nor a cancel.

    Example:
        >>> parse('{"id": 1, "channel": "field", "query": "field.grid", "params": {"n": 64}}')
        Request(id=1, channel='field', query='field.grid', params={'n': 64})
    """
    if len(text) > MESSAGE_LIMIT:
        raise RefusedError(f"a message has at most {MESSAGE_LIMIT:,} characters, got {len(text):,}.")
    try:
        message = json.loads(text, parse_constant=_no_number, parse_int=_whole)
    except (ValueError, RecursionError):
        raise RefusedError("a message is JSON with finite numbers, got something else.") from None
    if not isinstance(message, dict):
        raise RefusedError(f"a message is a JSON object, got {_shown(message)}.")
    id = message.get("id")
    if not _is_id(id):
        raise RefusedError(f"a message has an id, a whole number from 0 to 2**53, got {_shown(id)}.")
    if "cancel" in message:
        if set(message) != {"id", "cancel"} or not _is_id(message["cancel"]):
            raise RefusedError('a cancel is {"id": ..., "cancel": the id of a request}.', id)
        return Cancel(id, message["cancel"])
    if not {"id", "channel", "query"} <= set(message) <= {"id", "channel", "query", "params"}:
        raise RefusedError(f"a request has id, channel, query and params, got {_shown(sorted(message))}.", id)
    channel, query, params = message["channel"], message["query"], message.get("params", {})
    if not (isinstance(channel, str) and isinstance(query, str) and isinstance(params, dict)):
        raise RefusedError("channel and query are texts and params an object.", id)
    if len(channel) > 64:
        raise RefusedError(f"a channel's name has at most 64 characters, got {len(channel):,}.", id)
    return Request(id, channel, query, params)


def packed(id: int | None, result: Mapping[str, Any] | None, more: bool = False) -> tuple[str, bytes | None]:
    """A reply as text, and its arrays as one binary frame if it has any; the end of a stream has no result.

    Raises:
        ValueError: for arrays of more than `REPLY_LIMIT` bytes.
        TypeError: for what cannot be sent.

    Example:
        >>> packed(3, {"x": np.zeros((1, 2)), "n": 2})[0]
        '{"id": 3, "ok": true, "more": false, "result": {"x": {"dtype": "float32", ... "length": 8}, "n": 2}, ...}'
    """
    frame = bytearray()
    reply: dict[str, Any] = {"id": id, "ok": True, "more": more}
    if result is not None:
        reply["result"] = _plain(result, frame)
    if frame:
        reply["binary"] = True
    return json.dumps(reply, allow_nan=False), bytes(frame) or None


def error(id: int | None, sentence: str, why: str = "") -> str:
    """An error as text; `why` is "superseded", "cancelled" or nothing."""
    reply: dict[str, Any] = {"id": id, "ok": False, "error": " ".join(sentence.split())[:1000]}
    return json.dumps(reply | ({why: True} if why else {}))


def _plain(value: Any, frame: bytearray) -> Any:
    """A value as JSON has it, its arrays' bytes appended to the frame."""
    if isinstance(value, np.ndarray) and value.ndim:
        return _placed(value, frame)
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(part, frame) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part, frame) for part in value]
    raise TypeError(f"an answer holds numbers, texts, lists, objects and arrays, got {type(value).__name__}.")


def _placed(array: np.ndarray, frame: bytearray) -> dict[str, Any]:
    """Where in the frame an array lies, and as what; pages draw in single precision."""
    if array.dtype.kind not in _WIRE:
        raise TypeError(f"an answer's arrays hold numbers, got {array.dtype}.")
    frame.extend(bytes(-len(frame) % 8))
    offset, dtype = len(frame), np.dtype(_WIRE[array.dtype.kind])
    if offset + array.size * dtype.itemsize > REPLY_LIMIT:
        raise ValueError(f"an answer's arrays have at most {REPLY_LIMIT:,} bytes; request fewer points or times.")
    with np.errstate(over="ignore"):
        frame.extend(np.ascontiguousarray(array, dtype=dtype.newbyteorder("<")).tobytes())
    return {"dtype": dtype.name, "shape": list(array.shape), "offset": offset, "length": len(frame) - offset}


def _whole(digits: str) -> int | float:
    """A whole number; one too long to be exact for the page is a float, which may be infinite."""
    return int(digits) if len(digits) < 18 else float(digits)


def _is_id(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
