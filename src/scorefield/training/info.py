"""What a model's folder says of its data and training: the types that those have who show it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from scorefield._files import shown

Check: TypeAlias = Callable[[Any], bool]


def check_info(info: object) -> None:
    """Raise a ValueError for an `info` that is none: another type in a known place, or a part of which some is missing.

    Example:
        >>> check_info({"data": {"source": "iris", "rows": 135}})
        >>> check_info({"data": {"source": "iris", "rows": -1}})
        Traceback (most recent call last):
        ValueError: info.data.rows cannot be -1.
    """
    _check_part("info", info, _INFO)


def _check_part(where: str, part: object, fields: Mapping[str, Check | _Part]) -> None:
    if not isinstance(part, dict):
        raise ValueError(f"{where} is a JSON object, got {shown(part)}.")
    for name, check in fields.items():
        if name not in part:
            continue
        value = part[name]
        if isinstance(check, _Part):
            for k, entry in enumerate(value) if check.many and isinstance(value, list) else ((None, value),):
                place = f"{where}.{name}" if k is None else f"{where}.{name}[{k}]"
                check.check(place, entry)
        elif not check(value):
            raise ValueError(f"{where}.{name} cannot be {shown(value)}.")


class _Part:
    """A JSON object, or a list of such.

    Args:
        needs: fields that all have that have any.
        fields: by name, what their values are.
        many: whether there is a list of them.
    """

    def __init__(self, needs: tuple[str, ...], fields: Mapping[str, Check | _Part], many: bool = False) -> None:
        self.needs, self.fields, self.many = needs, fields, many

    def check(self, where: str, part: object) -> None:
        """Raise a ValueError where a part is none such."""
        _check_part(where, part, self.fields)
        lacking = [name for name in self.needs if isinstance(part, dict) and part and name not in part]
        if lacking:
            raise ValueError(f"{where} lacks {', '.join(lacking)}.")


def _text(value: object) -> bool:
    return isinstance(value, str)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _texts(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(map(_text, value)))


def _numbers(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(map(_number, value)))


_SETTINGS = _Part(("batch", "seed", "learning_rate"), {"batch": _count, "seed": _whole, "learning_rate": _number})
_EVALUATIONS = _Part(
    ("step", "mean", "sigmas", "losses"),
    {"step": _count, "mean": _number, "sigmas": _numbers, "losses": _numbers, "floors": _numbers},
    many=True,
)
_INFO: dict[str, Check | _Part] = {
    "data": _Part(
        ("source", "rows"),
        {
            "source": _text, "rows": _count, "held": _count, "kind": _text, "records": _text, "held_share": _number,
            "columns": _texts, "classes": _texts, "dequantised": lambda v: isinstance(v, bool),
        },
    ),
    "training": _Part(
        ("steps", "seconds"),
        {
            "steps": _count, "seconds": _number, "parameters": _count, "settings": _SETTINGS,
            "evaluations": _EVALUATIONS,
        },
    ),
    "memorisation": _Part(("value", "floor", "meaning"), {"value": _number, "floor": _number, "meaning": _text}),
    "version": _text,
    "torch": _text,
}  # fmt: skip
"""What is shown of a model, by name."""
