"""Laws and how they came out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One law.

    Args:
        name: of the law.
        measured: what came out.
        bound: how great it may be (how small, where `at_least`).
        meaning: what it says.
        at_least: whether the bound is a lower one.
    """

    name: str
    measured: float
    bound: float
    meaning: str
    at_least: bool = False

    @property
    def passed(self) -> bool:
        """Whether the law holds; never for NaN."""
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


@dataclass(frozen=True)
class CheckReport:
    """Laws and how they came out; `str` is a table.

    Args:
        rows: the laws.
        note: what was not checked, and why.
    """

    rows: tuple[Row, ...]
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether every law holds."""
        return all(row.passed for row in self.rows)

    @property
    def failed(self) -> tuple[Row, ...]:
        """The laws that do not."""
        return tuple(row for row in self.rows if not row.passed)

    def __str__(self) -> str:
        width = max((len(row.name) for row in self.rows), default=4)
        lines = [f"{'law':<{width}}  {'measured':>9}    {'bound':<9}"]
        for row in self.rows:
            sign, verdict = ">=" if row.at_least else "<=", "pass" if row.passed else "FAIL"
            lines.append(f"{row.name:<{width}}  {row.measured:>9.2e} {sign} {row.bound:<9.2e} {verdict}  {row.meaning}")
        count, bad = len(self.rows), len(self.failed)
        lines.append(f"{count} laws hold." if not bad else f"{bad} of {count} laws fail.")
        return "\n".join([*lines, *([self.note] if self.note else [])])

    def to_json(self) -> dict[str, Any]:
        """The rows as a JSON-able dict."""
        names = ("name", "measured", "bound", "at_least", "passed", "meaning")
        rows = [{name: getattr(row, name) for name in names} for row in self.rows]
        return {"passed": self.passed, "note": self.note, "laws": rows}
