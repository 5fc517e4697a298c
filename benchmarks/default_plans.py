"""Make the table behind `plans.default`: one plan for each of some budgets, fitted to random mixtures by descent.

    python benchmarks/default_plans.py 5 10 20      # budgets; without any: all of the table; some minutes each

The exact model of hundreds of random mixtures (`default_family.py`), in batches, stands for a network. What is fitted
are the places of the levels and corrections to the weights of the last five estimates in each row of `unipc`; from 18
evaluations on they are piecewise linear in the row's number from the fifth row on, so that a plan of many rows has no
more freedom than one of few. The loss of a set of mixtures is the mean of three logarithms: the RMS error over all
their trajectories, which those that change basin decide; the RMS of each mixture; and each trajectory's error. Every
step (Adam) sees other mixtures. A plan enters the table when it has less RMS error than what stands there, over
mixtures that no step saw, and no greater median.

The fits are short, and what they find depends on their length and their start: the table's own began, from 8 on, at the
plan of a neighbouring budget. Budgets 3, 4 and 6 are calibrations on many mixtures; 7, 9, 11, 13, 14, 16 and 17 were
carried over from their neighbours by interpolating the rows, and 18, 19 and 21 to 27 from the knots of 20 (and, up to
19, of 15), their corrections in proportion to the squared step. From 28 on there is no table: there a better fit than
the method's was not found.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from default_choices import HIGH, LOW
from default_family import HIGHS, Case, cases
from torch import Tensor

from scorefield.plans import default
from scorefield.plans.default import logistic_levels

F64 = torch.float64
TABLE = Path(__file__).parent.parent / "src/scorefield/plans/default_plans.json"
BUDGETS = (5, 8, 10, 12, 15, 20)
LAGS, FREE, KNOTS = 4, 4, 8
PARTS = {"set": 0.5, "mixture": 0.2, "trajectory": 0.3}
"""How much each logarithm weighs in the loss."""
DISCRETE = 0.3
"""How often nearly discrete mixtures are drawn, other kinds 1: their errors at low noise are not to decide all."""
Table = tuple[Tensor, Tensor, Tensor]
"""`sigma / (1 + sigma)` of the levels, and the weights of x0 and eps in the increments of `x / (1 + sigma)`."""


class Start(NamedTuple):
    """The predictor's order, and the grid from which the levels move."""

    order: int
    power: float
    centre: float


def start(n: int) -> Start:
    return Start(2, 0.85, 0.7) if n < 7 else Start(3, 0.85, 0.6) if n < 18 else Start(4, 0.7, 0.6)


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
    """Weights with corrections `(n, LAGS)` in units of the step; the newest estimate makes up their sum."""
    n = len(base)
    earlier = torch.arange(n)[:, None] - torch.arange(1, LAGS + 1)
    there = earlier >= 0
    place = (torch.arange(n)[:, None] * n + earlier)[there]
    more = torch.zeros(n * n, dtype=F64).index_add(0, place, (by * u.diff()[:, None])[there]).view(n, n)
    return base + more - torch.diag(more.sum(1))


def arrive(case: Case, table: Table, part: Tensor) -> Tensor:
    """Squared errors of end points, over the mixtures' RMS, `(M, n)`."""
    u, data, noise = table
    y = case.start[:, part] * (1 - u[0])
    x0: list[Tensor] = []
    eps: list[Tensor] = []
    for k in range(len(u) - 1):
        sigma, x = u[k] / (1 - u[k]), y / (1 - u[k])
        x0.append(case.mixtures.x0(x, sigma))
        eps.append((x - x0[-1]) / sigma)
        for j in range(max(0, k - LAGS), k + 1):
            y = y + noise[k, j] * eps[j] - data[k, j] * x0[j]
    return ((y - case.end[:, part]) / case.rms).square().mean(2)


def loss(errors: Tensor) -> Tensor:
    errors = errors + 1e-17
    set_, mixture = errors.mean().log(), errors.mean(1).log().mean()
    trajectory = errors.log().mean()
    return 0.5 * (PARTS["set"] * set_ + PARTS["mixture"] * mixture + PARTS["trajectory"] * trajectory)


class Family:
    """The plans of a budget: levels and corrections as parameters."""

    def __init__(self, n: int) -> None:
        self.n, self.start = n, start(n)
        _, power, centre = self.start
        self.places = 1 / (1 + (centre / logistic_levels(n, HIGH, LOW, power, centre).sigma[:-1]) ** power)
        self.shape = torch.eye(n, dtype=F64) if n < 18 else interpolation_weights(n)
        m = self.shape.shape[1]
        self.moves = torch.zeros(m, dtype=F64, requires_grad=True)
        self.data, self.noise = (torch.zeros(m, LAGS, dtype=F64, requires_grad=True) for _ in range(2))

    def sigma(self, high: float) -> Tensor:
        place = self.places + self.shape @ self.moves * self.places[0] / self.n
        sigma = (self.start.centre * (place / (1 - place)) ** (1 / self.start.power)).clamp(min=LOW)
        return torch.cat([torch.tensor([high], dtype=F64), sigma[1:]])

    def table(self, high: float) -> Table:
        sigma = self.sigma(high)
        u = torch.cat([sigma / (1 + sigma), torch.zeros(1, dtype=F64)])
        base = unipc_weights(u, self.start.order)
        return u, corrected(base, u, self.shape @ self.data), corrected(base, u, self.shape @ self.noise)

    def packed(self) -> dict[str, int | list[float] | list[list[float]]]:
        """As the table holds it."""
        with torch.no_grad():
            sigma, data, noise = self.sigma(HIGH), self.shape @ self.data, self.shape @ self.noise
        return {
            "order": self.start.order,
            "sigma": [float(f"{s:.7g}") for s in sigma.tolist()],
            "data": [[float(f"{v:.5g}") for v in row[:k]] for k, row in enumerate(data.tolist())],
            "noise": [[float(f"{v:.5g}") for v in row[:k]] for k, row in enumerate(noise.tolist())],
        }


def interpolation_weights(n: int) -> Tensor:
    """The first rows as they are, the others between knots."""
    place = torch.linspace(0, KNOTS - 1, n - FREE, dtype=F64)
    between = (1 - (place[:, None] - torch.arange(KNOTS)).abs()).clamp(min=0)
    return torch.block_diag(torch.eye(FREE, dtype=F64), between)


def fit(n: int, seen: Sequence[Case], steps: int, batch: int = 6, part: int = 32, seed: int = 0) -> Family:
    """Levels move by about 0.04 of their distance in a step at first, corrections by 0.02 or less."""
    family = Family(n)
    rate = 0.02 * min(1.0, (10 / n) ** 1.7)
    groups = [{"params": [family.moves], "lr": 0.04}, {"params": [family.data, family.noise], "lr": rate}]
    adam = torch.optim.Adam(groups, betas=(0.9, 0.98))
    decay = torch.optim.lr_scheduler.LambdaLR(adam, lambda i: 0.51 + 0.49 * math.cos(math.pi * min(1.0, i / steps)))
    draw = torch.Generator().manual_seed(seed)
    often = torch.tensor([DISCRETE if case.mixtures.kind == "nearly discrete" else 1.0 for case in seen])
    for _ in range(steps):
        adam.zero_grad()
        tables = {high: family.table(high) for high in HIGHS}
        leaves = {high: tuple(v.detach().requires_grad_() for v in table) for high, table in tables.items()}
        chosen = torch.randperm(seen[0].start.shape[1], generator=draw)[:part]
        for index in torch.multinomial(often, batch, generator=draw).tolist():
            (loss(arrive(seen[index], leaves[seen[index].mixtures.high], chosen)) / batch).backward()
        pairs = [(v, leaf.grad) for high in HIGHS for v, leaf in zip(tables[high], leaves[high], strict=True)]
        torch.autograd.backward(*zip(*[pair for pair in pairs if pair[1] is not None], strict=True))
        for group in adam.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
        adam.step()
        decay.step()
    return family


def of_plan(n: int, high: float) -> Table:
    """What `plans.default` gives now."""
    plan = default(n, sigma_max=high)
    u = plan.levels.sigma / (1 + plan.levels.sigma)
    left = (1 - u[1:])[:, None]
    return u, torch.diag(1 - u[:-1]) - plan.P * left, plan.E * left - torch.diag(u[:-1])


def judge(tables: dict[float, Table], held: Sequence[Case]) -> tuple[float, float]:
    """Geometric means over mixtures of RMS and median error."""
    logs = []
    with torch.no_grad():
        for case in held:
            errors = arrive(case, tables[case.mixtures.high], torch.arange(case.start.shape[1]))
            logs.append(0.5 * torch.stack([errors.mean(1), errors.median(1).values]).log())
    rms, median = torch.cat(logs, dim=1).mean(1).exp().tolist()
    return rms, median


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("budgets", type=int, nargs="*", default=BUDGETS)
    parser.add_argument("--steps", type=int, default=130)
    options = parser.parse_args()
    torch.set_num_threads(1)
    seen, held = cases(1000, rounds=2), cases(50_000)
    for n in options.budgets:
        begin = time.monotonic()
        family = fit(n, seen, options.steps)
        with torch.no_grad():
            new = judge({high: family.table(high) for high in HIGHS}, held)
        old = judge({high: of_plan(n, high) for high in HIGHS}, held)
        print(
            f"{n:3d} evaluations, other mixtures: RMS {old[0]:.2e}, median {old[1]:.2e} now; fitted {new[0]:.2e}, "
            f"{new[1]:.2e}; {time.monotonic() - begin:.0f} s",
            flush=True,
        )
        if new[0] < old[0] and new[1] <= old[1]:
            table = json.loads(TABLE.read_text(encoding="utf-8"))
            table[str(n)] = family.packed()
            TABLE.write_text(json.dumps(dict(sorted(table.items(), key=lambda item: int(item[0])))) + "\n")


if __name__ == "__main__":
    main()
