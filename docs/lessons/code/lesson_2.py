"""Lesson 2: explicit, implicit and sliced score matching on Gaussians."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np
import torch
from parts import COLOURS, F64, Check, Table, axes, doubles, gaussian, hermite, least, line, modes
from torch import Tensor

from scorefield import objectives
from scorefield.analytic import Empirical
from scorefield.core import Level, StaticScore
from scorefield.numerics.divergence import ProbeKind, hutchinson, jacobian_trace, probe
from scorefield.objectives.supports import Box

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DATA = gaussian([0.0], [4.0])
MATRIX = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=F64)


def losses(k: float) -> tuple[float, float]:
    """Explicit and implicit loss of `score(x) = -k x` on N(0, 4), exact."""
    x, mass = hermite(DATA)
    explicit = objectives.explicit(lambda y: -k * y, x, DATA.score)
    return float(mass @ explicit), float(mass @ objectives.implicit(lambda y: -k * y, x))


def terms(k: float) -> tuple[float, float]:
    """The two parts of the implicit loss of `-k x` on N(0, 4): the trace and half the squared norm."""
    x, mass = hermite(DATA)
    value, trace = jacobian_trace(lambda y: -k * y, x)
    return float(mass @ trace), float(mass @ value.square().sum(1)) / 2


def trace_variance(matrix: Tensor, kind: ProbeKind, n: int = 20000) -> float:
    """The variance of `v^T A v` over random directions, from n of them."""
    x = torch.zeros(n, len(matrix), dtype=F64)
    return float(hutchinson(lambda y: y @ matrix, x, probe(kind, 1, x, 0))[1].var())


def memorised(width: float) -> float:
    """The implicit loss, on ten points, of the density that puts a bump of this width on each."""
    x = gaussian([0.0, 0.0], [1.0, 1.0]).sample(10, seed=0)
    law = Empirical(x)
    return float(objectives.implicit(lambda y: law.score(y, Level(1.0, width)), x).mean())


def sliced_spread(reduced: bool, d: int = 16, n: int = 20000) -> float:
    """The standard deviation, over directions, of the sliced loss of the true score of N(0, I) at one x, |x|^2 = d."""
    x = torch.ones(n, d, dtype=F64)
    return float(objectives.sliced(lambda y: -y, x, kind="gaussian", variance_reduced=reduced, seed=0).std())


def waiting() -> tuple[Tensor, Tensor]:
    """Points `(n, 1)` and weights `(n,)` whose averages are those of Exp(1), exact for polynomials."""
    nodes, weights = (torch.from_numpy(v) for v in np.polynomial.laguerre.laggauss(12))
    return nodes[:, None], weights


def best_rates() -> tuple[float, float]:
    """The k that implicit matching chooses for `score = -k` on Exp(1), without and with a weight for the edge."""
    x, mass = waiting()

    def score(k: float) -> StaticScore:
        return lambda y: -k * torch.ones_like(y)

    box = Box(power=1)
    return (
        least(lambda k: float(mass @ objectives.implicit(score(k), x))),
        least(lambda k: float(mass @ objectives.generalised(score(k), x, box))),
    )


def on_a_line(k: float) -> float:
    """The implicit loss of `(-x1, -k x2)` on points `(u, 0)` of the plane, u from N(0, 1), exact."""
    u, mass = hermite(gaussian([0.0], [1.0]))
    x = torch.cat([u, torch.zeros_like(u)], 1)
    return float(mass @ objectives.implicit(lambda y: -y * doubles(1.0, k), x))


def values() -> dict[str, float]:
    found = {"constant": losses(0.0)[0], "best": losses(0.25)[1]}
    found |= {f"variance_{kind}": trace_variance(MATRIX, kind) for kind in get_args(ProbeKind)}
    found["edge_implicit"], found["edge_box"] = best_rates()
    found |= {"spread": sliced_spread(False), "spread_reduced": sliced_spread(True)}
    return found


def tables() -> dict[str, Table]:
    rows = []
    for k in (0.0, 0.125, 0.25, 0.5, 1.0):
        (trace, norm), (explicit, implicit) = terms(k), losses(k)
        rows.append([f"{v:.4f}" for v in (k, trace, norm, implicit, explicit, explicit - implicit)])
    memory = [[f"{h:g}", f"{memorised(h):.1f}"] for h in (1.0, 0.5, 0.1, 0.03, 0.01)]
    line = [[f"{k:g}", f"{on_a_line(k):.1f}"] for k in (1.0, 10.0, 100.0)]
    return {
        "manifold": (["k", "implicit loss on the line"], line),
        "gaussian": (["k", "trace", "norm", "implicit", "explicit", "difference"], rows),
        "memorised": (["width of the bumps", "implicit loss on the ten points"], memory),
    }


def figures() -> dict[str, Figure]:
    figure, (ax,) = axes()
    k = torch.linspace(0, 0.6, 31).tolist()
    lines = {
        "trace": [terms(v)[0] for v in k],
        "norm": [terms(v)[1] for v in k],
        "implicit = trace + norm": [losses(v)[1] for v in k],
        "explicit": [losses(v)[0] for v in k],
    }
    for (label, y), colour in zip(lines.items(), COLOURS, strict=False):
        ax.plot(k, y, color=colour, label=label, linewidth=2.2 if label.startswith("impl") else 1.3)
    ax.axvline(0.25, color="#999", linewidth=0.8, linestyle=":")
    ax.set(xlabel="k, the model's precision", ylabel="loss")
    ax.legend(frameon=False)
    return {"terms": figure}


def flips() -> dict[str, dict[str, Figure]]:
    """The model N(0, 1/k) beside the data, and its two losses, over k."""
    x, k = torch.linspace(-8, 8, 200, dtype=F64), torch.linspace(0.05, 0.6, 45).tolist()
    curves = {name: [losses(v)[i] for v in k] for i, name in enumerate(("explicit", "implicit"))}
    frames = {}
    for at in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6):
        figure, (left, right) = axes(2)
        left.fill_between(x, DATA.log_density(x[:, None]).exp(), color="#ddd", label="data, N(0, 4)")
        left.plot(
            x, gaussian([0.0], [1 / at]).log_density(x[:, None]).exp(), color=COLOURS[0], label="model, N(0, 1/k)"
        )
        left.set(xlabel="x", title="densities", ylim=(0, 0.34))
        left.legend(frameon=False, loc="upper left", fontsize=8)
        for (name, y), colour, value in zip(curves.items(), COLOURS[2:], losses(at), strict=False):
            right.plot(k, y, color=colour, label=name)
            right.plot([at], [value], "o", color=colour)
        trace, norm = terms(at)
        told = f"trace {trace:.3f} + norm {norm:.3f} = {trace + norm:.3f}"
        right.set(xlabel="k, the model's precision", title=told.replace("-", "\N{MINUS SIGN}"))
        right.legend(frameon=False, loc="upper center", fontsize=8)
        frames[f"k = {at:.2f}"] = figure
    return {"precision": frames}


def identities() -> list[Check]:
    """Integration by parts on a mixture; its boundary term on Exp(1); directions that average to the trace."""
    law = modes(0.3, 1.5)
    x, mass = line(law)
    value, trace = jacobian_trace(lambda y: torch.tanh(y) - 0.3 * y, x)
    product = float(mass @ (value * law.score(x)).sum(1))
    times, weights = waiting()  # s = -x^2 - 2, whose product with the score -1 is x^2 + 2
    rate, slope = jacobian_trace(lambda y: -(y**2) - 2, times)
    y, each = hermite(gaussian([0.0, 0.0], [1.0, 2.0]))
    field = torch.tensor([[-1.0, 0.4], [0.2, -0.7]], dtype=F64)
    axis = (2**0.5 * torch.eye(2, dtype=F64))[:, None].expand(2, len(y), 2)
    sliced = objectives.sliced(lambda z: z @ field, y, 2, variance_reduced=False, directions=axis)
    return [
        Check("by parts", -float(mass @ trace), product),
        Check("boundary", 2.0, float(weights @ -rate[:, 0]) + float(weights @ slope)),
        Check("slices", float(each @ objectives.implicit(lambda z: z @ field, y)), float(each @ sliced)),
    ]


def exercise_1() -> list[Check]:
    """The implicit loss of -k x on N(0, 9) at its best k, in three dimensions."""
    x, mass = hermite(gaussian([0.0] * 3, [9.0] * 3), count=4)
    k = torch.tensor(0.5, dtype=F64, requires_grad=True)

    def loss(k: Tensor) -> Tensor:
        return mass @ objectives.implicit(lambda y: -k * y, x)

    zero = torch.zeros((), dtype=F64, requires_grad=True)  # the loss is a parabola: two slopes say where it is least
    slope, first = torch.autograd.grad(loss(k), k)[0], torch.autograd.grad(loss(zero), zero)[0]
    best = 0.5 * float(first / (first - slope))
    return [Check("ex1_k", 1 / 9, best), Check("ex1_loss", -3 / 18, float(loss(doubles(best)[0])))]


def exercise_2() -> list[Check]:
    """A rotation `R x` added to the true score of N(0, I) in two dimensions."""
    x, mass = hermite(gaussian([0.0, 0.0], [1.0, 1.0]))
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=F64)
    plain, turned = (jacobian_trace(s, x) for s in (lambda y: -y, lambda y: -y + y @ turn))
    before, after = (float(mass @ objectives.implicit(s, x)) for s in (lambda y: -y, lambda y: -y + y @ turn))
    return [
        Check("ex2_trace", 0.0, float((turned[1] - plain[1]).abs().max())),
        Check("ex2_loss", 1.0, after - before),
    ]


def exercise_3() -> list[Check]:
    """The variance of `v^T A v` for a diagonal A = diag(1, 2, 3), signs against normal directions."""
    matrix = torch.diag(doubles(1.0, 2.0, 3.0))
    n = 20000
    error = 4 * ((48 * (1 + 16 + 81) + 2 * 28**2) / n) ** 0.5  # four standard errors: cumulants of sum a_i v_i^2
    return [
        Check("ex3_signs", 0.0, trace_variance(matrix, "rademacher", n)),
        Check("ex3_normal", 28.0, trace_variance(matrix, "gaussian", n), error),
    ]


def exercises() -> dict[str, list[Check]]:
    return {"1": exercise_1(), "2": exercise_2(), "3": exercise_3()}
