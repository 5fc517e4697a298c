"""Which endpoints a run has: those that its kind answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scorefield import runs
from scorefield.serving import posteriors, records, tables
from scorefield.serving.asks import Endpoint

Check = Callable[[Any, Endpoint, Any, Any], None]
"""(model, endpoint, rows, options): raises for rows that are not the model's."""

_OF_KIND: Mapping[str, tuple[tuple[Endpoint, ...], Check]] = {
    runs.TABLES.form: (tables.ENDPOINTS, tables.check),
    runs.RECORDS.form: (records.ENDPOINTS, lambda model, endpoint, rows, how: None),
    runs.POSTERIORS.form: (posteriors.ENDPOINTS, posteriors.check),
}
NAMES = sorted({one.name for found, _ in _OF_KIND.values() for one in found})
"""Of all endpoints, of whichever kind."""


def endpoints_of(kind: runs.Kind) -> dict[str, Endpoint]:
    """The endpoints of a kind's runs, by name: those that it says it answers.

    Example:
        >>> sorted(endpoints_of(runs.POSTERIORS))
        ['posterior']
    """
    return {one.name: one for one in _OF_KIND[kind.form][0] if one.name in kind.answers}


def check_of(kind: runs.Kind) -> Check:
    """What checks the rows of a request to a run of a kind."""
    return _OF_KIND[kind.form][1]


def no_such(kind: runs.Kind, name: str) -> str:
    """Why a run of a kind has no endpoint of a name, in a sentence."""
    own = ", ".join(f"/{one}" for one in endpoints_of(kind))
    others = [other.name for other in runs.KINDS if name in other.answers]
    if not others:
        return f"there is no {('/' + name)[:60]!r}; this run of {kind.name} answers {own}, and /openapi.json says how."
    return f"this is a run of {kind.name}, and /{name} answers for {' and '.join(others)} only; it answers {own}."
