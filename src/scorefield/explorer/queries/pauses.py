"""Where a long computation may be interrupted: between two evaluations of a model, for other pages or for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad

from scorefield.core import Estimate, Level

F = TypeVar("F")

PIECE = 1 << 14
"""Most numbers of a batch of which a model answers all between two pauses."""

_hook: ContextVar[Callable[[], None]] = ContextVar("pause", default=lambda: None)


def pause() -> None:
    """Let the caller of this computation interrupt it, or end it by an exception.

    Inside a forward-mode derivative nothing happens: torch counts the levels of these for the whole process, so that
    another thread's derivative would fail in this one's level.
    """
    if forward_ad._current_level < 0:
        _hook.get()()


@contextmanager
def pausing(hook: Callable[[], None]) -> Iterator[None]:
    """Call `hook` at every pause of what is computed in this context.

    Example:
        >>> count = []
        >>> with pausing(lambda: count.append(1)):
        ...     pause()
        >>> len(count)
        1
    """
    token = _hook.set(hook)
    try:
        yield
    finally:
        _hook.reset(token)


def in_pieces(function: Callable[[Tensor], Tensor], x: Tensor, rows: int = 1024) -> Tensor:
    """`function(x)` of x `(n, *shape)`, so many rows at a time, with a pause before each piece."""
    parts = []
    for piece in x.split(rows):
        pause()
        parts.append(function(piece))
    return torch.cat(parts)


def paced(function: F) -> F:
    """A model or a score with a pause before every evaluation; a model's large batches are answered in pieces."""
    return cast(F, _Paced(function))


class _Paced:
    def __init__(self, function: Any) -> None:
        self._function = function

    def __call__(self, x: Tensor, *rest: Any, **named: Any) -> Any:
        n, parts = len(x), []
        rows = max(1, PIECE // max(1, x[:1].numel()))
        for first in range(0, max(n, 1), rows):
            piece = slice(first, first + rows)
            pause()
            others = {name: _rows(value, n, piece) for name, value in named.items()}
            parts.append(self._function(x[piece], *(_rows(value, n, piece) for value in rest), **others))
        if len(parts) == 1:
            return parts[0]
        if isinstance(parts[0], Estimate):
            return Estimate(*(torch.cat(values) for values in zip(*parts, strict=True)))
        return torch.cat(parts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


def _rows(value: Any, n: int, piece: slice) -> Any:
    """The part of an argument that belongs to a piece of n samples: all of it where it is the same for each."""
    if isinstance(value, Level):
        return Level(*(_rows(part, n, piece) for part in value))
    return value[piece] if isinstance(value, Tensor) and value.ndim and len(value) == n else value
