"""From pairs of y and a condition to the score of y given it: a normal law, then what it misses, both watched."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from scorefield.numerics.random import normal, uniform
from scorefield.objectives.batch import Draws, Objective
from scorefield.posterior.conditional import SIGMA_MAX, SIGMA_MIN, ConditionalScore, Whitening
from scorefield.posterior.networks import NormalNetwork, ScoreNetwork, standardised
from scorefield.posterior.objectives import Correction, NormalLikelihood
from scorefield.progress import Report, part, silent
from scorefield.training.checkpoint import Settings
from scorefield.training.loop import default_levels, train

HELD_SHARE = 0.1
"""Of the pairs, held out: never trained on, they choose the weights."""
_MOST_HELD = 2000
_RIDGE = 1e-3  # times the root of the number of rows
_NORMAL_SHARE = 0.12  # of the time, for the normal law
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Of a network's part that are tried on held-out pairs."""
_REPEATS, _MOST_REPEATED = 8, 8192  # noised copies of held-out pairs
LEVELS = default_levels(SIGMA_MIN, SIGMA_MAX)
"""The density of noise levels that corrections are trained on."""


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
        settings: of the training of each network; a budget of time is for all of them together.
        hide: share of the values of conditions that are hidden in half of the rows.
    """

    width: int = 128
    depth: int = 4
    members: int = 1
    dropout: float = 0.0
    settings: Settings = DEFAULT
    hide: float = 0.0

    def part(self, share: float) -> Settings:
        """The settings of a part of the training: its share of the time; the steps are those of every network."""
        seconds = self.settings.seconds
        return replace(self.settings, seconds=None if seconds is None else seconds * share)


def fit_conditional(pairs: Pairs, reader: nn.Module, recipe: Recipe, report: Report = silent) -> ConditionalScore:
    """The law of y given z, from pairs.

    Args:
        pairs: to train on.
        reader: of z; every network gets a copy of it.
        recipe: sizes and budget.
        report: hears how far the training is.
    """
    first = replace(recipe, settings=recipe.part(_NORMAL_SHARE))
    law, whitening = fit_normal(pairs, reader, first, part(report, 0, _NORMAL_SHARE))
    v = whitening.inward(pairs.y).float()
    score = ConditionalScore(law, [], whitening)
    laws = score.laws(pairs.z).like(v)
    networks = []
    for k in range(recipe.members):
        share = (1 - _NORMAL_SHARE) / recipe.members
        hear = part(report, _NORMAL_SHARE + k * share, _NORMAL_SHARE + (k + 1) * share)
        network = ScoreNetwork(
            reader, pairs.y.shape[1], recipe.width, recipe.depth, recipe.dropout, recipe.settings.seed + k
        )
        correction = Correction(pairs.z, laws, LEVELS, recipe.hide)
        trained(network, v, pairs, correction, replace(recipe.part(share), seed=recipe.settings.seed + k), hear)
        _shrink_score(network, v, pairs, correction)
        networks.append(network)
    return ConditionalScore(law, networks, whitening).eval()


def fit_normal(
    pairs: Pairs, reader: nn.Module, recipe: Recipe, report: Report = silent
) -> tuple[NormalNetwork, Whitening]:
    """The normal law of y given z with the greatest likelihood of held-out pairs, in v, and the way to v."""
    law, whitening = _straight(pairs, reader, recipe)
    objective = NormalLikelihood(pairs.z, LEVELS, recipe.hide)
    v = whitening.inward(pairs.y).float()
    trained(law, v, pairs, objective, recipe.settings, report)
    _shrink_normal(law, v[pairs.trained :], pairs.z[pairs.trained :])
    return law, whitening


@torch.no_grad()
def _shrink_normal(law: NormalNetwork, v: Tensor, z: Tensor) -> None:
    """Take from a network what does not hold on held-out pairs: its parts in the shares that these find most likely."""

    def loss(mean: float, spread: float) -> float:
        tried = copy.deepcopy(law)
        tried.shrink(mean, spread)
        away, slope = standardised(v, *tried(z))
        return float(0.5 * away.square().sum(1).mean() - slope.mean())

    law.shrink(*min(itertools.product(SHARES, SHARES), key=lambda shares: loss(*shares)))


@torch.no_grad()
def _shrink_score(network: ScoreNetwork, v: Tensor, pairs: Pairs, objective: Correction) -> None:
    """Multiply a correction by the share that held-out pairs find best, by least squares over all levels."""
    row = torch.arange(pairs.trained, len(pairs.y)).repeat(_REPEATS)[:_MOST_REPEATED]
    number = torch.arange(len(row))
    drawn = Draws(normal(len(row), v.shape[1:], 0, "shrink"), (number + 0.5) / len(row), number)
    drawn = drawn._replace(u=drawn.u[uniform(len(row), (), 0, "shrink levels").argsort()])
    answer, wanted = objective.answer(network, v[row], drawn, row)
    share = float((answer * wanted).sum() / answer.square().sum().clamp(min=1e-30))
    share = min(1.0, max(0.0, share))
    network.outputs.weight.mul_(share)
    network.outputs.bias.mul_(share)


def _straight(pairs: Pairs, reader: nn.Module, recipe: Recipe) -> tuple[NormalNetwork, Whitening]:
    """The normal network before training: the linear regression where z is a vector, else the mean; and v."""
    vector = pairs.z.shape[1] if pairs.z.ndim == 2 else 0
    law = NormalNetwork(reader, vector, pairs.y.shape[1], recipe.settings.seed)
    y = pairs.y[: pairs.trained]
    mean = y.mean(0)
    if not vector:
        return law, _whitening(mean, y - mean)
    z = torch.nan_to_num(pairs.z[: pairs.trained].double(), nan=0.0)
    centre = z.mean(0)
    gram = (z - centre).T @ (z - centre)
    ridge = _RIDGE * len(z) ** 0.5 * torch.eye(vector, dtype=torch.float64)
    slope = torch.linalg.solve(gram + ridge, (z - centre).T @ (y - mean))
    whitening = _whitening(mean, y - mean - (z - centre) @ slope)
    weight = torch.linalg.solve_triangular(whitening.root, slope.T, upper=False)
    law.start(weight, -weight @ centre)
    return law, whitening


def _whitening(mean: Tensor, residual: Tensor) -> Whitening:
    covariance = residual.T @ residual / len(residual)
    floor = 1e-9 * torch.eye(len(mean), dtype=torch.float64) * covariance.diagonal().mean()
    return Whitening(mean, torch.linalg.cholesky(covariance + floor))


def trained(
    network: nn.Module, v: Tensor, pairs: Pairs, objective: Objective, settings: Settings, report: Report
) -> None:
    """Train a network on the rows that are not held out; it keeps the weights of the least held-out loss."""
    row = torch.arange(len(v))
    n = pairs.trained
    for progress in train(
        network, v[:n], settings=settings, condition=row[:n], held=v[n:], held_condition=row[n:], objective=objective
    ):
        report(progress.fraction, "training")
    network.eval()
