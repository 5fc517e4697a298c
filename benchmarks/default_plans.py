"""Make the table behind `plans.default`: one plan for every budget, fitted to many random mixtures at once.

    python benchmarks/default_plans.py 5 10 20      # budgets; without any: all of the table; up to a minute each

Levels and coefficients are those of a calibration (`fit_rows`, `search_levels`) whose trajectories come from 32 random
mixtures with the exact model, each standardised, from sigma = 80 to 0. The score is the geometric mean, over mixtures,
of RMS and median error. A plan enters the table when it has less error than the method of `plans.default` on 16 other
mixtures, in RMS and median.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import torch
from default_plan import HIGH, LOW, mixture

from scorefield.plans import Plan, run
from scorefield.plans.default import method, packed, spread
from scorefield.plans.rowfit import Fit, Group, fit_rows
from scorefield.plans.search import mean_score, search_levels
from scorefield.plans.truth import Errors, follow

TABLE = Path(__file__).parent.parent / "src/scorefield/plans/default_plans.json"
BUDGETS = range(3, 9)  # beyond them one plan for all models gains nothing on the method
FITS = 70
HOW = Fit(cut=4.0)


def group(seed: int, count: int) -> Group:
    """Accurate trajectories of one mixture."""
    model = mixture(seed)
    draw = torch.Generator().manual_seed(seed)
    x = math.hypot(1.0, HIGH) * torch.randn(count, model.means.shape[1], generator=draw, dtype=torch.float64)
    return Group(model, follow(model, x, spread(128, HIGH, LOW, 0.5, 0.6), 1.0))


def judge(plan: Plan, groups: list[Group]) -> tuple[float, float, float]:
    """Geometric means over mixtures of the score, the RMS and the median error."""
    each = [g.truth.errors(run(plan, g.model, g.truth.start)) for g in groups]
    errors = [Errors.of(e) for e in each]
    rms, median = (math.exp(sum(math.log(v) for v in values) / len(values)) for values in zip(*errors, strict=True))
    return mean_score(each), rms, median


def main() -> None:
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    fit, held = [group(seed, 64) for seed in range(32)], [group(seed, 64) for seed in range(100, 116)]
    small = [g.part(24) for g in fit]
    for n in [int(v) for v in sys.argv[1:]] or BUDGETS:
        begin = time.time()
        untuned = method(n, 1.0, LOW, HIGH)
        found = search_levels(small, untuned, 1.0, LOW, HIGH, HOW, FITS * n * 24 * len(fit))
        tried = [fit_rows(fit, f.base, HOW) for f in found[:3]]
        best = min(tried, key=lambda t: mean_score(t.errors)).plan
        old, new = judge(untuned, held), judge(best, held)
        print(
            f"{n:3d} evaluations, other mixtures: untuned RMS {old[1]:.2e}, median {old[2]:.2e}; fitted {new[1]:.2e}, "
            f"{new[2]:.2e}; {time.time() - begin:.0f} s",
            flush=True,
        )
        if new[1] < old[1] and new[2] < old[2]:
            table[str(n)] = packed(best)
            TABLE.write_text(json.dumps(dict(sorted(table.items(), key=lambda item: int(item[0])))) + "\n")


if __name__ == "__main__":
    main()
