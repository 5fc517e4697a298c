"""Rows drawn under conditions: the columns of these first, each within what is allowed, then the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from scorefield.numerics.random import uniform
from scorefield.plans import Plan
from scorefield.progress import Report, silent
from scorefield.tables.codec import RowCodec
from scorefield.tables.events import Event, event
from scorefield.tables.given import Condition, written
from scorefield.tables.objective import gated
from scorefield.tables.recalibration import Recalibration, share_given
from scorefield.tables.row_model import Layout, RowModel
from scorefield.tables.schema import Name
from scorefield.tables.transport import backward, deviates_of, values_at

_RAREST = 1e-4  # share of trials that must succeed
_TRIALS = 20_000  # before a share is believed
_AT_ONCE = 8192
_SMALLEST = 1e-12  # probability of the first condition


class CodeStep(NamedTuple):
    """The draw of a code: its entry in an encoded row, and which codes are allowed, `(K,)`."""

    entry: int
    allowed: Tensor


class NumberStep(NamedTuple):
    """The draw of a number: its entry in an encoded row, and the ends of the intervals allowed, encoded `(m, 2)`."""

    entry: int
    ends: Tensor


Step: TypeAlias = CodeStep | NumberStep


class Start(NamedTuple):
    """What trials start from.

    Args:
        rows: what is given as a value, elsewhere infinity: `(m, entries)`, the first one without anything else, the
            others each with a combination of values that recur.
        weights: of the trials that start so, in proportion, `(m,)`.
        repeated: the entries that combinations have.
    """

    rows: Tensor
    weights: Tensor
    repeated: tuple[int, ...] = ()


@dataclass(frozen=True)
class Restriction:
    """Conditions on the rows of a model, ready to be drawn by.

    The entries that conditions are on are drawn one after the other, each from the model's law of it given those before
    and what is given as a value, restricted to what is allowed; the trial is kept with the product of the probabilities
    that the later ones had to be allowed. Kept trials follow the law of those entries given that all conditions hold,
    exactly where the model's answers belong to one law.

    Args:
        model: of rows.
        layout: of the rows.
        plan: for the numbers.
        recalibration: of a number that is drawn alone.
        start: of a trial.
        steps: the draws, codes first.
        text: the conditions in words.
        scale: the standard deviation of encoded numbers.
    """

    model: RowModel
    layout: Layout
    plan: Plan
    recalibration: Recalibration | None
    start: Start
    steps: tuple[Step, ...]
    text: str
    scale: float = 1.0

    @staticmethod
    def of(
        model: RowModel,
        layout: Layout,
        codec: RowCodec,
        plan: Plan,
        recalibration: Recalibration | None,
        given: Mapping[Name, Sequence[Condition]],
        scale: float = 1.0,
    ) -> Restriction:
        """From conditions by column; a ValueError for one that the model knows nothing of."""
        base = torch.full(codec.shape, math.inf, dtype=torch.float64)
        events = [found for name, wanted in given.items() if (found := event(codec, name, wanted)) is not None]
        steps: list[Step] = []
        for found in events:
            steps += _steps(found, base)
        order = tuple(sorted(steps, key=lambda step: (isinstance(step, NumberStep), step.entry)))
        start = Start(base[None], torch.ones(1, dtype=torch.float64))
        return Restriction(model, layout, plan, recalibration, start, order, written(given), scale)

    @torch.no_grad()
    def weighed(self) -> Restriction:
        """The weight of each start times the probability of the first condition from there, which trials fulfil."""
        u = torch.full((len(self.start.rows), 2 * len(self.steps) + 1), 0.5, dtype=torch.float64)
        again = torch.arange(len(u)) > 0
        first = torch.ones(len(u), dtype=torch.float64)
        for mine, steps in self._kinds(again):
            if steps and bool(mine.any()):
                first[mine] = self._stepped(steps[0], self.start.rows[mine], u[mine], True)[1]
        return replace(self, start=self.start._replace(weights=self.start.weights * first))

    @torch.no_grad()
    def rows(self, n: int, *, seed: int, first: int = 0, report: Report = silent) -> Tensor:
        """n rows with the entries that conditions are on, NaN elsewhere, `(n, entries)`; row i by (seed, first + i).

        Raises:
            ValueError: where the conditions are too rare; says how rare.
        """
        out, _ = self._begun(torch.arange(first, first + n), seed)
        left = torch.arange(n)
        tried = kept = attempt = 0
        while self.steps and len(left):
            share = kept / tried if tried else 1.0
            copies = max(1, min(64, _AT_ONCE // len(left), math.ceil(1.5 / max(share, 1e-3))))
            index = (first + left)[:, None] + ((attempt + torch.arange(copies)) << 32)
            drawn, good, start = self._trial(index.flatten(), seed)
            good = good.reshape(len(left), copies)
            tried, kept, attempt = tried + good.numel(), kept + int(good.sum()), attempt + copies
            some = good.any(1)
            chosen = drawn.reshape(len(left), copies, -1)[torch.arange(len(left)), good.double().argmax(1)]
            out[left[some]] = chosen[some]
            left = left[~some]
            report(1 - len(left) / n, "conditions")
            if start < _SMALLEST or (tried >= _TRIALS and kept < _RAREST * tried):
                raise self._too_rare(start, kept, tried)
        return torch.where(out.isinf(), torch.nan, out)

    def _begun(self, index: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        """What the trial of each index starts from, `(n, entries)`, and whether that is a combination."""
        rows, weights = self.start.rows, self.start.weights
        if len(rows) == 1:
            return rows.repeat(len(index), 1), torch.zeros(len(index), dtype=torch.bool)
        edges = weights.cumsum(0)
        u = uniform(len(index), (), seed, "given repeats", first=index, dtype=torch.float64)
        which = torch.searchsorted(edges, u * edges[-1], right=True).clamp(max=len(rows) - 1)
        return rows[which].clone(), which > 0

    def _trial(self, index: Tensor, seed: int) -> tuple[Tensor, Tensor, float]:
        """One trial for each index: rows, which of them are kept, and the greatest probability of a first condition."""
        rows, again = self._begun(index, seed)
        u = uniform(len(index), (2 * len(self.steps) + 1,), seed, "given", first=index, dtype=torch.float64)
        weight, good, start = torch.ones_like(u[:, 0]), torch.ones(len(index), dtype=torch.bool), 0.0
        for mine, steps in self._kinds(again):
            some = mine.nonzero()[:, 0]
            for k, step in enumerate(steps if len(some) else ()):
                value, mass, inside = self._stepped(step, rows[some], u[some], k == 0)
                rows[some, step.entry] = value
                good[some] &= inside
                if k:
                    weight[some] *= mass
                else:
                    start = max(start, float(mass.max()))
            start = start if steps or not len(some) else 1.0
        return rows, good & (u[:, -1] < weight), start

    def _kinds(self, again: Tensor) -> tuple[tuple[Tensor, tuple[Step, ...]], ...]:
        """The rows that start without a combination with their draws, and those with one."""
        rest = tuple(step for step in self.steps if step.entry not in self.start.repeated)
        return (~again, self.steps), (again, rest)

    def _stepped(self, step: Step, rows: Tensor, u: Tensor, first: bool) -> tuple[Tensor, Tensor, Tensor]:
        """The value of a draw for each row, the probability to be allowed, and whether it is."""
        k = [own.entry for own in self.steps].index(step.entry)
        mine = u[:, 2 * k : 2 * k + 2]
        if isinstance(step, CodeStep):
            return self._code(step, rows, mine)
        return self._number(step, rows, mine, first or step is self._first_number)

    @property
    def _first_number(self) -> NumberStep | None:
        return next((step for step in self.steps if isinstance(step, NumberStep)), None)

    def _code(self, step: CodeStep, rows: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A code among those allowed, its probability to be, and whether the draw is allowed: always."""
        few, back = _distinct(rows)
        few[:, step.entry] = torch.nan
        table = self.model.log_codes(few)[step.entry - self.layout.numbers].exp() * step.allowed
        mass = table.sum(1)[back]
        edges = table.cumsum(1)[back]
        code = torch.searchsorted(edges, u[:, :1] * mass[:, None])[:, 0].clamp(max=len(step.allowed) - 1)
        return code.double(), mass, mass > 0

    def _number(self, step: NumberStep, rows: Tensor, u: Tensor, narrow: bool) -> tuple[Tensor, Tensor, Tensor]:
        """A number within the intervals, its probability to be, and whether the draw is; infinity on an atom."""
        gate = self.layout.gates[step.entry]
        there = torch.ones_like(u[:, 0], dtype=torch.bool) if gate < 0 else rows[:, self.layout.numbers + gate] == 0
        value, mass, inside = torch.full_like(u[:, 0], torch.inf), torch.ones_like(u[:, 0]), torch.ones_like(there)
        if not bool(there.any()):
            return value, mass, inside
        question = rows[there]
        question[:, step.entry] = torch.nan
        question = gated(question, self.layout.numbers, self.layout.gates)
        few, back = _distinct(question)
        if narrow:  # all that is given are values, codes and combinations: few questions
            own, total = _within(self._standard(few, step.entry, step.ends)[back], u[there])
        else:  # drawn from all of the law, and kept if within: cheaper than each row's own ends
            own, total = torch.special.ndtri(u[there, 1]), torch.ones_like(u[there, 0])
        at = self._at(question, step.entry)
        z = Recalibration.of_model(own, at)[:, None]
        x = values_at(self.model, self.plan, question, self.layout.numbers, step.entry, z)[:, 0]
        within = ((x[:, None] >= step.ends[:, 0]) & (x[:, None] <= step.ends[:, 1])).any(1)
        value[there], mass[there], inside[there] = x, total, within & (total > 0)
        return value, mass, inside

    def _standard(self, few: Tensor, entry: int, ends: Tensor) -> Tensor:
        """The intervals' ends as standard normal deviates of each question's law, `(n, m, 2)`."""
        flat, plan = ends.flatten(), backward(self.model, self.scale)
        found = flat.expand(len(few), -1).clone()
        for k in flat.isfinite().nonzero()[:, 0].tolist():
            x = flat[k].expand(len(few))
            z = deviates_of(self.model, plan, few, self.layout.numbers, entry, x)
            found[:, k] = Recalibration.standard(z, self._at(few, entry))
        return found.reshape(len(few), *ends.shape)

    def _at(self, given: Tensor, entry: int) -> Tensor:
        own = self.recalibration
        return given.new_zeros(len(given), 2) if own is None else own.at(share_given(given), entry)

    def _too_rare(self, start: float, kept: int, tried: int) -> ValueError:
        found = start * kept / tried if kept else start / tried
        about = "about" if kept and start >= _SMALLEST else "less than"
        return ValueError(
            f"rows with {self.text} are too rare to draw: the model gives them a probability of {about} "
            f"{max(found, _SMALLEST):.1g} ({kept} of {tried:,} trials succeeded); ask for less."
        )


def _steps(found: Event, base: Tensor) -> list[Step]:
    """The draws of an event; what leaves no choice is put into the base."""
    steps: list[Step] = []
    if found.codes is not None and found.code is not None:
        if found.codes.sum() == 1:
            base[found.code] = float(found.codes.argmax())
        else:
            steps.append(CodeStep(found.code, torch.from_numpy(found.codes)))
    if found.number is not None and found.point is not None:
        base[found.number] = found.point
    if found.number is not None and found.intervals is not None:
        steps.append(NumberStep(found.number, torch.tensor(found.intervals, dtype=torch.float64)))
    return steps


def _distinct(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The different rows, and which of them each row is; infinity equals infinity, NaN equals NaN."""
    marked = rows.nan_to_num(nan=2e300, posinf=1e300)
    few, back = marked.unique(dim=0, return_inverse=True)
    few = torch.where(few == 1e300, torch.inf, few)
    return torch.where(few == 2e300, torch.nan, few), back


def _within(ends: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """A standard normal deviate within intervals, and the probability to be there: `(n, m, 2)`, `(n, 2)` to `(n,)`.

    Intervals above 0 are mirrored, so that those far out keep their digits.
    """
    low, high = ends[..., 0], ends[..., 1]
    mirrored = low > 0
    below, above = (torch.special.ndtr(torch.where(mirrored, a, b)) for a, b in ((-high, low), (-low, high)))
    mass = (above - below).clamp(min=0)
    edges = mass.cumsum(1)
    total = edges[:, -1]
    chosen = torch.searchsorted(edges, u[:, :1] * total[:, None]).clamp(max=mass.shape[1] - 1)
    start, size, mirror = (v.gather(1, chosen)[:, 0] for v in (below, mass, mirrored))
    w = torch.special.ndtri((start + u[:, 1] * size).clamp(1e-300, 1 - 1e-16))
    return torch.where(mirror, -w, w), total
