"""From pairs of y and a condition to the score of y given it: a normal law, then what it misses, both watched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from scorefield.levels import TrainingLevels
from scorefield.numerics.random import uniform
from scorefield.objectives.batch import Objective
from scorefield.posterior.conditional import SIGMA_MAX, SIGMA_MIN, ConditionalScore, Whitening
from scorefield.posterior.networks import NormalNetwork, ScoreNetwork
from scorefield.posterior.objectives import Correction, NormalLikelihood
from scorefield.progress import Report, part, silent
from scorefield.training.checkpoint import Settings
from scorefield.training.loop import default_levels, train

HELD_SHARE = 0.1
"""Of the pairs, held out: never trained on, they choose the weights."""
_MOST_HELD = 2000
_RIDGE = 1e-3  # times the root of the number of rows
_NORMAL_SHARE = 0.12  # of the time, for the normal law
_LEVELS = default_levels(SIGMA_MIN, SIGMA_MAX)


@dataclass(frozen=True, eq=False)
class Pairs:
    """y and what it is conditional on.

    Args:
        y: `(n, d)` float64.
        z: `(n, ...)` float32, as a reader takes it.
        held: how many of the last rows are held out.
    """

    y: Tensor
    z: Tensor
    held: int

    @staticmethod
    def split(y: Tensor, z: Tensor, seed: int, share: float = HELD_SHARE) -> Pairs:
        """In an order drawn by the seed, the last ones held out."""
        order = uniform(len(y), (), seed, "pairs", dtype=torch.float64).argsort()
        return Pairs(y[order].double(), z[order], max(1, min(_MOST_HELD, round(share * len(y)))))

    @property
    def trained(self) -> int:
        """How many rows are trained on."""
        return len(self.y) - self.held

    def more(self, y: Tensor, z: Tensor) -> Pairs:
        """With other pairs to train on, in front; those held out stay."""
        return Pairs(torch.cat([y.double(), self.y]), torch.cat([z, self.z]), self.held)


DEFAULT = Settings(
    seconds=240.0, batch=512, learning_rate=2e-3, patience=None, evaluate_every=100, condition_dropout=0.0
)
"""How each network is trained where nothing else is said."""


@dataclass(frozen=True)
class Recipe:
    """How a conditional law is trained.

    Args:
        width: of the hidden layers.
        depth: residual blocks of the score network.
        members: networks whose mean is taken.
        dropout: share of hidden features that are dropped while training.
        settings: of the training of each network; its budget of time is for all of them together.
        hide: share of the values of conditions that are hidden in half of the rows.
    """

    width: int = 128
    depth: int = 4
    members: int = 1
    dropout: float = 0.0
    settings: Settings = DEFAULT
    hide: float = 0.0

    def part(self, share: float) -> Settings:
        """The settings of a part of the training, with its share of the budget."""
        s = self.settings
        steps = None if s.steps is None else max(1, round(s.steps * share))
        return replace(s, steps=steps, seconds=None if s.seconds is None else s.seconds * share)


def fit_conditional(pairs: Pairs, reader: nn.Module, recipe: Recipe, report: Report = silent) -> ConditionalScore:
    """The law of y given z, from pairs.

    Args:
        pairs: to train on.
        reader: of z; every network gets a copy of it.
        recipe: sizes and budget.
        report: hears how far the training is.
    """
    first = replace(recipe, settings=recipe.part(_NORMAL_SHARE))
    normal, whitening = fit_normal(pairs, reader, first, part(report, 0, _NORMAL_SHARE))
    v = whitening.inward(pairs.y).float()
    score = ConditionalScore(normal, [], whitening)
    laws = score.laws(pairs.z).like(v)
    networks = []
    for k in range(recipe.members):
        share = (1 - _NORMAL_SHARE) / recipe.members
        hear = part(report, _NORMAL_SHARE + k * share, _NORMAL_SHARE + (k + 1) * share)
        network = ScoreNetwork(
            reader, pairs.y.shape[1], recipe.width, recipe.depth, recipe.dropout, recipe.settings.seed + k
        )
        correction = Correction(pairs.z, laws, _LEVELS, recipe.hide)
        _trained(network, v, pairs, correction, replace(recipe.part(share), seed=recipe.settings.seed + k), hear)
        networks.append(network)
    return ConditionalScore(normal, networks, whitening).eval()


def fit_normal(
    pairs: Pairs, reader: nn.Module, recipe: Recipe, report: Report = silent
) -> tuple[NormalNetwork, Whitening]:
    """The normal law of y given z with the greatest likelihood of held-out pairs, in v, and the way to v."""
    normal, whitening = _straight(pairs, reader, recipe)
    objective = NormalLikelihood(pairs.z, _LEVELS, recipe.hide)
    _trained(normal, whitening.inward(pairs.y).float(), pairs, objective, recipe.settings, report)
    return normal, whitening


def _straight(pairs: Pairs, reader: nn.Module, recipe: Recipe) -> tuple[NormalNetwork, Whitening]:
    """The normal network before training: the linear regression where z is a vector, else the mean; and v."""
    vector = pairs.z.shape[1] if pairs.z.ndim == 2 else 0
    normal = NormalNetwork(reader, vector, pairs.y.shape[1], recipe.settings.seed)
    y = pairs.y[: pairs.trained]
    mean = y.mean(0)
    if not vector:
        return normal, _whitening(mean, y - mean)
    z = torch.nan_to_num(pairs.z[: pairs.trained].double(), nan=0.0)
    centre = z.mean(0)
    gram = (z - centre).T @ (z - centre)
    ridge = _RIDGE * len(z) ** 0.5 * torch.eye(vector, dtype=torch.float64)
    slope = torch.linalg.solve(gram + ridge, (z - centre).T @ (y - mean))
    whitening = _whitening(mean, y - mean - (z - centre) @ slope)
    weight = torch.linalg.solve_triangular(whitening.root, slope.T, upper=False)
    normal.start(weight, -weight @ centre)
    return normal, whitening


def _whitening(mean: Tensor, residual: Tensor) -> Whitening:
    covariance = residual.T @ residual / len(residual)
    floor = 1e-9 * torch.eye(len(mean), dtype=torch.float64) * covariance.diagonal().mean()
    return Whitening(mean, torch.linalg.cholesky(covariance + floor))


def _trained(
    network: nn.Module, v: Tensor, pairs: Pairs, objective: Objective, settings: Settings, report: Report
) -> None:
    """Train a network on the rows that are not held out; it keeps the weights of the least held-out loss."""
    row = torch.arange(len(v))
    n = pairs.trained
    steps = _steps(network, v, row, n, objective, settings)
    for progress in steps:
        report(progress.fraction, "training")
    network.eval()


def _steps(network: nn.Module, v: Tensor, row: Tensor, n: int, objective: Objective, settings: Settings) -> Iterator:  # type: ignore[type-arg]
    return train(
        network, v[:n], settings=settings, condition=row[:n], held=v[n:], held_condition=row[n:], objective=objective
    )


def levels() -> TrainingLevels:
    """The density of noise levels that corrections are trained on."""
    return _LEVELS
