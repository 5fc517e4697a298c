"""What a report opens with: how good a table's model is, in words, and what to do where it is off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scorefield.metrics.comparison import Figure, Finding
from scorefield.report.columns import value_in_words
from scorefield.report.page import verdict_box
from scorefield.tables.associations import Associations
from scorefield.tables.evaluate import Coverage, Densities, TableComparison
from scorefield.tables.marginals import Marginal, worst_first
from scorefield.tables.measures import is_number
from scorefield.tables.privacy import Privacy

_MOST = 4
"""Columns and pairs that are told of one by one."""
_AS_FAR = "as far as chance lets one see"


class Quality(NamedTuple):
    """What is told of a model beside its comparison.

    Args:
        marginals: of each column.
        associations: of each pair of columns.
        privacy: None where the rows of training are not at hand.
    """

    marginals: tuple[Marginal, ...]
    associations: Associations
    privacy: Privacy | None


def verdict_section(c: TableComparison, quality: Quality) -> str:
    """The box that the page opens with."""
    return verdict_box(headline(c), findings(c, quality))


def headline(c: TableComparison) -> str:
    """The verdict in one sentence."""
    judge = _judge(c)
    if judge is None:
        return f"{len(c.real)} real rows are too few for a classifier to judge the generated ones by."
    return f"A classifier tells {100 * judge.value:.0f} of 100 generated rows from real ones; 50 is perfect."


def findings(c: TableComparison, quality: Quality) -> list[Finding]:
    """What else is to be said, the verdict's own accuracy first."""
    found = [*_of_judge(_judge(c), len(c.real)), *of_columns(quality.marginals), *of_pairs(quality.associations)]
    found += [*of_intervals(c.coverage), of_privacy(quality.privacy), *_of_densities(c.densities)]
    return found


def _judge(c: TableComparison) -> Figure | None:
    return next((f for f in c.figures if f.name == "C2ST accuracy"), None)


def _of_judge(judge: Figure | None, rows: int) -> list[Finding]:
    if judge is None:
        return []
    error = judge.error or 0.0
    floor = f"two halves of the real rows give {100 * judge.floor:.0f}"
    beside = f"{floor}, and chance moves such a number by {_points(2 * error)}"
    if judge.value <= 0.5 + 2 * error:
        return [Finding(True, f"Nothing that it finds in {rows:,} real rows sets generated ones apart: {beside}.")]
    much = "Small" if judge.value < 0.6 else "Clear" if judge.value < 0.75 else "Gross"
    return [Finding(False, f"{much} differences remain: {beside}. What columns and pairs show of them stands below.")]


def of_columns(found: Sequence[Marginal]) -> list[Finding]:
    """Of each column that is off: by how much, and what to do; or that none is."""
    off = worst_first(found)
    if not off:
        return [Finding(True, f"{_count(len(found), 'column')}: values as often as in the real rows, {_AS_FAR}.")]
    told = [Finding(False, in_words(m)) for m in off[:_MOST]]
    more = [Finding(False, f"{_count(len(off) - _MOST, 'more column')} off, see below.")] if len(off) > _MOST else []
    return [*told, *more]


def in_words(m: Marginal) -> str:
    """How a column is off, and what to do."""
    if m.below or m.above:
        return _beyond(m)
    where = value_in_words(m.column, m.at)
    what = f"is at most {where}" if is_number(m.column) else f"is {where!r}"
    return (
        f"Column {str(m.column.name)!r} is off: it {what} in {_percent(m.real)} of the real rows, {_percent(m.new)} of "
        f"the generated ones (chance explains {_points(m.chance)}); train longer, or look whether the schema takes it "
        "for what it is (scorefield schema)."
    )


def _beyond(m: Marginal) -> str:
    share, side, end, key = (m.above, "above", "greatest", "high")
    if m.below > m.above:
        share, side, end, key = (m.below, "below", "least", "low")
    value = value_in_words(m.column, m.range[key == "high"])
    return (
        f"Column {str(m.column.name)!r} is off: {_percent(share)} of the generated values lie {side} {value}, the "
        f"{end} real one; if nothing can lie there, tell the schema so ({key} = ..., fit --schema)."
    )


def of_pairs(found: Associations) -> list[Finding]:
    """Of the pairs of columns whose association is off, or that none is."""
    off = [pair for pair in found.pairs if pair.off]
    if not found.pairs:
        return []
    if not off:
        return [
            Finding(True, f"{_count(len(found.pairs), 'pair')} of columns: associated as in the real rows, {_AS_FAR}.")
        ]
    told = [f"{p.first} and {p.second} ({p.real:.2f} in real rows, {p.new:.2f} in generated ones)" for p in off[:_MOST]]
    more = f" and {len(off) - _MOST} more" if len(off) > _MOST else ""
    return [
        Finding(False, f"Associations are off between {'; '.join(told)}{more}. More training or more rows may help.")
    ]


def of_intervals(found: Sequence[Coverage]) -> list[Finding]:
    """Whether the 90 % intervals of predictions hold."""
    from scipy.stats import norm

    if not found:
        return []
    z = float(norm.isf(0.01 / (2 * len(found))))
    off = [k for k in found if abs(k.most - 0.9) > z * math.sqrt(0.09 / len(k.ranks))]
    mean = float(np.average([k.most for k in found], weights=[len(k.ranks) for k in found]))
    text = f"90 % prediction intervals hold {100 * mean:.0f} % of the values of the real rows"
    if not off:
        return [Finding(True, f"{text}, and no column's are off beyond chance.")]
    told = ", ".join(f"{k.column} ({100 * k.most:.0f} %)" for k in off[:_MOST])
    return [Finding(False, f"{text}; those of {told} do not hold: do not use them as they are.")]


def of_privacy(found: Privacy | None) -> Finding:
    """Whether generated rows are copies of training rows."""
    if found is None:
        return Finding(None, "Privacy is not judged: it needs the rows of training, and others that were held out.")
    text = (
        f"of a generated and a held-out row the generated one lies nearer to training rows in {_times(found.nearer)} "
        f"(50 if rows are new, 100 if copied; chance moves it by {_points(2 * found.error)})"
    )
    if found.off:
        advice = "Do not publish these rows as anonymous; train shorter."
        return Finding(False, f"Rows of training shine through: {text}. {advice}")
    return Finding(True, f"No sign of copied rows: {text}.")


def _of_densities(found: Densities) -> list[Finding]:
    """What the network adds to the mixture."""
    gain = found.real - found.reference
    gain = gain[np.isfinite(gain)]
    if len(gain) < 2:
        return []
    mean, error = float(gain.mean()), float(gain.std(ddof=1) / math.sqrt(len(gain)))
    text = f"the network adds {mean + 0.0:.2f} nats per row to the mixture it starts from, give or take {2 * error:.2f}"
    text = text.replace("-0.00", "0.00")
    if mean < -2 * error:
        return [Finding(False, f"On the real rows {text}: it has learned its rows by heart; train shorter.")]
    return [Finding(None, f"On the real rows {text}.")]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _times(share: float) -> str:
    return f"{100 * share:.0f} of 100 cases"


def _points(share: float) -> str:
    return f"{100 * share:.0f} in 100" if share >= 0.095 else f"{100 * share:.1f} in 100"


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
