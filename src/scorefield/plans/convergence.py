"""Convergence of samples in the number of evaluations, for one model."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.core import Model
from scorefield.plans.candidates import evaluate_plan
from scorefield.plans.default import default
from scorefield.plans.plan import Plan
from scorefield.plans.trajectories import CountingModel, Errors
from scorefield.plans.trajectory_set import draw_trajectories, summarise_data

TOLERANCE = 0.01
"""An error in units of the data's RMS below which differences are invisible."""


@dataclass(frozen=True, eq=False)
class Convergence:
    """How the error of a model's samples falls with the number of evaluations.

    Errors are distances of end points from the converged probability flow of the same model over the RMS of these: what
    more steps would still change. How far the model itself is from the data is not measured.

    Args:
        evaluations: of each plan, rising.
        errors: of each plan.
        trajectories: how many the errors are measured on.
        tolerance: the error below which samples count as converged.
        cost: single-sample evaluations that this took.
    """

    evaluations: tuple[int, ...]
    errors: tuple[Errors, ...]
    trajectories: int
    tolerance: float
    cost: int

    @property
    def steps(self) -> int | None:
        """The fewest evaluations from which on the median error is below the tolerance; None where none reaches it."""
        found = None
        for n, e in reversed(list(zip(self.evaluations, self.errors, strict=True))):
            if e.median > self.tolerance:
                break
            found = n
        return found

    def __str__(self) -> str:
        lines = ["evaluations  RMS error  median error"]
        for n, e in zip(self.evaluations, self.errors, strict=True):
            lines.append(f"{n:11d}  {e.rms:9.2e}  {e.median:12.2e}")
        where = f"{self.tolerance:.2g} of the data's RMS in the median"
        if self.steps is None:
            lines.append(f"not converged: {self.evaluations[-1]} evaluations leave more than {where}.")
        else:
            lines.append(f"{self.steps} evaluations are enough: more of them change less than {where}.")
        return "\n".join(lines)

    def png(self) -> bytes:
        """The table as a picture."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.8, 3.4), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for name, values in (("RMS", [e.rms for e in self.errors]), ("median", [e.median for e in self.errors])):
            axes.plot(self.evaluations, values, marker="o", ms=3, label=name)
        axes.axhline(self.tolerance, color="k", ls="--", lw=1, label="tolerance")
        axes.set(xscale="log", yscale="log", xlabel="evaluations of the model", ylabel="error over the data's RMS")
        axes.set_xticks(self.evaluations, [str(n) for n in self.evaluations])
        axes.minorticks_off()
        axes.legend(frameon=False)
        out = io.BytesIO()
        figure.savefig(out, format="png")
        return out.getvalue()


def convergence(
    model: Model,
    shape: Sequence[int] | None = None,
    evaluations: Sequence[int] = (5, 10, 20, 35, 50),
    *,
    plan: Callable[[int], Plan] | None = None,
    sigma_max: float | None = None,
    sigma_min: float | None = None,
    seed: int = 0,
    trajectories: int = 128,
    tolerance: float = TOLERANCE,
    condition: Tensor | None = None,
    mean: float | Tensor | None = None,
    std: float | None = None,
    batch: int = 1024,
) -> Convergence:
    """The error of a model's samples against the number of evaluations, against an accurate solution of its flow.

    Args:
        model: any: exact, trained, guided.
        shape: of a record; default: that of an exact model.
        evaluations: budgets to try.
        plan: number of evaluations -> deterministic plan, such as `TrainedModel.plan`; default: `plans.default`.
        sigma_max: where sampling starts; default: the model's, or 80 std.
        sigma_min: least sigma / alpha at which the model is evaluated; default: the model's, or 0.002 std.
        seed: of the trajectories.
        trajectories: how many; each costs 128 evaluations and those of the plans.
        tolerance: the error, over the data's RMS, below which samples count as converged.
        condition: `(n, ...)`; trajectories take them in turn.
        mean: of the data; default: an exact model's, or 0.
        std: of the data; default: the model's.
        batch: most samples in the model at once.

    Example:
        >>> import torch
        >>> from scorefield.analytic import GaussianMixture
        >>> gm = GaussianMixture(torch.tensor([0.3, 0.7]), torch.tensor([[-1.0], [1.0]]), torch.full((2, 1, 1), 0.05))
        >>> convergence(gm, evaluations=(5, 10, 20), trajectories=32).steps
        5
    """
    budgets = tuple(sorted(set(evaluations)))
    if not budgets or budgets[0] < 1 or trajectories < 2 or not (math.isfinite(tolerance) and tolerance > 0):
        raise ValueError(
            f"convergence needs evaluations >= 1, trajectories >= 2 and tolerance > 0, got {list(evaluations)}, "
            f"{trajectories} and {tolerance}."
        )
    counted = CountingModel(model, batch)
    data = summarise_data(counted, shape, sigma_max, sigma_min, mean, std, condition, seed)
    tried = [
        plan(n) if plan is not None else default(n, data.std, data.low, data.high, data.dimensions) for n in budgets
    ]
    first = {tuple(float(v) for v in p.levels[0]) for p in tried}
    if len(first) > 1 or any(p.stochastic for p in tried):
        raise ValueError(
            "convergence compares deterministic plans that start at one noise level; a stochastic sample has no end "
            "point to compare with."
        )
    with torch.no_grad():
        group = draw_trajectories(counted, data, tried[0], trajectories, 0, seed, condition)
        errors = tuple(evaluate_plan(p, group).errors for p in tried)
    return Convergence(budgets, errors, trajectories, tolerance, counted.evaluations)
