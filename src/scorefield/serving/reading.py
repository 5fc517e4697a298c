"""From the body of a request to what is asked, with every fault as one sentence and its status."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from scorefield import _files
from scorefield._files import reason
from scorefield.data import DataError
from scorefield.data.arrays import array_of_npy
from scorefield.data.dataset import Array
from scorefield.serving.asks import Ask, Endpoint, RefusedError
from scorefield.serving.limits import Limits
from scorefield.serving.rows import check_rows
from scorefield.web.reading import read

NPY = "application/x-npy"
JSON = "application/json"
PNG = "image/png"


def ask_of(endpoint: Endpoint, content: str, query: Mapping[str, str], body: bytes, limits: Limits) -> Ask:
    """What a request asks.

    Args:
        endpoint: that it was sent to.
        content: the type of its body.
        query: its options where the body is an array; of a body in JSON there are none.
        body: JSON, or a .npy file.
        limits: of one request.

    Raises:
        RefusedError: for what cannot be read (400, 415), holds wrong values (422), or asks for too much (413).
    """
    if content == NPY and endpoint.takes == "records":
        values: dict[str, Any] = {name: _literal(text) for name, text in query.items()}
        data: Any = _array(body)
    elif content in (JSON, ""):
        if query:
            raise RefusedError(400, "options stand in the JSON of the body; leave the query of the address out.")
        values = _object(body)
        data = values.pop(endpoint.takes, None) if endpoint.takes != "nothing" else None
    else:
        also = f", or {NPY} with the options in the address" if endpoint.takes == "records" else ""
        raise RefusedError(415, f"/{endpoint.name} takes {JSON}{also}, got {content[:60]!r}.")
    try:
        _check_count(data, limits)
        given = _data(endpoint, data)  # first: a misspelt name of theirs is no misspelt option
        ask = Ask(read(endpoint.options, values, "the request"), given)
    except (ValueError, TypeError) as fault:
        raise RefusedError(422, str(fault)) from None
    _check_wanted(endpoint, ask, limits)
    return ask


def _data(endpoint: Endpoint, data: Any) -> Any:
    if endpoint.takes == "nothing":
        return None
    if data is None:
        raise DataError(f"the request needs {endpoint.takes!r}; /openapi.json says how.")
    return check_rows(data) if endpoint.takes == "rows" else _records(data)


def _check_count(data: Any, limits: Limits) -> None:
    given = len(data) if isinstance(data, list | np.ndarray) else 0
    if given > limits.rows:
        raise RefusedError(413, f"a request has at most {limits.rows:,} rows or records, got {given:,}; send parts.")


def _check_wanted(endpoint: Endpoint, ask: Ask, limits: Limits) -> None:
    given = 0 if ask.data is None else len(ask.data)
    wanted = endpoint.wanted(ask.options, given)
    if wanted > limits.rows:
        raise RefusedError(413, f"an answer has at most {limits.rows:,} rows or records, got a request for {wanted:,}.")
    evaluations = endpoint.evaluations(ask.options, given)
    if evaluations > limits.evaluations:
        most = f"a request takes at most {limits.evaluations:,} network evaluations"
        raise RefusedError(413, f"{most}, got one for {evaluations:,}; take fewer steps or rows.")


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body or b"{}", parse_constant=_refused, object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as fault:
        raise RefusedError(400, f"the body is JSON with finite numbers, got something else: {reason(fault)}.") from None
    if not isinstance(found, dict):
        raise RefusedError(400, f"the body is a JSON object, got {_files.shown(found)}.")
    return found


def _refused(text: str) -> float:
    raise ValueError(f"it holds {text}")


def _pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(found)
    if len(made) < len(found):
        raise ValueError("a name stands twice in an object")
    return made


def _literal(text: str) -> Any:
    """An option in an address: a number, true, false, null, or else a text."""
    try:
        return json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        return text


def _array(body: bytes) -> Array:
    try:
        with _files.reading(Path("the body"), ".npy", DataError):
            return array_of_npy(io.BytesIO(body), len(body), "the body")
    except DataError as fault:
        raise RefusedError(400, str(fault)) from None


def _records(data: Any) -> Array:
    """Records as an array of numbers; lists may nest as deeply as records have axes."""
    try:
        records = np.asarray(data)
    except ValueError:
        raise DataError("the records differ in their shape; each has the shape of the run's.") from None
    if records.dtype.kind not in "iuf" or records.ndim < 2 or not len(records):
        raise DataError("records are a list of arrays of numbers, one or more, such as [[0.5, 1.0], [0.0, 2.0]].")
    return records


def option_names(endpoint: Endpoint) -> list[str]:
    """Of an endpoint's options."""
    return [one.name for one in fields(endpoint.options)]
