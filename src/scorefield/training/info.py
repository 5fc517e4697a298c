"""What a model's folder says of its data and training: the types that those count on who show it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from scorefield._files import shown


def check_info(info: object) -> None:
    """Raise a ValueError where an `info` has another type than is known in one of its places; others are free.

    Example:
        >>> check_info({"data": {"source": "iris", "rows": 135}, "mine": [1, 2]})
        >>> check_info({"data": {"source": "iris", "rows": -1}})
        Traceback (most recent call last):
        ValueError: info.data.rows cannot be -1.
    """
    root = _object("info", info)
    for section, fields in _FIELDS.items():
        part = _object(f"info.{section}", root.get(section, {}))
        _check(f"info.{section}", part, fields)
        if section == "training":
            _check("info.training.settings", _object("info.training.settings", part.get("settings", {})), _SETTINGS)
            _check("info.training.precision", part.get("precision") or {}, _PRECISION)
            for k, entry in enumerate(part.get("evaluations", [])):
                _check(where := f"info.training.evaluations[{k}]", _object(where, entry), _EVALUATION)
    _check("info", root, {"version": _is_text, "torch": _is_text})


def _object(where: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is a JSON object, got {shown(value)}.")
    return value


def _check(where: str, part: Mapping[str, Any], fields: Mapping[str, Callable[[Any], bool]]) -> None:
    for name, fits in fields.items():
        if name in part and not fits(part[name]):
            raise ValueError(f"{where}.{name} cannot be {shown(part[name])}.")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_count(value: object) -> bool:
    return _is_whole(value) and _is_number(value) and value >= 0  # type: ignore[operator]


def _are_texts(value: object) -> bool:
    return value is None or (isinstance(value, (list, tuple)) and all(map(_is_text, value)))


def _are_numbers(value: object) -> bool:
    return value is None or (isinstance(value, (list, tuple)) and all(map(_is_number, value)))


_FIELDS: dict[str, dict[str, Callable[[Any], bool]]] = {
    "data": {
        "source": _is_text,
        "kind": _is_text,
        "records": _is_text,
        "rows": _is_count,
        "held": _is_count,
        "held_share": lambda v: v is None or (_is_number(v) and 0 < v < 1),
        "columns": _are_texts,
        "classes": _are_texts,
        "dequantised": lambda v: isinstance(v, bool),
    },
    "training": {
        "steps": _is_count,
        "seconds": _is_number,
        "processor": _is_number,
        "parameters": _is_count,
        "evaluations": lambda v: isinstance(v, (list, tuple)),
        "precision": lambda v: v is None or isinstance(v, dict),
    },
    "memorisation": {"value": _is_number, "floor": _is_number, "meaning": _is_text},
}
_SETTINGS: dict[str, Callable[[Any], bool]] = {"batch": _is_count, "seed": _is_whole, "learning_rate": _is_number}
_PRECISION: dict[str, Callable[[Any], bool]] = {"name": _is_text, "gain": lambda v: v is None or _is_number(v)}
_EVALUATION: dict[str, Callable[[Any], bool]] = {
    "step": _is_count,
    "mean": _is_number,
    "best": lambda v: isinstance(v, bool),
    "sigmas": lambda v: v is not None and _are_numbers(v),
    "losses": lambda v: v is not None and _are_numbers(v),
    "floors": _are_numbers,
}
