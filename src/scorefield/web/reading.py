"""From the JSON of a request to the frozen dataclass of a query's parameters, with every fault named in a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
LARGEST = 1 << 53
"""Whole numbers beyond this are not exact in JavaScript."""
LONGEST = 10_000
"""Most entries of a list: more are refused unread, for reading them takes a while."""


def read(kind: type[T], values: Mapping[str, Any], name: str = "params") -> T:
    """Parameters of a frozen dataclass, whose own checks then bound them.

    A field is a bool, int, float, str, None, Literal, list, tuple, dict of one kind of value, union or dataclass of
    these. Numbers are finite.

    Args:
        kind: the dataclass.
        values: by name.
        name: of the whole, in messages; one of several words stands in front of no field's name.

    Raises:
        ValueError: for unknown and missing names, other types, and what the dataclass itself refuses.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Point:
        ...     x: float = 0.0
        >>> read(Point, {"x": 2})
        Point(x=2.0)
    """
    return _dataclass(kind, values, name)


def _dataclass(kind: type[T], values: Any, name: str) -> T:
    if not isinstance(values, Mapping):
        raise ValueError(f"{name} must be an object, got {_called(values)}.")
    declared = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for given in values:
        if given not in declared:
            near = get_close_matches(str(given)[:60], declared, n=1)
            raise ValueError(f"{name} has no {str(given)[:60]!r}" + (f"; did you mean {near[0]!r}?" if near else "."))
    for field in declared.values():
        if field.name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{name} needs {field.name!r}.")
    inside = "" if " " in name else f"{name}."
    hints = _hints(kind)  # type: ignore[arg-type]  # a class is hashable
    return kind(**{given: _value(hints[given], value, f"{inside}{given}") for given, value in values.items()})


@lru_cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _value(kind: Any, value: Any, name: str) -> Any:
    """A value of JSON as a value of a kind."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _value(get_args(kind)[0], value, name)
    if origin in (Union, UnionType):
        return _one_of(get_args(kind), value, name)
    if origin is Literal:
        return _among(get_args(kind), value, name)
    if origin in (tuple, list) or kind in (tuple, list):
        return _sequence(origin or kind, get_args(kind), value, name)
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"{name} must be an object, got {_called(value)}.")
        return {key: _value(get_args(kind)[1], part, f"{name}.{key[:60]}") for key, part in value.items()}
    if is_dataclass(kind) and isinstance(kind, type):
        return _dataclass(kind, value, name)
    return _scalar(kind, value, name)


def _scalar(kind: Any, value: Any, name: str) -> Any:
    if kind in (NoneType, None, bool, str) and type(value) is (NoneType if kind is None else kind):
        return value
    if kind is int and type(value) is int:
        if abs(value) > LARGEST:
            raise ValueError(f"{name} must be within 2**53, got a larger number.")
        return value
    if kind is float and type(value) in (int, float):
        number = float(value) if abs(value) < 1e300 else math.inf
        if not math.isfinite(number):
            raise ValueError(f"{name} must be a finite number below 1e300.")
        return number
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", NoneType: "null"}
    if kind not in names:
        raise TypeError(f"{name} is declared as {kind}, which a request cannot hold.")
    raise ValueError(f"{name} must be {names[kind]}, got {_called(value)}.")


def _among(values: tuple[Any, ...], value: Any, name: str) -> Any:
    if any(type(value) is type(choice) and value == choice for choice in values):
        return value
    raise ValueError(f"{name} must be one of {', '.join(map(repr, values))}, got {_called(value)}.")


def _one_of(kinds: tuple[Any, ...], value: Any, name: str) -> Any:
    """The first kind that fits; where none does, the fault is that of the last one that is not null."""
    if value is None and NoneType in kinds:
        return None
    wrong: ValueError | None = None
    for kind in kinds:
        if kind is NoneType:
            continue
        try:
            return _value(kind, value, name)
        except ValueError as fault:
            wrong = fault
    raise wrong if wrong is not None else ValueError(f"{name} must be null, got {_called(value)}.")


def _sequence(make: type, kinds: tuple[Any, ...], value: Any, name: str) -> Any:
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list, got {_called(value)}.")
    if len(value) > LONGEST:
        raise ValueError(f"{name} must have at most {LONGEST:,} entries, got {len(value):,}.")
    if make is tuple and kinds and kinds[-1] is not Ellipsis:
        if len(value) != len(kinds):
            raise ValueError(f"{name} must have {len(kinds)} entries, got {len(value)}.")
        return tuple(
            _value(kind, part, f"{name}[{k}]") for k, (kind, part) in enumerate(zip(kinds, value, strict=True))
        )
    kind = kinds[0] if kinds else float
    return make(_value(kind, part, f"{name}[{k}]") for k, part in enumerate(value))


def _called(value: Any) -> str:
    """A short description of what came."""
    if isinstance(value, (list, dict)):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
