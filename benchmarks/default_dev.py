"""How `plans.default` and its rivals stand beside the peers on random mixtures that no plan was fitted to.

    python benchmarks/default_dev.py              # the peers once, ten minutes: needs the environment of `make bench`
    python benchmarks/default_dev.py --ours       # plans.default beside what was stored, seconds

Each problem is one mixture with its own trajectories; the peers' figure is, as in `run.py`, the least error of any
setting of `peers/shortlist.json`, chosen by this very error, once for the RMS and once for the median.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from default_family import DIMENSIONS, HIGHS, KINDS, Case, case
from torch import Tensor

from scorefield.core import Estimate, Level
from scorefield.plans import Plan, default, run

STORED = Path(__file__).with_name("default_dev.json")
BUDGETS = (5, 10, 20, 50)
SEED, COUNT, TRAJECTORIES = 90_000, 2, 192


class Flat:
    """All mixtures of a case as one model of `(M n, D)`."""

    def __init__(self, case: Case) -> None:
        self.mixtures = case.mixtures
        self.shape = case.start.shape

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        alpha, sigma = (torch.as_tensor(v, dtype=torch.float64) for v in level)
        x0 = self.mixtures.x0(x.double().view(self.shape) / alpha, sigma / alpha).view(x.shape)
        return Estimate(x0, (x - alpha * x0) / sigma)


def problems() -> list[Case]:
    """Four numbers of dimensions for each kind."""
    made = []
    for i, kind in enumerate(KINDS):
        for j in range(4):
            d, high = DIMENSIONS[(i + 2 * j) % len(DIMENSIONS)], HIGHS[j % 2]
            made.append(case(SEED + 10 * i + j, kind, d, high, COUNT, TRAJECTORIES))
    return made


def scores(case: Case, end: Tensor) -> Tensor:
    """RMS and median of each mixture, `(2, M)`."""
    each = case.errors(end.double().view(case.start.shape))
    each = torch.where(torch.isfinite(each), each, torch.inf)
    return torch.stack([each.mean(1), each.median(1).values]).sqrt()


def of_plan(case: Case, plan: Plan) -> Tensor:
    model = Flat(case)
    return scores(case, run(plan, model, case.start.flatten(0, 1)))


def measure_peers() -> None:
    from peers.problems import Counted, TooManyError
    from peers.samplers import PACKAGES, quiet, shortlisted

    settings = [s for package in PACKAGES for s in shortlisted(package, False)]
    stored: list[dict[str, list[list[float]]]] = []
    begin = time.monotonic()
    for one in problems():
        best = {n: torch.full((2, COUNT), torch.inf, dtype=torch.float64) for n in BUDGETS}
        x = one.start.flatten(0, 1)
        for n in BUDGETS:
            for setting in settings:
                try:
                    with quiet():
                        end = setting.run(Counted(Flat(one), n), x, n, one.mixtures.high)
                except (TooManyError, ValueError, RuntimeError, IndexError):
                    continue
                best[n] = torch.minimum(best[n], scores(one, end))
        stored.append({str(n): v.tolist() for n, v in best.items()})
        print(
            f"{time.monotonic() - begin:6.0f} s  {one.mixtures.kind}, {one.mixtures.dimensions} dimensions", flush=True
        )
        STORED.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


def compare() -> None:
    """Geometric means over the problems of our errors over the peers' best, and how many problems are led."""
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    every = problems()
    for n in BUDGETS:
        rows = []
        for one, peers in zip(every, stored, strict=True):
            plan = default(n, sigma_max=one.mixtures.high, dimensions=one.mixtures.dimensions)
            rows.append(of_plan(one, plan) / torch.tensor(peers[str(n)], dtype=torch.float64))
        ratio = torch.stack(rows)
        low, high = (torch.tensor([near(one.mixtures.dimensions) for one in every]) for near in (_few, _many))
        for where, of in (("all", torch.ones_like(low)), ("to 8 dimensions", low), ("from 64 dimensions", high)):
            rms, median = ratio[of].unbind(1)
            print(
                f"{n:3d} evaluations, {where}: ours over the best peer's, RMS {_mean(rms):.2f} (at most 1 in "
                f"{_share(rms <= 1):.0%}), median {_mean(median):.2f} (at most 2/3 in {_share(median <= 2 / 3):.0%})"
            )


def _few(dimensions: int) -> bool:
    return dimensions <= 8


def _many(dimensions: int) -> bool:
    return dimensions >= 64


def _mean(ratio: Tensor) -> float:
    return float(ratio.log().mean().exp())


def _share(led: Tensor) -> float:
    return float(led.double().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.ours:
        measure_peers()
    compare()


if __name__ == "__main__":
    main()
