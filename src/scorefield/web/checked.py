"""Parameters of a request as frozen dataclasses whose values obey the rules of their types."""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache
from types import NoneType
from typing import Annotated, Any, Protocol, get_args, get_origin, get_type_hints


class Rule(Protocol):
    """What a value must obey; stands in an `Annotated` type."""

    def __call__(self, name: str, value: Any) -> None: ...


class Checked:
    """A frozen dataclass whose fields obey the rules of their `Annotated` types; other annotations are left alone.

    Raises:
        ValueError: on making one whose values do not.
    """

    def __post_init__(self) -> None:
        for name, rules in _rules(type(self)).items():  # type: ignore[arg-type]  # a class is hashable
            value = getattr(self, name)
            if value is not None:
                for rule in rules:
                    rule(name, value)


@lru_cache
def _rules(kind: Any) -> dict[str, list[Rule]]:
    """The rules of each field: those of its own type, and in a union with None those of the other."""
    hints = get_type_hints(kind, include_extras=True)
    found: dict[str, list[Rule]] = {}
    for name in (f.name for f in fields(kind)):
        kinds = [hints[name], *(arg for arg in get_args(hints[name]) if arg is not NoneType)]
        found[name] = [r for k in kinds if get_origin(k) is Annotated for r in k.__metadata__ if callable(r)]
    return found
