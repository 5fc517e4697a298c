"""What the simulator does, learned as an exponential family whose natural parameters are the parameters themselves.

    log p(x | u) = u . T(x) - A(u) + something of x alone,

with T linear and A convex: generalised linear models, and what is linear and Gaussian. Mean and covariance of T are the
first and second derivatives of A, so one function of u is all that there is to learn, where a normal law of x has a
function for each mean and covariance; it is learned by them (quasi-likelihood, Wedderburn 1974).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from scorefield.levels import TrainingLevels
from scorefield.numerics.random import normal
from scorefield.objectives.batch import Draws
from scorefield.posterior.conditional import Whitening
from scorefield.posterior.likelihood import told_apart
from scorefield.posterior.observations import ObservationCodec
from scorefield.posterior.training import LEVELS, Pairs, Recipe, regression, trained
from scorefield.progress import Report, part, silent
from scorefield.training.loop import TrainingError

_WIDTH = 128
_BATCH, _RATE, _CLIP = 256, 0.02, 10.0
_TRIAL, _HOPELESS = 0.2, 0.6  # of the time; a classifier's accuracy at which the family is given up after it
_QUADRATIC = 0.3  # share of A's curvature that a quadratic function has at the beginning
_ERRORS = 2.5  # standard errors above a half at which a classifier's accuracy says that the family does not hold
_LEAST = 1e-5  # variance of T, at least, of the mean one
_SIGNAL = 0.05  # variance of the linear statistic over that of its noise, in every direction
_STARTED = 2000  # parameters over which the curvature is measured where it begins


class Potential(nn.Module):
    """A convex function of v `(n, d)` and the statistic that it belongs to.

    `A(v) = |R v|^2 / 2 + sum_k exp(a_k) softplus(w_k . v + b_k)`, and `T = C t + c` of standardised statistics t.

    Args:
        dim: d.
        width: of the hidden layer.
        seed: of the initialisation.
    """

    def __init__(self, dim: int, width: int = _WIDTH, seed: int = 0) -> None:
        super().__init__()
        self.config = {"dim": dim, "width": width}
        self.directions = nn.Parameter(normal(width, (dim,), seed, "directions"))
        self.bias = nn.Parameter(torch.zeros(width))
        self.log_weight = nn.Parameter(torch.full((width,), -math.log(width)))
        self.root = nn.Parameter(torch.zeros(dim, dim))
        self.turn = nn.Parameter(torch.eye(dim))
        self.shift = nn.Parameter(torch.zeros(dim))

    @torch.no_grad()
    def start(self, v: Tensor) -> None:
        """Begin with the mean curvature of a linear problem that leaves v `(n, d)` the covariance 1."""
        self.directions.div_(v.std(0))
        values, basis = torch.linalg.eigh(torch.eye(v.shape[1]) - torch.linalg.inv(torch.atleast_2d(torch.cov(v.T))))
        values = values.clamp(min=1e-3)
        hidden = self.curvature(v).diagonal(dim1=1, dim2=2).sum(1).mean()
        self.log_weight.add_(((1 - _QUADRATIC) * values.sum() / hidden).log())
        self.root.copy_((basis * (_QUADRATIC * values).sqrt()) @ basis.T)

    def forward(self, v: Tensor) -> Tensor:
        """A, `(n,)`."""
        hidden = softplus(v @ self.directions.T + self.bias) @ self.log_weight.exp()
        return 0.5 * (v @ self.root.T).square().sum(1) + hidden

    def statistic(self, t: Tensor) -> Tensor:
        """T of t `(n, d)`."""
        return t @ self.turn.T + self.shift

    def slope(self, v: Tensor) -> Tensor:
        """The gradient of A, `(n, d)`: the mean of T."""
        open_ = torch.sigmoid(v @ self.directions.T + self.bias)
        return (open_ * self.log_weight.exp()) @ self.directions + v @ self.root.T @ self.root

    def curvature(self, v: Tensor) -> Tensor:
        """The second derivatives of A, `(n, d, d)`: the covariance of T."""
        open_ = torch.sigmoid(v @ self.directions.T + self.bias)
        weight = open_ * (1 - open_) * self.log_weight.exp()
        return (weight[:, :, None] * self.directions).mT @ self.directions + self.root.T @ self.root

    def residual(self, v: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """T less its mean in units of its covariance, `(n, d)`, and `log |dr / dt|`, `(n,)`."""
        spread = self.curvature(v)
        floor = _LEAST * (1 + spread.diagonal(dim1=1, dim2=2).mean(1))
        factor = torch.linalg.cholesky(spread + floor[:, None, None] * torch.eye(v.shape[1]))
        away = (self.statistic(t) - self.slope(v))[..., None]
        found = torch.linalg.solve_triangular(factor, away, upper=False)[..., 0]
        return found, torch.linalg.slogdet(self.turn)[1] - factor.diagonal(dim1=1, dim2=2).log().sum(1)


@dataclass(frozen=True, eq=False)
class QuasiLikelihood:
    """Minus the logarithm of the normal law with a potential's mean and covariance; the condition is the row's number.

    Args:
        t: statistics `(rows, d)`.
        levels: of no meaning here.
        holes: of the interface: v has none.
    """

    t: Tensor
    levels: TrainingLevels = LEVELS
    holes: bool = False

    def __call__(self, model: Any, x: Tensor, draws: Draws, condition: Tensor | None = None) -> Tensor:
        """One loss per sample; arguments as `Objective`."""
        away, slope = model.residual(x, self.t[condition])
        return 0.5 * away.square().sum(1) - slope


@dataclass(frozen=True, eq=False)
class NaturalLikelihood:
    """`log p(x | u)` up to a function of x, by a potential.

    Args:
        potential: in v.
        whitening: from u to v.
        weight: `(d, k)`, of the linear statistic: t = weight z + bias of standardised observations z.
        bias: `(d,)`.
        codec: of the observations.
        accuracy: of a classifier that tells its residuals on held-out simulations from standard normal ones; 0.5: none.
        standard_error: of accuracy.
    """

    potential: Potential
    whitening: Whitening
    weight: Tensor
    bias: Tensor
    codec: ObservationCodec
    accuracy: float = math.nan
    standard_error: float = math.nan

    @property
    def holds(self) -> bool:
        """Whether held-out simulations do not contradict it."""
        return self.accuracy <= 0.5 + _ERRORS * self.standard_error

    @torch.no_grad()
    def log_density(self, u: Tensor, v: Tensor) -> Tensor:
        """For u `(n, d)`, of one observation or of several independent ones as `observed` gives them, v `(m, d)`."""
        place = self.whitening.inward(u).float()
        total = self.potential.statistic(v.float()).sum(0)
        return (place @ total - len(v) * self.potential(place)).double()

    def observed(self, x: Tensor) -> Tensor:
        """The statistics t `(m, d)` of observations `(m, k)`."""
        return self.codec.standardised(x) @ self.weight.T + self.bias


def fit_natural(
    u: Tensor, x: Tensor, codec: ObservationCodec, recipe: Recipe, report: Report = silent
) -> NaturalLikelihood | None:
    """The exponential family of observations given parameters, with its test on held-out simulations.

    Where it is far from holding after a fifth of the time it is given up, as it is then.

    Args:
        u: parameters `(n, d)`, in coordinates without edges.
        x: observations `(n, k)` without holes.
        codec: of the observations.
        recipe: the budget.
        report: hears how far the training is.

    Returns:
        None where what is linear in the observations says nothing of some direction of the parameters.
    """
    seed = recipe.settings.seed
    pairs = Pairs.split(u, codec.standardised(x).float(), seed)
    weight, bias, whitening = regression(pairs)
    v, t = whitening.inward(pairs.y).float(), (pairs.z.double() @ weight.T + bias).float()
    if float(torch.linalg.eigvalsh(torch.atleast_2d(torch.cov(t[: pairs.trained].T)))[0]) < _SIGNAL:
        return None
    potential = Potential(u.shape[1], seed=seed)
    potential.start(v[: pairs.trained][:_STARTED])
    law = NaturalLikelihood(potential, whitening, weight, bias, codec)
    for low, high in ((0.0, _TRIAL), (_TRIAL, 1.0)):
        settings = replace(
            recipe.part(high - low), batch=_BATCH, learning_rate=_RATE, weight_decay=0.0, clip=_CLIP, seed=seed
        )
        try:
            trained(potential, v, pairs, QuasiLikelihood(t), settings, part(report, low, high))
        except (TrainingError, torch.linalg.LinAlgError):  # type: ignore[attr-defined]
            return replace(law, accuracy=1.0, standard_error=0.0)  # no such family: its moments do not fit together
        accuracy, error = _test(potential, v[pairs.trained :], t[pairs.trained :], seed)
        law = replace(law, accuracy=accuracy, standard_error=error)
        if accuracy > _HOPELESS:
            break
    return law


def _test(potential: Potential, v: Tensor, t: Tensor, seed: int) -> tuple[float, float]:
    return told_apart(v, potential.residual(v, t)[0].detach(), seed)
