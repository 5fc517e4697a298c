"""The log-density of a point by the ODE, a point to its latent and back, and guidance on a mixture of classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch

from scorefield import plans
from scorefield.analytic import Empirical, GaussianMixture
from scorefield.conditioning import guidance as guiding
from scorefield.conditioning.editing import Route, invert, regenerate
from scorefield.core import Level
from scorefield.explorer.queries.field import Source, chosen
from scorefield.explorer.queries.laws import check_range, components, dtype_of, shares, spread
from scorefield.explorer.queries.params import Checked, Law, Pair, Particles, Seed, Within, law_of
from scorefield.explorer.queries.pauses import paced
from scorefield.likelihood import LogDensity, log_density
from scorefield.records.trained import TrainedModel

if TYPE_CHECKING:
    from scorefield.explorer.session import Session

_PROBES = 8  # with fewer an interval covers less than it says


@dataclass(frozen=True)
class Point(Source, Checked):
    """A point whose log-density is requested.

    Args:
        x: the point.
        sigma: noise on the data; for a run 0 stands for the least at which it answers.
        divergence: how the trace is taken.
        probes: random directions, where it is random.
        tolerance: of the solver, in nats.
        evaluations: instead of a tolerance, for a first answer while a slider moves.
        seed: of the probes.
    """

    x: Pair = (0.0, 0.0)
    sigma: Annotated[float, Within(0, 1000)] = 0.0
    divergence: Literal["exact", "hutchinson", "hutch++"] = "exact"
    probes: Annotated[int, Within(1, 256)] = 16
    tolerance: Annotated[float, Within(1e-10, 0.1)] = 1e-5
    evaluations: Annotated[int, Within(13, 500)] | None = None
    seed: Seed = 0


def point(p: Point, session: Session) -> dict[str, Any]:
    """`value`, `standard_error`, `solver_error`, `evaluations`, and `exact`, None for a run; `interval` `(2,)` at 95 %,
    or None and `no_interval`, why it would not hold the value in 95 of 100 answers.
    """
    model = chosen(p, session)
    sigma = max(p.sigma, float(getattr(model, "sigma_min", 0.0)))
    check_range(model, sigma)
    x, level = torch.tensor([p.x], dtype=torch.float64), Level(1.0, sigma)
    # the model of a table has its moments itself
    run = session.run if p.run and isinstance(session.run, TrainedModel) else None
    r = log_density(
        paced(model),
        x,
        divergence=p.divergence,
        probes=p.probes,
        tolerance=p.tolerance,
        evaluations=p.evaluations,
        level=level,
        mean=None if run is None else run.mean,
        covariance=None if run is None else run.covariance,
        seed=p.seed,
    )
    why = _no_interval(p, r)
    return {
        "value": float(r.value[0]),
        "standard_error": float(r.standard_error[0]),
        "interval": None if why else r.interval[0].tolist(),
        "no_interval": why,
        "solver_error": float(r.solver_error[0]),
        "evaluations": int(r.evaluations[0]),
        "exact": float(model.log_density(x, level)) if isinstance(model, GaussianMixture | Empirical) else None,
        "sigma": sigma,
    }


def _no_interval(p: Point, r: LogDensity) -> str | None:
    """Why an answer has no interval at 95 %; None where it has one.

    The interval is of the random divergence alone. It needs a solver's error that is small beside it, and probes enough
    for Student's law: in the plane it holds the value in 88 of 100 answers of 2 probes, 92 of 4, 95 of 8.
    """
    if p.evaluations is not None:
        return "not yet: few evaluations"
    if float(r.standard_error[0]) == 0.0:
        return "none: the trace is exact"
    if p.probes < _PROBES:
        return f"none: fewer than {_PROBES} probes"
    if float(r.solver_error[0]) > float(r.standard_error[0]) / 4:
        return "none: the solver’s error is not small"
    return None


@dataclass(frozen=True)
class Latent(Source, Checked):
    """A point to be carried to its latent and back.

    Args:
        x: the point.
        steps: evaluations each way.
        refinements: of the latent, each two ways more.
    """

    x: Pair = (0.0, 0.0)
    steps: Annotated[int, Within(5, 200)] = 100
    refinements: Annotated[int, Within(0, 5)] = 0


@torch.no_grad()
def latent(p: Latent, session: Session) -> dict[str, Any]:
    """`latent` `(2,)` at `sigma_max`; `normal`, it over sigma_max; `back` `(2,)`; `error`, the distance to x; the
    `path` up `(k + 1, 2)` with its `sigma` `(k + 1,)`.
    """
    model = paced(chosen(p, session))
    x = torch.tensor([p.x], dtype=dtype_of(model))
    route = Route(p.steps)
    up = route.up(model)
    path = plans.run(up, model, x, trajectory=True)
    z = invert(model, x, route, refinements=p.refinements) if p.refinements else path[-1]
    back = regenerate(model, z, route)
    sigma_max = float(up.levels.sigma[-1])
    return {
        "latent": z[0].tolist(),
        "normal": (z[0] / sigma_max).tolist(),
        "sigma_max": sigma_max,
        "back": back[0].tolist(),
        "error": float((back - x).norm()),
        "path": path[:, 0].float().numpy(),
        "sigma": up.levels.sigma.numpy(),
    }


@dataclass(frozen=True)
class Guidance(Checked):
    """Guidance towards one mode of a mixture, its class.

    Args:
        mixture: every mode is a class.
        label: the class, from 0.
        scale: 0 is no class, 1 the class, more goes beyond.
        n: samples.
        steps: rows of the plan.
        seed: of the start.
    """

    mixture: Law = "two modes"
    label: Annotated[int, Within(0, 15)] = 0
    scale: Annotated[float, Within(-10, 20)] = 2.0
    n: Particles = 1000
    steps: Annotated[int, Within(2, 200)] = 30
    seed: Seed = 0


@torch.no_grad()
def guidance(p: Guidance, session: Session) -> dict[str, Any]:
    """`samples` `(n, 2)` with their `mean`, `covariance` and `mode_weights`; `exact` {mean, covariance} of the class;
    `evaluations` of models.
    """
    law = law_of(p.mixture)
    parts = components(law)
    if p.label >= len(parts):
        raise ValueError(f"label must be from 0 to {len(parts) - 1} for this mixture, got {p.label}.")
    guided = guiding.autoguidance(paced(parts[p.label]), paced(law), p.scale)
    plan = plans.default(p.steps, spread(law), dimensions=2)
    start = plan.start(p.n, (2,), p.seed, law.mean, spread(law), dtype=torch.float64)
    x = plans.run(plan, guided, start, seed=p.seed)
    return {
        "samples": x.float().numpy(),
        "mean": x.mean(0).tolist(),
        "covariance": torch.cov(x.T, correction=0).tolist(),
        "mode_weights": shares(law, x, Level(1.0, 0.0)).tolist(),
        "exact": {"mean": parts[p.label].mean.tolist(), "covariance": parts[p.label].covariance.tolist()},
        "evaluations": guided.evaluations(plan),
    }
