"""Lesson 1: score matching without the partition function, and what its divergence does not see."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from parts import COLOURS, F64, Check, Table, axes, doubles, field, gaussian, hermite, line, modes
from torch import Tensor

from scorefield import closed_form, objectives
from scorefield.analytic import Gaussian, GaussianMixture
from scorefield.core import Level, StaticScore
from scorefield.explorer.queries.laws import PRESETS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHAPE = (1.0, 0.1)  # the model: N(0, v diag(SHAPE)); the data: N(0, I)


def kl(p: Gaussian, q: Gaussian, level: Level | None = None) -> float:
    """`E_p[log p - log q]` at a noise level, exact."""
    at = p if level is None else Gaussian(p.mean, p.covariance + level.sigma**2 * torch.eye(len(p.mean), dtype=F64))
    x, mass = hermite(at)
    return float(mass @ (p.log_density(x, level) - q.log_density(x, level)))


def fisher(p: Gaussian, q: Gaussian, level: Level | None = None) -> float:
    """`E_p|score_q - score_p|^2 / 2` at a noise level, exact: the mean of `objectives.explicit`."""
    at = p if level is None else Gaussian(p.mean, p.covariance + level.sigma**2 * torch.eye(len(p.mean), dtype=F64))
    x, mass = hermite(at)
    return float(mass @ objectives.explicit(lambda y: q.score(y, level), x, lambda y: p.score(y, level)))


def best_scales(shape: tuple[float, ...] = SHAPE, variance: float = 1.0) -> tuple[float, float]:
    """The v that score matching chooses, by the library's closed form, and the one of maximum likelihood."""
    d = len(shape)
    x, mass = hermite(gaussian([0.0] * d, [variance] * d))

    def statistics(y: Tensor) -> Tensor:
        return -(y.square() / doubles(*shape)).sum(1, keepdim=True) / 2

    fit = closed_form.exponential_family(x, statistics, weights=mass)
    return 1 / float(fit.theta), float(mass @ -statistics(x)[:, 0]) * 2 / d


def model(v: float) -> Gaussian:
    return gaussian([0.0, 0.0], [v * s for s in SHAPE])


def integrated(v: float, sigma_max: float = 1e3, count: int = 4001) -> float:
    """`1/2 int g^2 E|score error|^2 dt` from sigma_max to 0; `g^2 dt = 2 sigma dsigma` where alpha = 1."""
    data, at = gaussian([0.0, 0.0], [1.0, 1.0]), torch.linspace(-8, math.log(sigma_max), count, dtype=F64)
    sigmas = at.exp()
    each = doubles(*(2 * fisher(data, model(v), Level(1.0, float(s))) for s in sigmas))
    return float(torch.trapezoid(each * sigmas**2, at))


def mixtures(distance: float, sigma: float = 0.0) -> tuple[float, float]:
    """KL and Fisher divergence of weights 0.5 and 0.9 of the same two modes at +-distance, at a noise level."""
    p, q = modes(0.5, distance), modes(0.9, distance)
    level = Level(1.0, sigma)
    x, mass = line(p, level)
    difference = p.log_density(x, level) - q.log_density(x, level)
    return float(mass @ difference), float(mass @ objectives.explicit(_at(q, level), x, _at(p, level)))


def _at(law: GaussianMixture, level: Level) -> StaticScore:
    return lambda x: law.score(x, level)


def values() -> dict[str, float]:
    data = gaussian([0.0, 0.0], [1.0, 1.0])
    sm, ml = best_scales()
    found = {"v_sm": sm, "v_ml": ml}
    for name, v in (("sm", sm), ("ml", ml)):
        found |= {f"kl_{name}": kl(data, model(v)), f"fisher_{name}": fisher(data, model(v))}
        found |= {f"integral_{name}": integrated(v, count=401), f"rest_{name}": kl(data, model(v), Level(1.0, 1e3))}
    found["kl_limit"] = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    found["fisher_6"], found["fisher_noisy"] = mixtures(6.0)[1], mixtures(6.0, 6.0)[1]
    return found


def tables() -> dict[str, Table]:
    rows = []
    for distance in (1.0, 2.0, 3.0, 4.0, 6.0):
        both = mixtures(distance)
        noisy = mixtures(distance, distance)[1]
        rows.append([f"{distance:.0f}", f"{both[0]:.4f}", f"{both[1]:.2e}", f"{noisy:.2e}"])
    return {"modes": (["modes at ±", "KL", "Fisher", "Fisher, noise as wide as the distance"], rows)}


def figures() -> dict[str, Figure]:
    data = gaussian([0.0, 0.0], [1.0, 1.0])
    figure, (left, right) = axes(2)
    v = torch.linspace(2, 20, 60, dtype=F64).tolist()
    for divergence, colour, label, best in (
        (kl, COLOURS[0], "KL", best_scales()[1]),
        (fisher, COLOURS[1], "Fisher", best_scales()[0]),
    ):
        left.plot(v, [divergence(data, model(s)) for s in v], color=colour, label=label)
        left.plot([best], [divergence(data, model(best))], "o", color=colour)
    left.set(yscale="log", xlabel="v", title="one family, two best members")
    left.legend(frameon=False)
    distance = torch.linspace(0.5, 6, 40).tolist()
    right.plot(distance, [mixtures(m)[0] for m in distance], color=COLOURS[0], label="KL")
    right.plot(distance, [mixtures(m)[1] for m in distance], color=COLOURS[1], label="Fisher")
    right.set(yscale="log", ylim=(1e-9, 2), xlabel="modes at ±", title="weights 0.5 against 0.9")
    right.legend(frameon=False)
    live, panels = axes(2, width=3.6, height=3.8)
    for ax, sigma in zip(panels, (0.1, 2.0), strict=True):
        field(ax, PRESETS["unequal weights"], Level(1.0, sigma))
    return {"divergences": figure, "field": live}


def identities() -> list[Check]:
    """KL falls with the noise at the rate of the Fisher divergence: `dKL / dsigma = -2 sigma F`."""
    step = 1e-4
    slope = (mixtures(2.0, 1.3 + step)[0] - mixtures(2.0, 1.3 - step)[0]) / (2 * step)
    return [Check("de Bruijn", -2 * 1.3 * mixtures(2.0, 1.3)[1], slope)]


def exercise_1() -> list[Check]:
    """The two scales of N(0, v diag(1, 0.5)) on data N(0, I)."""
    sm, ml = best_scales((1.0, 0.5))
    return [Check("ex1_sm", (1 + 4) / (1 + 2), sm), Check("ex1_ml", (1 + 2) / 2, ml)]


def exercise_2() -> list[Check]:
    """Both divergences of N(0, 1) from N(1, 1), and of the same data in units a tenth as large."""
    one, ten = (gaussian([0.0], [s * s]) for s in (1.0, 10.0))
    other, others = (gaussian([s], [s * s]) for s in (1.0, 10.0))
    return [
        Check("ex2_kl", 0.5, kl(one, other)),
        Check("ex2_kl_10", 0.5, kl(ten, others)),
        Check("ex2_fisher", 0.5, fisher(one, other)),
        Check("ex2_fisher_10", 0.005, fisher(ten, others)),
    ]


def exercise_3() -> list[Check]:
    """Two modes far apart, whose true weights are 0.5 and 0.5, the model's 0.8 and 0.2."""
    p, q = modes(0.5, 12.0), modes(0.8, 12.0)
    x, mass = line(p)
    by_library = float(mass @ (p.log_density(x) - q.log_density(x)))
    return [
        Check("ex3_kl", math.log(0.5 / math.sqrt(0.8 * 0.2)), by_library),
        Check("ex3_fisher", 0.0, float(mass @ objectives.explicit(q.score, x, p.score))),
    ]


def exercises() -> dict[str, list[Check]]:
    return {"1": exercise_1(), "2": exercise_2(), "3": exercise_3()}
