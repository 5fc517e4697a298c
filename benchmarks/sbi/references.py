"""Exact draws from the posteriors of the eight tasks, for observations found from a seed.

    for observation in observations(task, OPEN):
        reference = draws(task, observation.x, 10_000, seed=0)      # (10_000, d)

Four posteriors are drawn in closed form. The others are drawn by rejection, which leaves independent draws, with
proposals from a histogram on a grid that zooms in (SIR; SLCP after its location is integrated out and its four mirror
images are folded), or from a mixture of t laws found by tempered importance sampling (Bernoulli GLM, Lotka-Volterra).
The bound of the rejection may cut away 0.05 % of the mass; a proposal that fits too badly for that raises.

`OPEN` is the set of ten observations that may be looked at; `HELD_OUT` another, for figures only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tasks
import torch
from scipy.special import ndtr, ndtri
from sklearn.mixture import GaussianMixture
from tasks import Task
from torch import Generator, Tensor
from torch.distributions import MultivariateNormal
from torch.nn.functional import avg_pool2d, avg_pool3d

OPEN, HELD_OUT = 1, 2
"""Seeds of the two sets of observations."""
COUNT = 10
DRAWS = 10_000

LogDensity = Callable[[Tensor], Tensor]
"""From points (n, d), float64, to an unnormalised log-density (n,)."""


@dataclass(frozen=True)
class Observation:
    """What was seen, x (k,), and the parameters behind it, theta (d,)."""

    theta: Tensor
    x: Tensor


def observations(task: Task, seed: int, count: int = COUNT) -> list[Observation]:
    """Parameters from the prior and what the simulator gives for them; never those of any training set."""
    theta = task.draw(count, 1_000_000 + seed)
    x = task.simulate(theta, 2_000_000 + seed)
    return [Observation(*pair) for pair in zip(theta, x, strict=True)]


def draws(task: Task, x: Tensor, n: int, seed: int) -> Tensor:
    """n draws (n, d), float32, from the posterior of the parameters given x (k,)."""
    return METHODS[task.name](task, x.double(), n, torch.Generator().manual_seed(seed)).float()


def cached(folder: Path, task: Task, seed: int, number: int, n: int = DRAWS) -> Tensor:
    """The draws for one of the observations of a set, kept in the folder once found."""
    path = folder / f"{task.name}-{seed}-{number}-{n}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        found = draws(task, observations(task, seed)[number].x, n, 3_000_000 + 1000 * seed + number)
        np.save(path, found.numpy())
    return torch.from_numpy(np.load(path))


def uniform(*shape: int, generator: Generator) -> Tensor:
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def gaussian(*shape: int, generator: Generator) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


MOST_TRIES = 10_000
"""Proposals for each draw, where few fall into the box of the prior."""


def kept(make: Callable[[int], Tensor], n: int) -> Tensor:
    """n rows of as many calls as are needed, each of which tries n and gives those that were accepted."""
    found = [make(n)]
    while sum(map(len, found)) < n:
        if len(found) == MOST_TRIES:
            raise ValueError(f"Of {MOST_TRIES * n} proposals {sum(map(len, found))} were accepted.")
        found.append(make(n))
    return torch.cat(found)[:n]


# Closed forms


def two_moons(task: Task, x: Tensor, n: int, generator: Generator) -> Tensor:
    """theta turned by 45 degrees is x less the half circle; its first coordinate has either sign, if it has any."""

    def make(count: int) -> Tensor:
        turned = x - tasks.moon_noise(count, generator)
        sign = 1 - 2 * torch.randint(2, (count,), generator=generator)
        total, difference = -sign * turned[:, 0] * math.sqrt(2), turned[:, 1] * math.sqrt(2)
        theta = torch.stack((total - difference, total + difference), 1) / 2
        return theta[(turned[:, 0] <= 0) & (theta.abs() <= 1).all(1)]

    return kept(make, n)


def gaussian_mixture(task: Task, x: Tensor, n: int, generator: Generator) -> Tensor:
    def make(count: int) -> Tensor:
        theta = tasks.gaussian_mixture(x.expand(count, -1), generator)
        return theta[(theta.abs() <= 10).all(1)]

    return kept(make, n)


def gaussian_linear(task: Task, x: Tensor, n: int, generator: Generator) -> Tensor:
    """Prior and noise have one variance: half of x, with half of that variance."""
    return x / 2 + math.sqrt(tasks.LINEAR_VARIANCE / 2) * gaussian(n, len(x), generator=generator)


def gaussian_linear_uniform(task: Task, x: Tensor, n: int, generator: Generator) -> Tensor:
    """A normal cut at the box: the distribution function inverted, on the side where it is small."""
    deviation = math.sqrt(tasks.LINEAR_VARIANCE)
    mirrored = torch.where(x > 0, -1.0, 1.0).double()
    low, high = ((edge - mirrored * x) / deviation for edge in (-1.0, 1.0))
    below, above = ndtr(-high.numpy()), ndtr(-low.numpy())
    share = below + (above - below) * uniform(n, len(x), generator=generator).numpy()
    return mirrored * (mirrored * x - deviation * torch.from_numpy(ndtri(share)))


# Rejection

LEAST_ACCEPTED, CUT = 0.01, 5e-4

Propose = Callable[[int], tuple[Tensor, Tensor]]
"""From a count to points (count, d) and the logarithms of target over proposal there, up to a constant."""


def chances(ratios: Tensor) -> Tensor:
    """Of acceptance: ratios over the lowest bound that, where it is passed, leaves out at most `CUT` of the mass."""
    weights = (ratios - ratios.max()).exp()
    ordered = weights.sort(descending=True).values
    passed = ordered.cumsum(0) - ordered * torch.arange(1, len(ordered) + 1)
    bound = ordered[passed <= CUT * weights.sum()][-1]
    return (weights / bound).clamp(max=1)


def by_rejection(propose: Propose, n: int, generator: Generator) -> Tensor:
    """n draws of a target."""
    points, ratios = propose(2 * n)
    heights = uniform(len(points), generator=generator)
    while True:
        chance = chances(ratios)
        accepted = chance > heights
        if int(accepted.sum()) >= n:
            return points[accepted][:n]
        share = float(chance.mean())
        if share < LEAST_ACCEPTED:
            raise ValueError(f"One proposal in {1 / share:.0f} is accepted: it does not fit the target.")
        more = propose(max(math.ceil(1.1 * n / share) - len(points), n // 10))
        points, ratios = torch.cat((points, more[0])), torch.cat((ratios, more[1]))
        heights = torch.cat((heights, uniform(len(more[0]), generator=generator)))


def in_logarithms(task: Task) -> MultivariateNormal:
    """The normal law, in float64, whose exponential is the task's log-normal prior."""
    law = task.prior.base_dist
    return MultivariateNormal(law.loc.double(), scale_tril=law.scale.double().diag())


# Proposals from a histogram on a grid

CELLS = {2: 300, 3: 120}
COARSE = {2: 100, 3: 30}
"""Cells along an axis while zooming in."""
ZOOMS = (1e-3, 1e-2, 0.1, 0.5, 1.0, 1.0)
"""Exponents of the density at each step: a coarse grid could miss the peak of the density itself."""
NEGLIGIBLE = 1e-8


@dataclass(frozen=True)
class Grid:
    """Equal cells of a box, `cells` along each of d axes."""

    low: Tensor
    high: Tensor
    cells: int

    @property
    def width(self) -> Tensor:
        return (self.high - self.low) / self.cells

    def centers(self) -> Tensor:
        """(cells ** d, d), the last axis runs fastest."""
        steps = torch.arange(self.cells, dtype=torch.float64) + 0.5
        return self.low + self.width * torch.cartesian_prod(*[steps] * len(self.low))

    def shares(self, log_density: LogDensity) -> Tensor:
        """(cells, ..., cells): of the whole mass, in each cell by the density at its center."""
        values = log_density(self.centers())
        return (values - values.logsumexp(0)).exp().reshape([self.cells] * len(self.low))

    def zoomed(self, log_density: LogDensity) -> Grid:
        """The smallest box of cells that leaves out a negligible mass on each side, and one cell more."""
        shares = self.shares(log_density)
        bounds = []
        for axis in range(shares.ndim):
            along = shares.sum([other for other in range(shares.ndim) if other != axis])
            first = int((along.cumsum(0) > NEGLIGIBLE).nonzero()[0]) - 1
            last = self.cells - int((along.flip(0).cumsum(0) > NEGLIGIBLE).nonzero()[0]) + 1
            bounds.append((max(first, 0), min(last, self.cells)))
        first, last = torch.tensor(bounds, dtype=torch.float64).T
        return Grid(self.low + self.width * first, self.low + self.width * last, self.cells)


def on_grid(log_density: LogDensity, low: Tensor, high: Tensor, generator: Generator) -> Propose:
    """Proposals for a density on a box of two or three dimensions."""
    d = len(low)
    grid = Grid(low, high, COARSE[d])
    for exponent in ZOOMS:
        grid = grid.zoomed(lambda points: exponent * log_density(points))  # noqa: B023 - called at once
    grid = Grid(grid.low, grid.high, CELLS[d])
    shares = grid.shares(log_density)
    pool = {2: avg_pool2d, 3: avg_pool3d}[d]
    smooth = pool(shares[None], 3, stride=1, padding=1).flatten() + 1e-3 * shares.mean()
    totals = smooth.cumsum(0)

    def propose(count: int) -> tuple[Tensor, Tensor]:
        cell = torch.searchsorted(totals, totals[-1] * uniform(count, generator=generator)).clamp(max=len(totals) - 1)
        place = torch.stack(torch.unravel_index(cell, shares.shape), 1)
        points = grid.low + grid.width * (place + uniform(count, d, generator=generator))
        return points, log_density(points) - smooth[cell].log()

    return propose


def sir(task: Task, x: Tensor, n: int, generator: Generator) -> Tensor:
    """On a grid of the logarithms, from -6 to 6 deviations of the prior."""
    prior = in_logarithms(task)
    reach = 6 * prior.scale_tril.diagonal()

    def log_density(u: Tensor) -> Tensor:
        return prior.log_prob(u) + task.log_likelihood(u.exp(), x)

    return by_rejection(on_grid(log_density, prior.mean - reach, prior.mean + reach, generator), n, generator).exp()


def slcp(task: Task, x: Tensor, n: int, generator: Generator) -> Tensor:
    """The location given the rest is a normal cut at the box: integrated out, then drawn, and rejected outside."""
    points = x.unflatten(0, (tasks.SLCP_POINTS, 2))
    mean = points.mean(0)

    def law(shape: Tensor) -> MultivariateNormal:
        return tasks.slcp_normal(torch.cat((mean.expand(len(shape), -1), shape), 1))

    def log_density(shape: Tensor) -> Tensor:
        normal = law(shape)
        return normal.log_prob(points[:, None]).sum(0) + normal.scale_tril.diagonal(dim1=1, dim2=2).log().sum(1)

    low, high = torch.tensor([0.0, 0.0, -3.0]).double(), torch.full((3,), 3.0).double()
    propose = on_grid(log_density, low, high, generator)

    def make(count: int) -> Tensor:
        shape = by_rejection(propose, count, generator)
        noise = gaussian(count, 2, 1, generator=generator) / math.sqrt(tasks.SLCP_POINTS)
        location = mean + (law(shape).scale_tril @ noise)[..., 0]
        sign = 1 - 2 * torch.randint(2, (count, 2), generator=generator)
        theta = torch.cat((location, sign * shape[:, :2], shape[:, 2:]), 1)
        return theta[(location.abs() <= 3).all(1)]

    return kept(make, n)


# Proposals from a mixture of t laws

ROUND, ROUNDS, REFITS, HEAVY, WIDER = 10_000, 30, 3, 5, 1.2


@dataclass(frozen=True)
class Proposal:
    """A mixture of t laws with `HEAVY` degrees of freedom.

    Args:
        weights: (k,).
        means: (k, d).
        scales: (k, d, d), lower triangular.
    """

    weights: Tensor
    means: Tensor
    scales: Tensor

    def draw(self, n: int, generator: Generator) -> Tensor:
        which = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        d = self.means.shape[1]
        chi = gaussian(n, HEAVY, generator=generator).square().sum(1, keepdim=True) / HEAVY
        noise = gaussian(n, d, generator=generator) / chi.sqrt()
        return self.means[which] + torch.einsum("nij,nj->ni", self.scales[which], noise)

    def log_density(self, u: Tensor) -> Tensor:
        d = u.shape[1]
        constant = math.lgamma((HEAVY + d) / 2) - math.lgamma(HEAVY / 2) - d / 2 * math.log(math.pi * HEAVY)
        terms = []
        for weight, mean, scale in zip(self.weights, self.means, self.scales, strict=True):
            square = torch.linalg.solve_triangular(scale, (u - mean).T, upper=False).square().sum(0)
            spread = scale.diagonal().log().sum()
            terms.append(weight.log() + constant - spread - (HEAVY + d) / 2 * torch.log1p(square / HEAVY))
        return torch.stack(terms).logsumexp(0)


def fitted(u: Tensor, weights: Tensor, generator: Generator) -> Proposal:
    """To weighted points, of the number of components with the best information criterion, a little wider."""
    chosen = u[torch.multinomial(weights, 4000, replacement=True, generator=generator)].numpy()
    models = [GaussianMixture(k, reg_covar=1e-10, random_state=0).fit(scaled(chosen)) for k in (1, 2, 4, 8)]
    best = min(models, key=lambda model: model.bic(scaled(chosen)))
    deviation = torch.from_numpy(chosen.std(0))
    covariances = torch.from_numpy(best.covariances_) * deviation[:, None] * deviation
    means = torch.from_numpy(best.means_) * deviation + torch.from_numpy(chosen.mean(0))
    return Proposal(torch.from_numpy(best.weights_), means, WIDER * torch.linalg.cholesky(covariances))


def scaled(u: np.ndarray) -> np.ndarray:
    return (u - u.mean(0)) / u.std(0)


def effective(log_weights: Tensor) -> float:
    """The share of the points that count under these weights."""
    return float(1 / log_weights.softmax(0).square().sum() / len(log_weights))


COUNTING = 0.1


def temperature(base: Tensor, likelihood: Tensor) -> float:
    """The largest t up to 1 with a tenth of the points counting under base + t likelihood, by bisection."""
    if effective(base + likelihood) > COUNTING:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if effective(base + middle * likelihood) > COUNTING else (low, middle)
    return low


def by_mixture(prior: MultivariateNormal, log_likelihood: LogDensity, generator: Generator) -> Propose:
    """Proposals for prior times likelihood, fitted in rounds to prior times likelihood^t, where t grows to 1."""
    proposal = Proposal(torch.ones(1).double(), prior.mean[None], prior.scale_tril[None])

    def propose(count: int) -> tuple[Tensor, Tensor]:
        u = proposal.draw(count, generator)
        return u, prior.log_prob(u) + log_likelihood(u) - proposal.log_density(u)

    left = REFITS
    for _ in range(ROUNDS):
        u = proposal.draw(ROUND, generator)
        base, likelihood = prior.log_prob(u) - proposal.log_density(u), log_likelihood(u)
        t = temperature(base, likelihood)
        proposal = fitted(u, (base + t * likelihood).softmax(0), generator)
        left -= t == 1
        if not left:
            return propose
    raise ValueError(f"The temperature is at {t} after {ROUNDS} rounds.")


def bernoulli_glm(task: Task, x: Tensor, n: int, generator: Generator) -> Tensor:
    prior = MultivariateNormal(task.prior.mean.double(), precision_matrix=task.prior.precision_matrix.double())
    return by_rejection(by_mixture(prior, lambda u: task.log_likelihood(u, x), generator), n, generator)


def lotka_volterra(task: Task, x: Tensor, n: int, generator: Generator) -> Tensor:
    def log_likelihood(u: Tensor) -> Tensor:
        return task.log_likelihood(u.exp(), x)

    return by_rejection(by_mixture(in_logarithms(task), log_likelihood, generator), n, generator).exp()


METHODS: Mapping[str, Callable[[Task, Tensor, int, Generator], Tensor]] = {
    method.__name__: method
    for method in (
        two_moons,
        gaussian_mixture,
        gaussian_linear,
        gaussian_linear_uniform,
        slcp,
        bernoulli_glm,
        lotka_volterra,
        sir,
    )
}
