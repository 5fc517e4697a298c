"""Make the table behind `plans.default`: plans for each of some budgets, fitted to random mixtures.

    python benchmarks/default_plans.py 5 10 20      # budgets; without any: all of the table; a minute or a few each

The exact model of hundreds of random mixtures (`default_family.py`), in batches, stands for a network. What is fitted
(`default_fit.py`) are the places of the levels and corrections to the weights of the last five estimates in each row of
`unipc`. What a plan should be depends on the number of dimensions: the modes of standardised data lie further apart the
more there are, so that basins part at higher noise. Hence each budget has one plan for each number in `KNOTS`, between
which all is interpolated in log d, and another for data of which the dimension is not given.

A fit begins at `unipc` over a grid for each knot, or, with --near, at the plans of the nearest budget in the table.
It enters the table when the mean loss over mixtures that no step saw is less than that of what stands there. The
table's own began at the grids for 5, 8, 10, 15 and 20 evaluations (10: after 16 steps again), the others at a
neighbour (4 and 6 at 5, 3 at 4, 7 at 8, 9 and 12 at 10, 11 at 12, 13, 14 and 16 at 15, 17 at 16, 18, 19 and 21 at 20,
and so on upwards), and had 3 to 24 steps: the fits are short, and longer ones still gain. Beyond there is no table:
at 35 and 50 nine such steps gave no plan that was better than the method's for all numbers of dimensions.

Not among the kinds are data of exact points, such as a finite data set's own law: the plans are better there than
those before them, but a fit that sees such data loses more on the others than it gains.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from default_family import F64, HIGHS, Case, cases
from default_fit import LAGS, Family, Table, arrive, fit, mean_loss
from torch import Tensor

from scorefield.plans import Plan, default
from scorefield.plans.default import KNOTS, logistic_levels
from scorefield.plans.endloss import end_loss

TABLE = Path(__file__).parent.parent / "src/scorefield/plans/default_plans.json"
HIGH, LOW = HIGHS[0], 0.002
BUDGETS = (*range(3, 23), 25)
STARTS = ((0.85, 0.6), (0.85, 0.8), (1.0, 1.5), (1.0, 2.5))
"""Power and centre of the grid from which each knot's levels move; the one without a dimension has the second."""


def weights(u: Tensor, nodes: Tensor, first: Tensor) -> Tensor:
    """Integrals over a step, from level `first` to the next, of the Lagrange basis through nodes `(R, q)`."""
    step = (u[first + 1] - u[first])[:, None]
    place = (u[nodes] - u[first][:, None]) / step
    q = nodes.shape[1]
    powers = torch.stack([place**i for i in range(q)], dim=1)
    moments = (1 / torch.arange(1, q + 1, dtype=F64)).expand(len(place), q)
    return torch.linalg.solve(powers, moments[..., None])[..., 0] * step


def unipc_weights(u: Tensor, order: int) -> Tensor:
    """The increments' weights `(n, n)` of `unipc` in the variable `FLOW`, differentiable in the levels."""
    n = len(u) - 1
    rows, flat = torch.arange(n), torch.zeros(n * n, dtype=F64)
    for q in range(1, order + 1):
        last = q == order
        k = rows[rows >= q - 1] if last else rows[rows == q - 1]
        nodes = k[:, None] - torch.arange(q)
        flat = flat.index_add(0, (k[:, None] * n + nodes).flatten(), weights(u, nodes, k).flatten())
        k = rows[rows >= q] if last else rows[rows == q]
        nodes = k[:, None] - torch.arange(q + 1)
        for use, sign in ((nodes, 1.0), (nodes[:, 1:], -1.0)):
            flat = flat.index_add(0, (k[:, None] * n + use).flatten(), sign * weights(u, use, k - 1).flatten())
    return flat.view(n, n)


def corrected(base: Tensor, u: Tensor, by: Tensor) -> Tensor:
    """Weights with corrections `(n, LAGS)` in units of the step; the newest estimate makes up their sum.

    Returns them by lag, the newest first, `(n, LAGS + 1)`.
    """
    n = len(base)
    at = torch.arange(n)[:, None] - torch.arange(LAGS + 1)
    there = at >= 0
    last = torch.where(there, base.gather(1, at.clamp(min=0)), torch.zeros((), dtype=F64))
    more = torch.where(there[:, 1:], by * u.diff()[:, None], torch.zeros((), dtype=F64))
    return last + torch.cat([-more.sum(1, keepdim=True), more], 1)


class Plans:
    """The plans of a budget as parameters: for each knot the logarithms of its levels, and its corrections.

    Args:
        n: evaluations.
        knots: numbers of dimensions; None for one plan of all.
    """

    def __init__(self, n: int, knots: Sequence[int] | None) -> None:
        self.n, self.knots = n, knots
        self.order = 2 if n <= 12 else 3
        self.count = 1 if knots is None else len(knots)
        self.there = (torch.arange(1, LAGS + 1) <= torch.arange(n)[:, None]).flatten().nonzero()[:, 0]
        self.size = n - 1 + 2 * len(self.there)

    @property
    def start(self) -> Tensor:
        grids = STARTS[1:2] if self.knots is None else STARTS
        sigmas = [logistic_levels(self.n, HIGH, LOW, *grid).sigma[1:-1].log() for grid in grids]
        return torch.stack([torch.cat([s, s.new_zeros(self.size - self.n + 1)]) for s in sigmas])

    @property
    def family(self) -> Family:
        return Family(self.table, self.shares, self.possible)

    def shares(self, dimensions: int) -> Tensor:
        """Of each knot in a number of dimensions."""
        found = torch.zeros(self.count, dtype=F64)
        if self.knots is None:
            return found + 1
        place = [math.log(d) for d in self.knots]
        where = min(max(math.log(dimensions), place[0]), place[-1])
        k = max(i for i in range(self.count - 1) if place[i] <= where)
        found[k + 1] = (where - place[k]) / (place[k + 1] - place[k])
        found[k] = 1 - found[k + 1]
        return found

    def table(self, one: Tensor, high: float) -> Table:
        """Of the parameters of one knot, or a mean of several."""
        first, last = one.new_tensor([high]), one.new_zeros(1)
        sigma = torch.cat([first, one[: self.n - 1].exp(), last])
        u = sigma / (1 + sigma)
        base = unipc_weights(u, self.order)
        data, noise = (self._corrections(half) for half in one[self.n - 1 :].chunk(2))
        return Table(u, corrected(base, u, data), corrected(base, u, noise))

    def _corrections(self, values: Tensor) -> Tensor:
        return values.new_zeros(self.n * LAGS).index_copy(0, self.there, values).view(self.n, LAGS)

    def possible(self, parameters: Tensor) -> bool:
        logs = parameters[:, : self.n - 1]
        top = logs.new_full((self.count, 1), math.log(0.7 * HIGH))
        return bool((torch.cat([top, logs], 1).diff() < -0.02).all()) and bool((logs > math.log(LOW)).all())

    def packed(self, parameters: Tensor) -> list[dict[str, Any]]:
        """As the table holds them, by knot."""
        made = []
        for one in parameters:
            data, noise = (self._corrections(half).tolist() for half in one[self.n - 1 :].chunk(2))
            sigma = [HIGH, *one[: self.n - 1].exp().tolist()]
            made.append({"sigma": [_short(s) for s in sigma], "data": _rows(data), "noise": _rows(noise)})
        return made

    def unpacked(self, stored: Sequence[dict[str, Any]]) -> Tensor:
        """Parameters from what the table holds for this budget, or for another, whose rows are stretched."""
        parts = []
        for one in stored:
            logs = _stretched(torch.tensor(one["sigma"], dtype=F64).log()[:, None], self.n)[1:, 0]
            full = [
                _stretched(
                    torch.tensor([[*row[:LAGS], *[0.0] * (LAGS - len(row))] for row in one[name]], dtype=F64), self.n
                )
                for name in ("data", "noise")
            ]
            parts.append(torch.cat([logs, *(v.flatten()[self.there] for v in full)]))
        return torch.stack(parts)


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _rows(values: list[list[float]]) -> list[list[float]]:
    return [[_short(v) for v in row[:k]] for k, row in enumerate(values)]


def _stretched(values: Tensor, n: int) -> Tensor:
    """Rows `(m, c)` interpolated to n."""
    m = len(values)
    place = torch.linspace(0, m - 1, n, dtype=F64)
    low = place.floor().long().clamp(max=m - 2)
    share = (place - low)[:, None]
    return (1 - share) * values[low] + share * values[low + 1]


# ---------------------------------------------------------------------------------------------------------- the fits


def stored() -> dict[str, Any]:
    return json.loads(TABLE.read_text(encoding="utf-8"))


def store(n: int, fields: dict[str, Any]) -> None:
    table = stored()
    table[str(n)] = fields
    TABLE.write_text(json.dumps(dict(sorted(table.items(), key=lambda item: int(item[0])))) + "\n", encoding="utf-8")


def near(n: int) -> dict[str, Any]:
    """What the table holds for the nearest other budget, the greater of two."""
    table = stored()
    return table[min((k for k in table if int(k) != n), key=lambda k: (abs(int(k) - n), -int(k)))]


def of_plan(plan: Plan) -> Table:
    u = plan.levels.sigma / (1 + plan.levels.sigma)
    left = (1 - u[1:])[:, None]
    zero = torch.zeros(plan.evaluations, LAGS, dtype=F64)
    data, noise = torch.diag(1 - u[:-1]) - plan.P * left, plan.E * left - torch.diag(u[:-1])
    return Table(u, corrected(data, u, zero), corrected(noise, u, zero))


def loss_now(n: int, known: bool, held: Sequence[Case]) -> float:
    """Of what `plans.default` gives, with the number of dimensions or without."""
    found = []
    for case in held:
        plan = default(n, sigma_max=case.mixtures.high, dimensions=case.mixtures.dimensions if known else None)
        found.append(end_loss(arrive(case, of_plan(plan))).mean())
    return float(torch.stack(found).mean())


def fitted(n: int, seen: Sequence[Case], steps: int, begin: dict[str, Any] | None) -> dict[str, Any]:
    """Plans of a budget, as the table holds them."""
    say = partial(print, flush=True)
    plans, alone = Plans(n, KNOTS), Plans(n, None)
    at = fit(plans.family, seen, plans.start if begin is None else plans.unpacked(begin["known"]), steps, say=say)
    first = plans.packed(at)[1] if begin is None else begin["any"]
    one = fit(alone.family, seen, alone.unpacked([first]), steps, say=say)
    return {"order": plans.order, "known": plans.packed(at), "any": alone.packed(one)[0]}


def judged(n: int, fields: dict[str, Any], held: Sequence[Case]) -> list[float]:
    """Losses of a table's entry, by dimension and without."""
    both = ((Plans(n, KNOTS), fields["known"]), (Plans(n, None), [fields["any"]]))
    return [mean_loss(plans.family, plans.unpacked(entry), held) for plans, entry in both]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("budgets", type=int, nargs="*", default=BUDGETS)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--near", action="store_true", help="begin at the plans of the nearest budget")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seen, held = cases(1000, count=8, n=48), cases(50_000, count=4, n=48)
    for n in options.budgets:
        begin = time.monotonic()
        fields = fitted(n, seen, options.steps, near(n) if options.near else None)
        new = judged(n, fields, held)
        old = [loss_now(n, known, held) for known in (True, False)]
        print(
            f"{n:3d} evaluations, loss over other mixtures, by dimension and without: {new}, now {old}; "
            f"{time.monotonic() - begin:.0f} s",
            flush=True,
        )
        if sum(new) < sum(old):
            store(n, fields)


if __name__ == "__main__":
    main()
