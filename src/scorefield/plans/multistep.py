"""Multistep plans, one evaluation per level: Adams in any variable, DPM-Solver++ and its SDE form, DEIS, UniPC."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from scorefield.core import Levels
from scorefield.plans.plan import Plan
from scorefield.plans.rows import Combination, Point, Rows, falling, points, ratio, shrink
from scorefield.plans.variables import ANGLE, LOG_EPS, LOG_X0, Variable, gauss, integrals, step

Nodes = list[tuple[int, Point]]
"""Past estimates: their rows and levels, the newest first."""


def adams(lv: Levels, order: int = 4, variable: Variable = ANGLE, scale: float = 1.0) -> Plan:
    """Adams and Bashforth with variable steps: past estimates as polynomials in a variable, integrated exactly.

    `w' = w + sum_j int L_j(u) (A'(u) x0_j + B'(u) eps_j) du`, L_j the Lagrange basis through the last `order` levels;
    the first rows build up from order 1, which costs their own small error (of the data's std over the first sigma).
    Order 1 is `ddim` in every variable. In eps this is k-diffusion's LMS, in log-SNR of eps DEIS (Zhang and Chen 2023).

    Args:
        lv: n + 1 levels, falling or rising: n evaluations.
        order: 1 to 5.
        variable: one of `scorefield.plans.VARIABLES`; default: the angle, regular at both ends.
        scale: the data's standard deviation, where the angle is 45 degrees.

    Example:
        >>> from scorefield import levels
        >>> adams(levels.karras(10), order=3)
        Plan(adams3(angle): 10 evaluations, order 3, sigma/alpha from 80 to 0, deterministic)
    """
    _check_order("adams", order, 5)
    grid = _scaled(points(lv, "adams"), scale)

    def step_by(nodes: Nodes, end: Point) -> Combination:
        k, start = nodes[0]
        return step(variable, Combination.of(k, start), start, end, nodes)

    return _unscaled(_multistep(grid, order, step_by, f"adams{order}({variable.name})", order), lv, scale)


def deis(lv: Levels, order: int = 3) -> Plan:
    """Exponential integrator with polynomials of eps in log-SNR (Zhang and Chen 2023; Lu and others 2022a).

    Args:
        lv: n + 1 levels: n evaluations. A step to sigma = 0 returns x0.
        order: 1 to 4.

    Example:
        >>> from scorefield import levels
        >>> deis(levels.karras(10)).order
        3
    """
    _check_order("deis", order, 4)
    return replace(adams(lv, order, LOG_EPS), name=f"deis{order}")


def dpmpp(lv: Levels, order: int = 2, eta: float = 0.0) -> Plan:
    """DPM-Solver++, multistep (Lu and others 2022b): polynomials of x0 in log-SNR; with eta > 0 its SDE form.

    `x' = (sigma' / sigma) q^eta x + alpha' (1 - q^(1 + eta)) D + sigma' sqrt(1 - q^(2 eta)) z`, with `q = exp(-h)` and
    h the step in log(alpha / sigma). Order 1: D = x0. Order 2: D = x0 + (x0 - x0_before) h / (2 h_before), their 2M.
    Order 3: the quadratic through three estimates, integrated exactly; the moments of its SDE form are of order 2.
    A step to sigma = 0 returns x0.

    Args:
        lv: n + 1 levels: n evaluations; rising as well as falling with eta = 0.
        order: 1, 2 or 3.
        eta: noise; 0 is the ODE, 1 the reverse SDE.

    Example:
        >>> from scorefield import levels
        >>> dpmpp(levels.karras(10), order=2, eta=1.0)
        Plan(dpmpp2(eta=1): 10 evaluations, order 2, sigma/alpha from 80 to 0, stochastic)
    """
    _check_order("dpmpp", order, 3)
    grid = points(lv, "dpmpp")
    if not 0 <= eta < math.inf:
        raise ValueError(f"plans.dpmpp(eta=...) must be >= 0 and finite, got {eta}.")
    if eta:
        falling(grid, "dpmpp", f"eta = {eta:g}")
    name, declared = (f"dpmpp{order}(eta={eta:g})", min(order, 2)) if eta else (f"dpmpp{order}", order)
    return _multistep(grid, order, lambda nodes, end: _dpmpp_step(nodes, end, eta), name, declared)


def _multistep(
    grid: list[Point], past: int, step_by: Callable[[Nodes, Point], Combination], name: str, order: int
) -> Plan:
    """A plan of one evaluation a level, each state from the last `past` estimates, the newest first."""
    rows = Rows()
    state: Combination | None = None
    nodes: Nodes = []
    for start, end in pairwise(grid):
        nodes = [(rows.evaluate(start, state), start), *nodes][:past]
        state = step_by(nodes, end)
    return rows.end(grid[-1], state or Combination(), name, order)


def _dpmpp_step(nodes: Nodes, end: Point, eta: float) -> Combination:
    k, start = nodes[0]
    q = shrink(start, end)
    kept = q**eta if eta else 1.0
    c = end[1] * math.sqrt(max(1 - kept * kept, 0.0))
    # the state holds alpha x0 already; together with D = x0 the row is alpha' x0 + sigma' q^eta eps + c z
    state = Combination({k: end[0]}, {k: end[1] * kept}, c)
    if not LOG_X0.regular(start, end):
        return state
    u = [LOG_X0.coordinate(*level) for _, level in nodes if LOG_X0.regular(level)]
    h = LOG_X0.coordinate(*end) - u[0]
    weight = -end[0] * math.expm1(-(1 + eta) * h)
    if len(u) == 2:
        slope = weight * h / (2 * (u[0] - u[1]))
        return state.plus(k, data=slope).plus(nodes[1][0], data=-slope)
    if len(u) == 3:
        return _dpmpp_quadratic(state, nodes, u, h, end[0], eta)
    return state


def _dpmpp_quadratic(
    state: Combination, nodes: Nodes, u: list[float], h: float, alpha: float, eta: float
) -> Combination:
    """Adds `alpha' int (1 + eta) exp(-(1 + eta)(h - t)) (D(t) - D(0)) dt`, D quadratic through three estimates."""
    x, w = gauss()
    t = h * x
    kernel = w * h * (1 + eta) * (-(1 + eta) * (h - t)).exp()
    places = [v - u[0] for v in u]
    for j in (1, 2):
        a, b = places[j], places[3 - j]
        share = alpha * float(kernel @ (t * (t - b))) / (a * (a - b))
        state = state.plus(nodes[j][0], data=share).plus(nodes[0][0], data=-share)
    return state


def unipc(
    lv: Levels,
    order: int = 2,
    variable: Variable = LOG_X0,
    scale: float = 1.0,
    eta: float = 0.0,
    noise_above: float = 0.0,
) -> Plan:
    """Predictor and corrector with one evaluation per level (UniPC: Zhao and others 2023), in any variable; or an SDE.

    The predictor is `adams`; once the estimate at the new level is there, the state is corrected by the polynomial
    through that one too (Adams and Moulton), which is one order better and costs nothing. Their free function B(h)
    cancels from order 3 on; here the coefficients are the exact integrals at every order.

    With eta > 0 a step goes further down, to `sqrt(sigma'^2 - c^2)`, and comes back with noise,
    `c = eta sigma' sqrt(1 - q^2)` as in `ddim`: a stochastic Adams method (SA-Solver: Xue and others 2023), of x0 alone
    where noise has come since the oldest estimate in use. Noise does least harm at high levels, where the estimates
    hardly depend on the state: `noise_above` spares the lower ones.

    Args:
        lv: n + 1 levels: n evaluations. In log-SNR a step to sigma = 0 returns x0.
        order: of the predictor, 1 to 4; the plan's order is one more, and 1 with noise.
        variable: default: log-SNR of x0, theirs.
        scale: as `adams`.
        eta: noise, from 0 (the ODE) to 1 (as much as `ancestral`).
        noise_above: only steps that arrive at sigma / alpha of at least this add noise.

    Example:
        >>> from scorefield import levels
        >>> unipc(levels.karras(10)).order
        3
        >>> unipc(levels.karras(10), eta=0.5, noise_above=1.0).stochastic
        True
    """
    _check_order("unipc", order, 4)
    given = points(lv, "unipc")
    if not (0 <= eta <= 1 and noise_above >= 0):
        raise ValueError(f"plans.unipc needs eta from 0 to 1 and noise_above >= 0, got {eta} and {noise_above}.")
    if eta:
        falling(given, "unipc", f"eta = {eta:g}")
    noise = [eta * _renewed(one, two) if eta and ratio(two) >= noise_above else 0.0 for one, two in pairwise(given)]
    grid = _scaled(given, scale)
    lows = [(alpha, math.sqrt((sigma - c) * (sigma + c))) for (alpha, sigma), c in zip(grid[1:], noise, strict=True)]
    rows = Rows()
    predicted: Combination | None = None
    nodes: Nodes = []
    clean = 0  # the first row since when no noise has come
    for i, (start, low) in enumerate(zip(grid, lows, strict=False)):
        k = rows.evaluate(start, predicted)
        clean = k if i and noise[i - 1] else clean
        before, nodes = nodes, [(k, start), *nodes]
        state = Combination.of(k, start)
        form = variable if nodes[-1][0] >= clean else _of_data(variable)
        if i and form.regular(grid[i - 1], start, lows[i - 1]):
            state = _corrected(form, state, grid[i - 1], lows[i - 1], before, nodes)
        nodes = nodes[:order]
        if not low[1]:
            nodes = [node for node in nodes if node[0] >= clean]
        form = variable if nodes[-1][0] >= clean else _of_data(variable)
        predicted = step(form, state, start, low, nodes).noised(noise[i])
    name = f"unipc{order}({variable.name}" + (f", eta={eta:g})" if eta else ")")
    return _unscaled(rows.end(grid[-1], predicted or Combination(), name, 1 if any(noise) else order + 1), lv, scale)


def _of_data(variable: Variable) -> Variable:
    """Polynomials of x0 alone in the same coordinate, for sigma > 0: eps holds noise that came on the way, x0 does not.

    `d(x / sigma) = x0 d(alpha / sigma)` along the probability flow.
    """

    def point(u: Tensor) -> tuple[Tensor, Tensor]:
        A, B = variable.point(u)
        return A / B, torch.ones_like(u)

    def rate(u: Tensor) -> tuple[Tensor, Tensor]:
        (A, B), (dA, dB) = variable.point(u), variable.rate(u)
        return (dA - A / B * dB) / B, torch.zeros_like(u)

    return Variable(f"{variable.name} of x0", variable.coordinate, lambda a, s: s, point, rate)


def _renewed(start: Point, end: Point) -> float:
    """The most noise that a step can bring anew: `sigma' sqrt(1 - q^2)`."""
    return end[1] * math.sqrt(1 - shrink(start, end) ** 2)


def _corrected(
    variable: Variable,
    state: Combination,
    start: Point,
    end: Point,
    before: Nodes,
    nodes: Nodes,
) -> Combination:
    """The evaluated state plus the difference of the integrals to an end with and without its own estimate."""
    r = variable.radius(*end)
    for use, sign in ((nodes, r), (before, -r)):
        use = [(k, level) for k, level in use if variable.regular(level)]
        data, noise = integrals(variable, [level for _, level in use], start, end)
        for (k, _), p, e in zip(use, data, noise, strict=True):
            state = state.plus(k, data=sign * p, noise=sign * e)
    return state


def _check_order(name: str, order: int, most: int) -> None:
    if isinstance(order, bool) or not isinstance(order, int) or not 1 <= order <= most:
        raise ValueError(f"plans.{name}(order=...) must be a whole number from 1 to {most}, got {order!r}.")


def _scaled(grid: list[Point], scale: float) -> list[Point]:
    """Levels for data divided by scale: `alpha x0 = (alpha scale) (x0 / scale)`."""
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale must be positive and finite, got {scale}; it is the data's standard deviation.")
    return [(alpha * scale, sigma) for alpha, sigma in grid]


def _unscaled(plan: Plan, lv: Levels, scale: float) -> Plan:
    return Plan(lv, plan.P / scale, plan.E, plan.c, name=plan.name, order=plan.order)
