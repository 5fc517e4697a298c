"""From pairs of y and a condition to the score of y given it: a normal law, then what it misses, both watched."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from scorefield.numerics.random import normal, uniform
from scorefield.objectives.batch import Draws, Objective
from scorefield.posterior.budget import Budget
from scorefield.posterior.conditional import SIGMA_MAX, SIGMA_MIN, ConditionalScore, Whitening
from scorefield.posterior.networks import NormalEnsemble, NormalNetwork, ScoreNetwork, standardised
from scorefield.posterior.objectives import Correction, NormalLikelihood
from scorefield.progress import Report, part, silent
from scorefield.training.checkpoint import Settings
from scorefield.training.loop import default_levels, train

Network = TypeVar("Network", bound=nn.Module)

HELD_SHARE = 0.1
"""Of the pairs, held out: never trained on, they choose the weights."""
_MOST_HELD = 2000
_RIDGE = 1e-3  # times the root of the number of rows
_MOST_MEMBERS = 3  # networks whose mean is taken where their number is left open
_PATIENCE = 10  # looks at the held-out loss without a better one, after which there a network is done
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
        members: networks of the normal law, and of the score, whose mean is taken; None: one, and up to three where
            those before stopped to become better and left the time for another.
        dropout: share of hidden features that are dropped while training.
        settings: of the training of each network; a budget of time is for all of them together.
        hide: share of the values of conditions that are hidden in half of the rows.
        normal: share of the time for the normal law.
    """

    width: int = 128
    depth: int = 4
    members: int | None = None
    dropout: float = 0.1
    settings: Settings = DEFAULT
    hide: float = 0.0
    normal: float = 0.35

    def part(self, share: float) -> Settings:
        """The settings of a part of the training: its share of the time; the steps are those of every network."""
        seconds = self.settings.seconds
        return replace(self.settings, seconds=None if seconds is None else seconds * share)

    def lasting(self, seconds: float | None) -> Recipe:
        """With so many seconds in place of the budget of time, but a tenth of it at least."""
        budget = self.settings.seconds
        if budget is None or seconds is None:
            return self
        return replace(self, settings=replace(self.settings, seconds=max(seconds, budget / 10)))


def fit_conditional(pairs: Pairs, reader: nn.Module, recipe: Recipe, report: Report = silent) -> ConditionalScore:
    """The law of y given z, from pairs.

    Args:
        pairs: to train on.
        reader: of z; every network gets a copy of it.
        recipe: sizes and budget.
        report: hears how far the training is.
    """
    budget = Budget(recipe.settings.seconds)
    normals, whitening = _normal_laws(pairs, reader, recipe, part(report, 0, recipe.normal))
    law = normals[0] if len(normals) == 1 else NormalEnsemble(normals)
    v = whitening.inward(pairs.y).float()
    laws = ConditionalScore(law, [], whitening).laws(pairs.z).like(v)
    correction = Correction(pairs.z, laws, LEVELS, recipe.hide)

    def one(settings: Settings, hear: Report) -> ScoreNetwork:
        network = ScoreNetwork(reader, pairs.y.shape[1], recipe.width, recipe.depth, recipe.dropout, settings.seed)
        trained(network, v, pairs, correction, settings, hear)
        _shrink_score(network, v, pairs, correction)
        return network

    rest = recipe.lasting(budget.left()).settings
    networks = _several(one, rest, recipe.members, part(report, recipe.normal, 1))
    return ConditionalScore(law, networks, whitening).eval()


def _normal_laws(
    pairs: Pairs, reader: nn.Module, recipe: Recipe, report: Report
) -> tuple[list[NormalNetwork], Whitening]:
    """Networks of the normal law in the share of the time that is theirs, and the way to v, which they share."""
    whitening = _straight(pairs, reader, recipe)[1]

    def one(settings: Settings, hear: Report) -> NormalNetwork:
        return fit_normal(pairs, reader, replace(recipe, settings=settings), hear)[0]

    return _several(one, recipe.part(recipe.normal), recipe.members, report), whitening


def _several(
    one: Callable[[Settings, Report], Network], settings: Settings, members: int | None, report: Report
) -> list[Network]:
    """Networks with seeds of their own: so many; or one, and others as long as there is time for them."""
    seconds, found = settings.seconds, list[Network]()
    if members is not None or seconds is None:
        count = members or 1
        share = None if seconds is None else seconds / count
        for k in range(count):
            own = replace(settings, seconds=share, seed=settings.seed + k)
            found.append(one(own, part(report, k / count, (k + 1) / count)))
        return found
    budget, left = Budget(seconds), seconds
    patience = _PATIENCE if settings.patience is None else settings.patience
    while not found or (len(found) < _MOST_MEMBERS and left > (seconds - left) / len(found)):
        own = replace(settings, seconds=left, patience=patience, seed=settings.seed + len(found))
        found.append(one(own, part(report, 1 - left / seconds, 1)))
        left = budget.left() or 0.0
    return found


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
    if not vector:
        y = pairs.y[: pairs.trained]
        return law, _whitening(y.mean(0), y - y.mean(0))
    weight, bias, whitening = regression(pairs)
    law.start(weight, bias)
    return law, whitening


def regression(pairs: Pairs) -> tuple[Tensor, Tensor, Whitening]:
    """The linear regression of v on vectors z, `(d, k)` and `(d,)`, and the way to v, of residual covariance 1."""
    y = pairs.y[: pairs.trained]
    mean = y.mean(0)
    z = torch.nan_to_num(pairs.z[: pairs.trained].double(), nan=0.0)
    centre = z.mean(0)
    gram = (z - centre).T @ (z - centre)
    ridge = _RIDGE * len(z) ** 0.5 * torch.eye(z.shape[1], dtype=torch.float64)
    slope = torch.linalg.solve(gram + ridge, (z - centre).T @ (y - mean))
    whitening = _whitening(mean, y - mean - (z - centre) @ slope)
    weight = torch.linalg.solve_triangular(whitening.root, slope.T, upper=False)
    return weight, -weight @ centre, whitening


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
