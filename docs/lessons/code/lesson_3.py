"""Lesson 3: denoising score matching, and Tweedie's formula."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from parts import COLOURS, F64, Check, Table, axes, doubles, field, gaussian, hermite, least, line, modes

from scorefield import objectives
from scorefield.analytic import Empirical
from scorefield.core import Level
from scorefield.explorer.queries.laws import PRESETS
from scorefield.numerics.divergence import jacobian_trace
from scorefield.numerics.random import normal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NORMAL = gaussian([0.0], [1.0])
COINS = Empirical(doubles(-1.0, 1.0)[:, None])  # the data are -1 or +1


def denoising(k: float, sigma: float) -> float:
    """The denoising loss of `score(x) = -k x` on N(0, 1), exact: an average over x0 and eps together."""
    points, mass = hermite(gaussian([0.0, 0.0], [1.0, 1.0]))
    x0, eps = points[:, :1], points[:, 1:]
    return float(mass @ objectives.denoising(lambda x: -k * x, x0, sigma, noise=eps))


def best_slope(sigma: float) -> float:
    """The k of the least denoising loss."""
    return least(lambda k: denoising(k, sigma))


def coin_view(x: float, sigma: float) -> dict[str, float]:
    """What the exact model of the coins says at x."""
    level, point = Level(1.0, sigma), doubles(x)[:, None]
    estimate = COINS(point, level)
    return {"x0": float(estimate.x0), "eps": float(estimate.eps), "score": float(estimate.score(level))}


def averaged(x: float, sigma: float) -> float:
    """The mean of the conditional scores `-(x - x0) / sigma^2` over the posterior of x0 given x."""
    logits = doubles(*(-((x - m) ** 2) / (2 * sigma**2) for m in (-1.0, 1.0)))
    return float(logits.softmax(0) @ doubles(*(-(x - m) / sigma**2 for m in (-1.0, 1.0))))


def values() -> dict[str, float]:
    view = coin_view(0.3, 0.7)
    return {
        "x0": view["x0"],
        "eps": view["eps"],
        "score": view["score"],
        "averaged": averaged(0.3, 0.7),
        "tweedie": 0.3 + 0.7**2 * view["score"],
        "score_left": -(0.3 + 1) / 0.7**2,
        "score_right": -(0.3 - 1) / 0.7**2,
    }


def tables() -> dict[str, Table]:
    rows = []
    for sigma in (0.05, 0.1, 0.3, 1.0, 3.0):
        k, floor = best_slope(sigma), objectives.denoising_floor(NORMAL, sigma).value
        losses = denoising(k, sigma), floor, denoising(0.0, sigma)
        rows.append([f"{sigma:g}", f"{k:.4f}", *(f"{v:.4f}" for v in losses)])
    return {"slopes": (["σ", "best k", "loss there", "floor", "loss of k = 0"], rows)}


def figures() -> dict[str, Figure]:
    figure, (left, right) = axes(2)
    x = torch.linspace(-2.5, 2.5, 300, dtype=F64)[:, None]
    for sigma, colour in zip((0.3, 0.5, 0.8, 1.5), COLOURS, strict=False):
        level = Level(1.0, sigma)
        left.plot(x[:, 0], COINS(x, level).x0[:, 0], color=colour, label=f"σ = {sigma}")
        right.plot(x[:, 0], COINS.score(x, level)[:, 0], color=colour)
    left.set(xlabel="x", title="E[x0 | x]")
    right.set(xlabel="x", title="score", ylim=(-6, 6))
    right.axhline(0, color="#999", linewidth=0.8)
    left.legend(frameon=False)
    live, (ax,) = axes(1, width=4.2, height=4.0)
    law, level = PRESETS["moons"], Level(1.0, 0.5)
    field(ax, law, level, reach=4.0)
    clean, at = doubles(1.5, 0.0), doubles(1.5, 0.75)
    ax.plot(*level.noised(clean, normal(200, (2,), 0, "lesson", dtype=F64)).T, ".", color=COLOURS[1], markersize=2)
    many = law.sample(4000, seed=0).double()
    likely = (
        (-(many - at).square().sum(1) / (2 * 0.5**2))
        .softmax(0)
        .multinomial(12, generator=torch.Generator().manual_seed(0))
    )
    for x0 in many[likely]:
        ax.annotate("", x0.tolist(), at.tolist(), arrowprops={"arrowstyle": "->", "color": COLOURS[4], "lw": 0.8})
    mean = law(at[None], level).x0[0]
    ax.annotate("", mean.tolist(), at.tolist(), arrowprops={"arrowstyle": "->", "color": COLOURS[1], "lw": 2})
    ax.plot(*clean, "o", color=COLOURS[1])
    ax.plot(*at, "ko")
    return {"tweedie": figure, "cloud": live}


def identities() -> list[Check]:
    """Vincent's equivalence for a score that is not the best one, and Tweedie's formulas, at alpha < 1."""
    law, level, sigma = modes(0.3, 1.5, 0.25), Level(0.8, 0.6), 0.6
    clean, weights = line(law, count=301)
    nodes, chances = hermite(gaussian([0.0], [1.0]), count=60)
    x0, eps = clean.repeat_interleave(60, 0), nodes.repeat(301, 1)
    both, noisy = weights.repeat_interleave(60) * chances.repeat(301), level.noised(x0, eps)
    guess = torch.sin(noisy)
    loss = both @ (guess + eps / sigma).square()[:, 0] / 2
    explicit = both @ objectives.explicit(torch.sin, noisy, lambda x: law.score(x, level))
    exact = law.score(noisy, level)
    floor = both @ (exact + eps / sigma).square()[:, 0] / 2
    at = doubles(0.4)[:, None]
    score, slope = jacobian_trace(lambda x: law.score(x, level), at)
    posterior = weights * torch.exp(-((0.4 - 0.8 * clean[:, 0]) ** 2) / (2 * sigma**2))
    posterior = posterior / posterior.sum()
    mean = float(posterior @ clean[:, 0])
    variance = float(posterior @ (clean[:, 0] - mean) ** 2)
    return [
        Check("Vincent", float(explicit + floor), float(loss)),
        Check("Tweedie", 0.8 * mean, float(at + sigma**2 * score)),
        Check("second order", 0.8**2 * variance, sigma**2 * (1 + sigma**2 * float(slope))),
    ]


def exercise_1() -> list[Check]:
    """Data N(0, 4), noise 1, the noisy point 5: all three views."""
    level = Level(1.0, 1.0)
    estimate = gaussian([0.0], [4.0])(doubles(5.0)[:, None], level)
    return [
        Check("ex1_x0", 4.0, float(estimate.x0)),
        Check("ex1_eps", 1.0, float(estimate.eps)),
        Check("ex1_score", -1.0, float(estimate.score(level))),
    ]


def exercise_2() -> list[Check]:
    """The least denoising loss on N(0, 1) at sigma = 0.5, and what share of it is the zero field's loss."""
    floor = objectives.denoising_floor(NORMAL, 0.5).value
    share = floor / denoising(0.0, 0.5)
    return [Check("ex2_floor", 1 / (2 * 0.25 * 1.25), floor), Check("ex2_share", 0.8, share)]


def exercise_3() -> list[Check]:
    """The variance of x0 given x = 0 on the coins at sigma = 0.7, from the score's derivative."""
    sigma, x = 0.7, torch.zeros(1, 1, dtype=F64)
    slope = jacobian_trace(lambda y: COINS.score(y, Level(1.0, sigma)), x)[1]
    return [
        Check("ex3_variance", 1 - math.tanh(0.0) ** 2, sigma**2 * (1 + sigma**2 * float(slope))),
        Check("ex3_slope", (1 / 0.49 - 1) / 0.49, float(slope)),
    ]


def exercises() -> dict[str, list[Check]]:
    return {"1": exercise_1(), "2": exercise_2(), "3": exercise_3()}
