"""How far a long computation is: a callable that hears the share of the work that is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias, TypeVar

Report: TypeAlias = Callable[[float, str], None]
"""`report(share, what)`: the share of the work that is done, 0 to 1, and what is being done, in a word or two."""

T = TypeVar("T")


def silent(share: float, what: str) -> None:
    """The report that nobody hears: the default everywhere."""


def part(report: Report, low: float, high: float, what: str = "") -> Report:
    """A report for a part of the work: its 0 to 1 are low to high of the whole.

    Args:
        report: of the whole.
        low: where the part begins.
        high: where it ends.
        what: the part's name; default: what the part itself says.

    Example:
        >>> part(lambda share, what: print(share, what), 0.5, 1.0, "densities")(0.5, "")
        0.75 densities
    """
    return lambda share, inner: report(low + share * (high - low), what or inner)


def counted(items: Iterable[T], total: int, report: Report, what: str) -> Iterator[T]:
    """The items, one after the other; the report hears of each that is done.

    Example:
        >>> heard = []
        >>> list(counted("ab", 2, lambda share, what: heard.append(share), "letters")), heard
        (['a', 'b'], [0.0, 0.5, 1.0])
    """
    report(0.0, what)
    for done, item in enumerate(items, 1):
        yield item
        report(done / max(total, 1), what)
