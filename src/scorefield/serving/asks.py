"""What is wanted of a model, what it answers, and what says no."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from scorefield.data.dataset import Array
from scorefield.progress import Report


class RefusedError(Exception):
    """A request that is not answered: one sentence, its status, and the seconds after which to try again."""

    def __init__(self, status: int, sentence: str, retry: int | None = None) -> None:
        super().__init__(sentence)
        self.status, self.retry = status, retry


class Ask(NamedTuple):
    """One request, read and checked.

    Args:
        options: of the endpoint's class.
        data: rows (a list of objects) or records (an array) that it gives; None where it gives none.
    """

    options: Any
    data: Any = None


@dataclass(frozen=True)
class Answer:
    """What a request gets: rows, or records with their labels.

    Args:
        rows: objects with values of JSON.
        records: `(n, *shape)`.
        labels: `(n,)`, of records of a model with classes.
        warnings: sentences.
        evaluations: of the network that it took, as far as they are known.
    """

    rows: list[dict[str, Any]] | None = None
    records: Array | None = None
    labels: Array | None = None
    warnings: list[str] = field(default_factory=list)
    evaluations: int = 0

    def to_json(self) -> dict[str, Any]:
        """As JSON has it: a number that is not finite is null."""
        found: dict[str, Any] = {} if self.rows is None else {"rows": self.rows}
        if self.records is not None:
            found["records"] = finite(self.records)
        if self.labels is not None:
            found["labels"] = self.labels.tolist()
        return found | ({"warnings": self.warnings} if self.warnings else {})


def finite(values: Array) -> list[Any]:
    """An array as lists, None for what is not finite."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return np.where(np.isfinite(values), values.astype(object), None).tolist()  # type: ignore[call-overload]
    return values.tolist()


Answering = Callable[[Any, Sequence[Ask], Report], list[Answer]]
"""(model, asks that go together, report) -> an answer for each."""


@dataclass(frozen=True)
class Endpoint:
    """One question that a kind of run answers.

    Args:
        name: its path, without the slash.
        says: what it answers, in a line.
        options: the dataclass of its options.
        takes: what a request gives besides.
        gives: what an answer holds.
        answer: by the model.
        together: (model, options) -> what requests must have in common to be computed by one call; None: alone.
        wanted: (options, rows or records given) -> how many the answer holds.
        evaluations: (options, the same) -> of the network; 0 where nobody knows before.
    """

    name: str
    says: str
    options: type[Any]
    takes: Literal["nothing", "rows", "records"]
    gives: Literal["rows", "records"]
    answer: Answering
    together: Callable[[Any, Any], Hashable | None] = lambda model, options: None
    wanted: Callable[[Any, int], int] = lambda options, given: given
    evaluations: Callable[[Any, int], int] = lambda options, given: 0
