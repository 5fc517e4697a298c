"""The tables that the laws run over: schedules, targets, weightings, exact laws, objectives; and quadrature."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from scorefield import guidance, inverse, levels, objectives, schedules
from scorefield.analytic import Empirical, Gaussian, GaussianMixture, PartialMixture
from scorefield.core import Estimate, Level, Model
from scorefield.denoiser import TARGETS as TARGETS
from scorefield.denoiser import Denoiser, Energy, Target
from scorefield.nets import ResidualMLP, ScalarMLP
from scorefield.tables.denoiser import MaskedDenoiser
from scorefield.tables.network import MaskedMLP

DATA = Path(__file__).parent / "data"
F64 = torch.float64


def doubles(*values: object) -> Tensor:
    """A float64 tensor."""
    return torch.tensor(values[0] if len(values) == 1 else values, dtype=F64)


# ------------------------------------------------------------------------------------------------------ schedules

SCHEDULES: dict[str, schedules.Schedule] = {
    "VE": schedules.VE(),
    "VP": schedules.VP(),
    "SubVP": schedules.SubVP(),
    "Cosine": schedules.Cosine(),
    "angle": schedules.Cosine(offset=0.0),
    "EDM": schedules.EDM(),
    "RectifiedFlow": schedules.RectifiedFlow(),
    "Betas": schedules.Betas(),
    "Betas, 10": schedules.Betas(schedules.linear_betas(10, 0.01, 0.6)),
    "Custom": schedules.Custom(lambda t: (torch.cos(t), torch.sin(t)), end=1.5),
}

WEIGHTINGS: dict[str, objectives.Weighting] = {
    "NCSN": objectives.NCSN(),
    "EDM": objectives.EDM(0.7),
    "MinSNR": objectives.MinSNR(),
    "Flow": objectives.Flow(),
    "Likelihood, VP": objectives.Likelihood(schedules.VP(beta_max=35.0)),
    "Likelihood, EDM": objectives.Likelihood(schedules.EDM()),
}

TRAINING_LEVELS: dict[str, levels.TrainingLevels] = {
    "LogNormal": levels.LogNormal(),
    "LogUniform": levels.LogUniform(),
    "Ladder": levels.Ladder((0.1, 1.0, 10.0)),
    "UniformTime, VP": levels.UniformTime(schedules.VP()),
    "UniformTime, flow": levels.UniformTime(schedules.RectifiedFlow()),
}

# ----------------------------------------------------------------------------------------------------- exact laws


def reference(name: str) -> dict[str, Tensor]:
    """The stored exact answers of a mixture, 'ring' or 'blend'."""
    with np.load(DATA / f"mixture_{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def reference_law(name: str) -> GaussianMixture:
    """The mixture that the stored answers belong to."""
    stored = reference(name)
    return GaussianMixture(stored["weights"], stored["means"], stored["covariances"])


def some_covariance(d: int, seed: int) -> Tensor:
    """A well-conditioned random covariance."""
    root = torch.randn(d, d, generator=torch.Generator().manual_seed(seed), dtype=F64) / math.sqrt(d)
    return root @ root.T + 0.3 * torch.eye(d, dtype=F64)


def mixture_1d() -> GaussianMixture:
    """Two overlapping modes on the line, smooth enough for Gauss-Hermite quadrature to 1e-6."""
    return GaussianMixture(doubles(0.4, 0.6), doubles([[-1.0], [0.8]]), doubles([[[0.36]], [[0.64]]]))


def mixture_2d() -> GaussianMixture:
    """Two overlapping modes in the plane."""
    means = doubles([[-0.8, 0.2], [0.6, -0.4]])
    return GaussianMixture(doubles(0.5, 0.5), means, torch.stack([some_covariance(2, 1), some_covariance(2, 2)]))


def _points(n: int, *shape: int) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(5), dtype=F64)


LAWS: dict[str, Gaussian | GaussianMixture | Empirical] = {
    "gaussian": Gaussian(doubles(1.0, -2.0, 0.5), some_covariance(3, 0)),
    "off-centre gaussian": Gaussian(doubles(100.0, -50.0), 0.5 * some_covariance(2, 3)),
    "mixture_1d": mixture_1d(),
    "mixture_2d": mixture_2d(),
    "ring": reference_law("ring"),
    "blend": reference_law("blend"),
    "flat gaussian": Gaussian(doubles(1.0, 0.0), doubles([[1.0, 1.0], [1.0, 1.0]])),
    "points": Empirical(_points(30, 3)),
    "images": Empirical(_points(12, 1, 4, 4)),
}
"""Every exact model, of all kinds; 'flat gaussian' and the empirical ones have no density without noise."""

SMOOTH_LAWS = {name: law for name, law in LAWS.items() if name not in ("flat gaussian", "points", "images")}
"""Those with a density without noise."""

NOISE_LEVELS: dict[str, Level] = {
    "0.002": Level(1.0, 0.002),
    "0.3": Level(1.0, 0.3),
    "1": Level(1.0, 1.0),
    "80": Level(1.0, 80.0),
    "VP": Level(0.8, 0.6),
    "flow": Level(0.03, 0.97),
    "tensor": Level(doubles(0.6), doubles(0.8)),
}


class ExactNetwork(nn.Module):
    """The network that a perfect training would give: it says the target of a law's exact estimate, at alpha = 1."""

    def __init__(self, law: Model, target: Target, sigma_data: float) -> None:
        super().__init__()
        self.law, self.target, self.sigma_data = law, target, sigma_data

    def forward(self, x: Tensor, level_feature: Tensor, condition: Tensor | None = None) -> Tensor:
        level = Level(torch.ones_like(level_feature), level_feature.exp())
        r = (self.sigma_data**2 + level.sigma**2) ** 0.5
        x = x * (r.reshape(-1, *[1] * (x.ndim - 1)) if r.ndim else r)
        estimate: Estimate = self.law(x, level)
        return self.target.raw(estimate.x0, estimate.eps, level, self.sigma_data)


def networks() -> dict[str, Model]:
    """Models made of networks, with weights that are not those of the start."""
    made: dict[str, Model] = {}
    for target in TARGETS:
        made[f"exact network, {target.name}"] = Denoiser(ExactNetwork(mixture_2d(), target, 0.8), target).eval()
    for target in TARGETS:
        made[f"float32 network, {target.name}"] = Denoiser(ResidualMLP(2, width=16, depth=1), target, sigma_data=0.8)
    made["conditional"] = Denoiser(ResidualMLP(2, width=16, depth=1, classes=3))
    made["energy"] = Energy(ScalarMLP(2, width=16, depth=1))
    draw = torch.Generator().manual_seed(0)
    for model in made.values():
        for parameter in model.eval().parameters():
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=draw)
    half = Denoiser(ResidualMLP(2, width=16, depth=1)).eval()
    return made | {"bfloat16 network": half.to(torch.bfloat16)}


def every_model() -> dict[str, tuple[Model, Tensor | None]]:
    """Every kind of model of two coordinates, with a condition for three samples where it takes one."""
    made = networks()
    law, conditional = mixture_2d(), made["conditional"]
    table: dict[str, tuple[Model, Tensor | None]] = {name: (model, None) for name, model in made.items()}
    table |= {name: (law, None) for name, law in LAWS.items() if tuple(law.mean.shape) == (2,)}
    classes, given = torch.tensor([0, 1, 3]), doubles([[math.nan, 1.0], [math.inf, math.nan], [math.nan, math.nan]])
    observed = torch.tensor([0]), doubles([0.5]), 0.1
    rows = MaskedDenoiser(MaskedMLP(2, width=8, depth=1), law, sigma_min=0.002, sigma_max=80.0).eval()
    return table | {
        "classes": (conditional, classes),
        "classifier-free": (guidance.classifier_free(conditional, 3.0, interval=(0.1, 10.0)), classes),
        "autoguidance": (guidance.autoguidance(law, LAWS["off-centre gaussian"], 4.0), None),
        "conditioned": (guidance.conditioned(conditional, 2), None),
        "posterior": (inverse.posterior(law, *observed), None),
        "posterior of a network": (inverse.posterior(made["float32 network, F"], *observed, covariance=1.0), None),
        "posterior without Jacobians": (inverse.posterior(law, *observed, jacobian=False), None),
        "partly given": (PartialMixture(law), given),
        "masked rows": (rows, given),
        "bound rows": (rows.bound(given), None),
    }


def _changed(change: Callable[[Estimate, Tensor, Level], object]) -> Model:
    def changed(x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        return change(mixture_2d()(x, level), x, level)  # type: ignore[return-value]

    return changed


DEFECTIVE: dict[str, tuple[Model, str]] = {
    "wrong sign": (_changed(lambda e, x, level: Estimate(e.x0, -e.eps)), "contradicts itself"),
    "score for eps": (_changed(lambda e, x, level: Estimate(e.x0, e.score(level))), "contradicts itself"),
    "another level": (
        _changed(lambda e, x, level: mixture_2d()(x, Level(level.alpha, 1.001 * level.sigma))),
        "contradicts itself",
    ),
    "x0 doubled": (_changed(lambda e, x, level: Estimate(2 * e.x0, e.eps)), "contradicts itself"),
    "bfloat16 pair": (
        _changed(lambda e, x, level: Estimate(*(v.bfloat16().to(x.dtype) for v in e))),
        "contradicts itself",
    ),
    "NaN": (_changed(lambda e, x, level: Estimate(e.x0 * math.nan, e.eps)), "x0 with NaN"),
    "infinite": (_changed(lambda e, x, level: Estimate(e.x0, e.eps / 0)), "eps with NaN or infinite"),
    "another dtype": (_changed(lambda e, x, level: Estimate(e.x0.float(), e.eps)), "dtype"),
    "another shape": (_changed(lambda e, x, level: Estimate(e.x0, e.eps[:, :1])), "shape"),
    "one tensor": (_changed(lambda e, x, level: e.eps), "Estimate"),
}
"""Models of two coordinates that no run accepts, and what the error says."""

BAD_LEVELS: dict[str, Level] = {
    "negative sigma": Level(1.0, -1.0),
    "negative alpha": Level(-0.5, 1.0),
    "both negative": Level(-1.0, -0.5),
    "both zero": Level(0.0, 0.0),
    "NaN": Level(1.0, math.nan),
    "infinite": Level(1.0, math.inf),
    "infinite alpha": Level(math.inf, 1.0),
    "0-d tensor": Level(doubles(1.0), doubles(-1.0)),
    "one of three": Level(doubles(1.0, 1.0, 1.0), doubles(1.0, -1.0, 1.0)),
    "NaN of three": Level(1.0, doubles(1.0, math.nan, 1.0)),
    "both zero, of three": Level(doubles(1.0, 0.0, 1.0), doubles(1.0, 0.0, 0.0)),
}

# ---------------------------------------------------------------------------------------------------- quadrature


def normal_nodes(d: int, count: int) -> tuple[Tensor, Tensor]:
    """Gauss-Hermite nodes `(count**d, d)` and weights of N(0, I)."""
    z, w = np.polynomial.hermite_e.hermegauss(count)
    nodes = torch.tensor(list(itertools.product(z, repeat=d)), dtype=F64)
    weights = torch.tensor([math.prod(c) for c in itertools.product(w / w.sum(), repeat=d)], dtype=F64)
    return nodes, weights


def law_nodes(law: Gaussian | GaussianMixture, count: int) -> tuple[Tensor, Tensor]:
    """Nodes `(m, d)` and weights of a mixture: Gauss-Hermite's for each component."""
    mixture = law.as_mixture if isinstance(law, Gaussian) else law
    z, w = normal_nodes(len(mixture.mean), count)
    roots = torch.linalg.cholesky(mixture.covariances)
    nodes = mixture.means[:, None] + torch.einsum("kij,mj->kmi", roots, z)
    return nodes.flatten(0, 1), (mixture.weights[:, None] * w).flatten()


def noised_nodes(law: Gaussian | GaussianMixture, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of data and noise `(m, d)` with weights: the expectation over both."""
    x, w = law_nodes(law, count)
    z, v = normal_nodes(x.shape[1], count)
    return (
        x.repeat_interleave(len(z), 0),
        z.repeat(len(x), 1),
        (w[:, None] * v).flatten(),
    )


def frame(x: Tensor) -> Tensor:
    """Directions `(d, n, d)` of length sqrt(d) along rotated axes: `mean v v^T = I`, exactly."""
    d = x.shape[1]
    Q = torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(3), dtype=F64)).Q.to(x)
    return math.sqrt(d) * Q[:, None].expand(-1, len(x), -1)


def signs(x: Tensor) -> Tensor:
    """All sign vectors `(2**d, n, d)`: the Rademacher law itself."""
    patterns = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=x.shape[1])), dtype=x.dtype)
    return patterns[:, None].expand(-1, len(x), -1)


# ---------------------------------------------------------------------------------------------------- objectives

Loss = Callable[..., Tensor]
"""`(score, x, true_score, seed=None, directions=None) -> (n,)`"""


def _explicit(score, x, true_score, seed=None, directions=None):
    return objectives.explicit(score, x, true_score)


def _exact(score, x, true_score, seed=None, directions=None):
    return objectives.implicit(score, x)


def _chunked(score, x, true_score, seed=None, directions=None):
    return objectives.implicit(score, x, chunk=1)


def _hutchinson(score, x, true_score, seed=None, directions=None):
    return objectives.implicit(score, x, probes=2, seed=seed, directions=directions)


def _sliced(kind: str, variance_reduced: bool) -> Loss:
    def loss(score, x, true_score, seed=None, directions=None):
        return objectives.sliced(
            score, x, kind=kind, variance_reduced=variance_reduced, seed=seed, directions=directions
        )

    return loss


def _difference(kind: str, variance_reduced: bool) -> Loss:
    def loss(score, x, true_score, seed=None, directions=None):
        return objectives.finite_difference_sliced(
            score, x, kind=kind, variance_reduced=variance_reduced, seed=seed, directions=directions
        )

    return loss


KINDS = ("rademacher", "gaussian", "sphere")
OBJECTIVES: dict[str, Loss] = {
    "explicit": _explicit,
    "implicit": _exact,
    "implicit, chunked": _chunked,
    "implicit, probes": _hutchinson,
    **{f"sliced, {kind}": _sliced(kind, True) for kind in KINDS},
    **{f"sliced, plain, {kind}": _sliced(kind, False) for kind in KINDS},
    **{f"difference, {kind}": _difference(kind, True) for kind in KINDS},
    "difference, plain": _difference("rademacher", False),
}
"""Every objective of a static score; those that draw take a seed, or directions for an exact expectation."""
EXACT_OBJECTIVES = ("explicit", "implicit", "implicit, chunked")
"""Those that draw nothing."""


class SmoothScore(nn.Module):
    """A small wrong score with parameters, float64: for gradients and for double backward."""

    def __init__(self, d: int, seed: int = 0) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.A = nn.Parameter(0.3 * torch.randn(d, d, generator=draw, dtype=F64) - 0.8 * torch.eye(d, dtype=F64))
        self.b = nn.Parameter(0.5 * torch.randn(d, generator=draw, dtype=F64))
        self.c = nn.Parameter(0.4 * torch.randn(d, generator=draw, dtype=F64))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.A.to(x).T + self.b.to(x) + self.c.to(x) * torch.sin(x)


class SmoothEnergy(nn.Module):
    """A small wrong energy with parameters, float64."""

    def __init__(self, d: int, seed: int = 0) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.A = nn.Parameter(0.5 * torch.randn(d, d, generator=draw, dtype=F64))
        self.b = nn.Parameter(torch.randn(d, generator=draw, dtype=F64))

    def forward(self, x: Tensor) -> Tensor:
        return (x**2).sum(1) / 2 + torch.sin(x @ self.A.to(x).T + self.b.to(x)).sum(1)
