"""Answers kept for a page without a server: computed beforehand, packed into one text and one frame of bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from scorefield.explorer.queries import QUERIES, Query
from scorefield.explorer.queries.about import About, about
from scorefield.explorer.session import Session
from scorefield.web.reading import read

Use: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
_TABLE = {**QUERIES, "session.about": Query(About, about)}
_STEPS = 65535  # of a picture's range: finer than any screen shows


class Recording:
    """Answers for a page, in the order in which they were computed.

    An entry is `{"query", "params", "result"}`; of a stream `"parts"` in place of the result; of answers over many
    values of one parameter `"over"`, its name, `"values"`, and the answers' leaves stacked along a new first axis. An
    array is `{"dtype", "shape", "offset"}` in the frame; one of 16 bits has `"low"` and `"step"`: value = low + step
    times the number.

    Args:
        session: what the answers are about.
    """

    def __init__(self, session: Session) -> None:
        self._session, self._frame = session, bytearray()
        self.entries: list[dict[str, Any]] = []
        self._kept: set[str] = set()
        self._last: tuple[str, Any] = "", None

    @property
    def frame(self) -> bytes:
        """The arrays' bytes, little-endian, each at a multiple of 8."""
        return bytes(self._frame)

    def answer(self, query: str, params: Mapping[str, Any]) -> Any:
        """What the library answers."""
        entry = _TABLE[query]
        return entry.call(read(entry.params, params), self._session)

    def keep(
        self,
        query: str,
        params: Mapping[str, Any],
        used: Use = lambda result: result,
        computed: Mapping[str, Any] | None = None,
    ) -> None:
        """Record what is used of one answer, computed with others where these give the same; twice, it is kept once."""
        if self._is_new(query, params):
            result = self._packed(used(self._answered(query, computed or params)))
            self.entries.append({"query": query, "params": dict(params), "result": result})

    def _answered(self, query: str, params: Mapping[str, Any]) -> Any:
        """An answer; the last one is at hand."""
        key = json.dumps([query, params], sort_keys=True)
        if self._last[0] != key:
            self._last = key, self.answer(query, params)
        return self._last[1]

    def keep_parts(
        self, query: str, params: Mapping[str, Any], computed: Mapping[str, Any], used: Use = lambda result: result
    ) -> list[dict[str, Any]]:
        """Record the parts of a stream under the parameters that a page sends, computed with others, and give them."""
        parts: list[dict[str, Any]] = [used(part) for part in self.answer(query, computed)]
        if self._is_new(query, params):
            self.entries.append(
                {"query": query, "params": dict(params), "parts": [self._packed(part) for part in parts]}
            )
        return parts

    def keep_over(
        self, query: str, params: Mapping[str, Any], over: str, values: Sequence[Any], results: Sequence[dict[str, Any]]
    ) -> None:
        """Record one answer for each value of a parameter; all have the same names and shapes."""
        if self._is_new(query, {**params, over: None}):
            stacked = self._packed(_stacked(results), exact=True)
            self.entries.append(
                {"query": query, "params": dict(params), "over": over, "values": list(values), "result": stacked}
            )

    def _is_new(self, query: str, params: Mapping[str, Any]) -> bool:
        key = json.dumps([query, params], sort_keys=True)
        if key in self._kept:
            return False
        self._kept.add(key)
        return True

    def _packed(self, value: Any, exact: bool = False) -> Any:
        """A value as JSON has it, its arrays in the frame; numbers stay what they are."""
        if isinstance(value, np.ndarray):
            return self._placed(value, exact)
        if isinstance(value, Mapping):
            return {name: self._packed(part, exact or name in ("P", "E", "c")) for name, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._packed(part, exact) for part in value]
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return value

    def _placed(self, array: np.ndarray, exact: bool) -> dict[str, Any]:
        self._frame.extend(bytes(-len(self._frame) % 8))
        place: dict[str, Any] = {"shape": list(array.shape), "offset": len(self._frame)}
        if exact or array.size < 64 or not np.isfinite(array).all():  # what stands in numbers on the page, or is small
            self._frame.extend(np.ascontiguousarray(array, "<f4").tobytes())
            return {"dtype": "float32", **place}
        low, high = float(array.min()), float(array.max())
        step = (high - low) / _STEPS or 1.0
        self._frame.extend(np.ascontiguousarray(np.rint((array.astype(np.float64) - low) / step), "<u2").tobytes())
        return {"dtype": "uint16", **place, "low": low, "step": step}


def _stacked(values: Sequence[Any]) -> Any:
    """Answers of one form as one, the leaves along a new first axis: `{"each": array, "as": number, list or array}`."""
    first = values[0]
    if isinstance(first, Mapping):
        return {name: _stacked([value[name] for value in values]) for name in first}
    if isinstance(first, bool) or first is None or isinstance(first, str):
        if any(value != first for value in values):
            raise ValueError("answers that are stacked have equal texts.")
        return first
    kind = "array" if isinstance(first, np.ndarray) else "list" if isinstance(first, list) else "number"
    return {"each": np.array(values, dtype=np.float64), "as": kind}
