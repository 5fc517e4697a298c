"""Are my steps enough? Error against the number of evaluations, for one model."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.core import Model
from scorefield.plans.calibrate import judged_on
from scorefield.plans.default import default
from scorefield.plans.known import about, group_of
from scorefield.plans.plan import Plan
from scorefield.plans.truth import Counted, Errors

VISIBLE = 0.01
"""An error in units of the data's RMS below which nobody sees a difference."""


@dataclass(frozen=True, eq=False)
class Enough:
    """How the error of a model's samples falls with the number of evaluations.

    Errors are distances of end points from the converged probability flow of the same model over the RMS of these: what
    more steps would still change. How far the model itself is from the data is another question.

    Args:
        evaluations: of each plan, rising.
        errors: of each plan.
        trajectories: how many the errors are measured on.
        visible: the error below which a difference counts as none.
        cost: single-sample evaluations that this took.
    """

    evaluations: tuple[int, ...]
    errors: tuple[Errors, ...]
    trajectories: int
    visible: float
    cost: int

    @property
    def steps(self) -> int | None:
        """The fewest evaluations from which on the median error is invisible; None where none of these are enough."""
        found = None
        for n, e in reversed(list(zip(self.evaluations, self.errors, strict=True))):
            if e.median > self.visible:
                break
            found = n
        return found

    def __str__(self) -> str:
        lines = ["evaluations  RMS error  median error"]
        for n, e in zip(self.evaluations, self.errors, strict=True):
            lines.append(f"{n:11d}  {e.rms:9.2e}  {e.median:12.2e}")
        where = f"{self.visible:.2g} of the data's RMS in the median"
        if self.steps is None:
            lines.append(f"not enough: even {self.evaluations[-1]} evaluations leave more than {where}.")
        else:
            lines.append(f"{self.steps} evaluations are enough: from there on, more change less than {where}.")
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
        axes.axhline(self.visible, color="k", ls="--", lw=1, label="visible")
        axes.set(xscale="log", yscale="log", xlabel="evaluations of the model", ylabel="error over the data's RMS")
        axes.set_xticks(self.evaluations, [str(n) for n in self.evaluations])
        axes.minorticks_off()
        axes.legend(frameon=False)
        out = io.BytesIO()
        figure.savefig(out, format="png")
        return out.getvalue()


def enough(
    model: Model,
    shape: Sequence[int] | None = None,
    evaluations: Sequence[int] = (5, 10, 20, 35, 50),
    *,
    plan: Callable[[int], Plan] | None = None,
    sigma_max: float | None = None,
    sigma_min: float | None = None,
    seed: int = 0,
    trajectories: int = 128,
    visible: float = VISIBLE,
    condition: Tensor | None = None,
    mean: float | Tensor | None = None,
    std: float | None = None,
    batch: int = 1024,
) -> Enough:
    """The error of a model's samples against the number of evaluations, beside an accurate solution of its flow.

    Args:
        model: any: exact, trained, guided.
        shape: of a record; default: that of an exact model.
        evaluations: budgets to try.
        plan: number of evaluations -> deterministic plan, such as `TrainedModel.plan`; default: `plans.default`.
        sigma_max: where sampling starts; default: the model's, or 80 std.
        sigma_min: least sigma / alpha at which the model is asked; default: the model's, or 0.002 std.
        seed: of the trajectories.
        trajectories: how many; each costs 128 evaluations and those of the plans.
        visible: the error, over the data's RMS, that counts as none.
        condition: `(n, ...)`; trajectories take them in turn.
        mean: of the data; default: an exact model's, or 0.
        std: of the data; default: the model's.
        batch: most samples in the model at once.

    Example:
        >>> import torch
        >>> from scorefield.analytic import GaussianMixture
        >>> gm = GaussianMixture(torch.tensor([0.3, 0.7]), torch.tensor([[-1.0], [1.0]]), torch.full((2, 1, 1), 0.05))
        >>> enough(gm, evaluations=(5, 10, 20), trajectories=32).steps
        10
    """
    budgets = tuple(sorted(set(evaluations)))
    if not budgets or budgets[0] < 1 or trajectories < 2 or not (math.isfinite(visible) and visible > 0):
        raise ValueError(
            f"enough needs evaluations >= 1, trajectories >= 2 and visible > 0, got {list(evaluations)}, "
            f"{trajectories} and {visible}."
        )
    asked = Counted(model, batch)
    data = about(asked, shape, sigma_max, sigma_min, mean, std, condition, seed)
    tried = [plan(n) if plan is not None else default(n, data.std, data.low, data.high) for n in budgets]
    first = {tuple(float(v) for v in p.levels[0]) for p in tried}
    if len(first) > 1 or any(p.stochastic for p in tried):
        raise ValueError(
            "enough compares deterministic plans that start at one noise level; stochastic samples have no error of "
            "their own."
        )
    with torch.no_grad():
        group = group_of(asked, data, tried[0], trajectories, 0, seed, condition)
        errors = tuple(judged_on(p, group).errors for p in tried)
    return Enough(budgets, errors, trajectories, visible, asked.asked)
