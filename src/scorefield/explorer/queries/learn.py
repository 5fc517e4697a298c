"""Learning a score field by any objective, against the exact field and the exact floor of the loss."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from scorefield import objectives
from scorefield.analytic import Gaussian, GaussianMixture
from scorefield.core import Level, StaticScore
from scorefield.denoiser import Denoiser, PotentialGradient, StaticNetwork, at
from scorefield.explorer.queries.field import window
from scorefield.explorer.queries.laws import spread
from scorefield.explorer.queries.params import Checked, Extent, Law, Seed, Within, law_of
from scorefield.explorer.queries.pauses import pause
from scorefield.levels import Ladder, log_uniform
from scorefield.nets import ResidualMLP, ScalarMLP
from scorefield.objectives import Floor

if TYPE_CHECKING:
    from scorefield.explorer.session import Session

Objective: TypeAlias = Literal["explicit", "implicit", "sliced", "finite-difference sliced", "denoising", "multi-level"]
Loss: TypeAlias = Callable[[Tensor, int], Tensor]
_LEVELS = 12  # of multi-level training
_FLOOR = 8192  # samples for a floor
_MOST_TRACES = 2_000_000  # of one measurement, times the width: half a second
_MOST_STEP = 1 << 18  # of one step of training: half a second
_MOST_WORK = 20_000_000  # between two answers: seconds


class Task(NamedTuple):
    """What is to be learned.

    Args:
        network: whose parameters are trained.
        loss: `(x, seed) -> (n,)`.
        score: of the network at the level that is drawn.
        level: of the exact score that it should say.
        floor: least possible mean loss.
    """

    network: nn.Module
    loss: Loss
    score: StaticScore
    level: Level
    floor: Floor


@dataclass(frozen=True)
class Train(Checked):
    """A training.

    Args:
        objective: what is minimised.
        mixture: of the data.
        sigma: noise level of denoising; of multi-level training the one that is drawn.
        network: a field, which need not be a gradient; the gradient of an energy; a linear score, as Gaussians have.
        width: of the network's two blocks.
        steps: of Adam.
        batch: samples a step, new ones each.
        rate: learning rate; it falls to 0 as a cosine.
        every: steps between two answers.
        x_range: of the fields.
        y_range: of the fields.
        n: points of the fields along each axis.
        seed: of network, data and noise.
    """

    objective: Objective = "denoising"
    mixture: Law = "two modes"
    sigma: Annotated[float, Within(0.02, 20)] = 0.5
    network: Literal["field", "energy", "linear"] = "field"
    width: Annotated[int, Within(4, 256)] = 64
    steps: Annotated[int, Within(1, 5000)] = 1000
    batch: Annotated[int, Within(8, 4096)] = 256
    rate: Annotated[float, Within(1e-5, 0.1)] = 3e-3
    every: Annotated[int, Within(1, 500)] = 25
    x_range: Extent = (-5.0, 5.0)
    y_range: Extent = (-5.0, 5.0)
    n: Annotated[int, Within(2, 40)] = 20
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch * self.width > _MOST_STEP:
            raise ValueError(f"batch * width must be at most {_MOST_STEP:,}, got {self.batch * self.width:,}.")
        if self.batch * self.every * self.width > _MOST_WORK:
            raise ValueError(f"batch * every * width must be at most {_MOST_WORK:,}; take a smaller every.")


def train(p: Train, session: Session) -> Iterator[dict[str, Any]]:
    """First and every so many steps `step`, `loss` (mean since the last answer; None at first), `floor`,
    `floor_error`, `milliseconds` a step, `learned` `(n, n, 2)`, `error` `(n, n)`, the norm of the difference to
    `exact`, `rms`, that of it under the data, and `rms_clean`, likewise to the score of clean data; the first answer
    has `at`, `exact` and `clean` `(n, n, 2)`, the score that should be learned and that of clean data, too.
    """
    law = law_of(p.mixture)
    return _training(p, law, task(p, law))


def _training(p: Train, law: GaussianMixture, t: Task) -> Iterator[dict[str, Any]]:
    adam = torch.optim.Adam(t.network.parameters(), lr=p.rate)
    fall = torch.optim.lr_scheduler.LambdaLR(adam, lambda k: 0.5 * (1 + math.cos(math.pi * k / p.steps)))
    picture = _Picture(p, law, t)
    yield {**picture(0, None, None), **picture.fixed()}
    done, losses, seconds = 0, 0.0, 0.0
    while done < p.steps:
        count = min(p.every, p.steps - done)
        begun = time.perf_counter()
        losses = sum(_step(t, adam, law, p, done + k, fall) for k in range(count)) / count
        seconds = (time.perf_counter() - begun) / count
        done += count
        yield picture(done, losses, 1e3 * seconds)


def _step(
    t: Task,
    adam: torch.optim.Optimizer,
    law: GaussianMixture,
    p: Train,
    k: int,
    fall: torch.optim.lr_scheduler.LRScheduler,
) -> float:
    pause()
    with torch.enable_grad():
        x = law.sample(p.batch, p.seed, first=k * p.batch).float()
        loss = t.loss(x, p.seed * 10_007 + k).mean()
        adam.zero_grad()
        loss.backward()
    nn.utils.clip_grad_norm_(t.network.parameters(), 10.0)
    adam.step()
    fall.step()
    if not math.isfinite(float(loss.detach())):
        raise ValueError(f"the loss is not finite at step {k}; lower the learning rate, {p.rate:g}.")
    return float(loss.detach())


def task(p: Train, law: GaussianMixture) -> Task:
    """Network, loss, and what the loss is least at."""
    network = _network(p)
    if p.objective == "multi-level":
        return _multilevel(p, law, network)
    score = StaticNetwork(network)
    noisy = p.objective == "denoising"
    floor = objectives.denoising_floor(law, p.sigma, _FLOOR, p.seed) if noisy else _clean_floor(p, law)
    return Task(network, _static_loss(p, law, score), score, Level(1.0, p.sigma if noisy else 0.0), floor)


class _Linear(nn.Module):
    """`A x + b` at every level."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix, self.shift = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor, level_feature: Tensor, condition: Tensor | None) -> Tensor:
        return x @ self.matrix.T + self.shift


def _network(p: Train) -> nn.Module:
    if p.network == "linear":
        return _Linear()
    if p.network == "energy":
        return PotentialGradient(ScalarMLP(2, width=p.width, depth=2, seed=p.seed))
    return ResidualMLP(2, width=p.width, depth=2, seed=p.seed)


def _static_loss(p: Train, law: GaussianMixture, score: StaticScore) -> Loss:
    losses: dict[str, Loss] = {
        "explicit": lambda x, seed: objectives.explicit(score, x, law.score),
        "implicit": lambda x, seed: objectives.implicit(score, x),
        "sliced": lambda x, seed: objectives.sliced(score, x, seed=seed),
        "finite-difference sliced": lambda x, seed: objectives.finite_difference_sliced(score, x, seed=seed),
        "denoising": lambda x, seed: objectives.denoising(score, x, p.sigma, seed=seed),
    }
    return losses[p.objective]


def _clean_floor(p: Train, law: GaussianMixture) -> Floor:
    """0 for explicit matching; for those without the true score `-E|true score|^2 / 2`."""
    if p.objective == "explicit":
        return Floor(0.0, 0.0)
    each = -objectives.explicit(torch.zeros_like, law.sample(_FLOOR, p.seed), law.score)
    return Floor(float(each.mean()), float(each.std()) / math.sqrt(len(each)))


def _multilevel(p: Train, law: GaussianMixture, network: nn.Module) -> Task:
    scale = spread(law)
    sigmas = tuple(log_uniform(_LEVELS, 20 * scale, 0.02, end=False).sigma.tolist())
    model = Denoiser(network, sigma_data=scale, sigma_min=0.02, sigma_max=20 * scale)
    ladder, weighting = Ladder(sigmas), objectives.EDM(scale)
    floors = [objectives.multilevel_floor(law, Level(1.0, s), weighting, _FLOOR, p.seed) for s in sigmas]
    floor = Floor(
        sum(f.value for f in floors) / len(floors), math.hypot(*(f.standard_error for f in floors)) / len(floors)
    )
    level = Level(1.0, min(max(p.sigma, model.sigma_min), model.sigma_max))
    return Task(
        network,
        lambda x, seed: objectives.multilevel(model, x, ladder, weighting, seed=seed),
        at(model, level),
        level,
        floor,
    )


class _Picture:
    """Learned and exact field on a grid."""

    def __init__(self, p: Train, law: GaussianMixture, t: Task) -> None:
        self.n, self.task, self.law = p.n, t, law
        self.nodes = window(p.x_range, p.y_range, p.n)[2]
        self.exact = law.score(self.nodes.double(), t.level)
        self.x = law.sample(1024, p.seed + 1, t.level)
        self.exact_scores = law.score(self.x, t.level), law.score(self.x)

    @torch.no_grad()
    def __call__(self, step: int, loss: float | None, milliseconds: float | None) -> dict[str, Any]:
        learned = self.task.score(self.nodes).double()
        there = self.task.score(self.x.float()).double()
        rms, rms_clean = (float((there - true).square().sum(1).mean().sqrt()) for true in self.exact_scores)
        return {
            "step": step,
            "loss": loss,
            "floor": self.task.floor.value,
            "floor_error": self.task.floor.standard_error,
            "milliseconds": milliseconds,
            "learned": self._square(learned),
            "error": (learned - self.exact).norm(dim=1).reshape(self.n, self.n).float().numpy(),
            "rms": rms,
            "rms_clean": rms_clean,
        }

    def fixed(self) -> dict[str, Any]:
        return {
            "at": self._square(self.nodes),
            "exact": self._square(self.exact),
            "clean": self._square(self.law.score(self.nodes.double())),
            "sigma": float(self.task.level.sigma),
        }

    def _square(self, x: Tensor) -> Any:
        return x.float().reshape(self.n, self.n, 2).numpy()


# ------------------------------------------------------------------------------------------------------------ its cost


@dataclass(frozen=True)
class Cost(Checked):
    """What one step costs as the dimension grows.

    Args:
        dimensions: at most 6 of them, each up to 200.
        width: of the network.
        batch: samples a step.
        repeats: the least time of so many is taken.
        seed: of data and noise.
    """

    dimensions: Annotated[tuple[int, ...], Within(1, 200)] = (2, 8, 32, 100)
    width: Annotated[int, Within(4, 256)] = 64
    batch: Annotated[int, Within(8, 512)] = 64
    repeats: Annotated[int, Within(1, 10)] = 2
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= len(self.dimensions) <= 6:
            raise ValueError(f"dimensions must have from 1 to 6 entries, got {len(self.dimensions)}.")
        if self.batch * max(self.dimensions) * self.width > _MOST_TRACES:
            raise ValueError(f"batch * dimension * width must be at most {_MOST_TRACES:,}.")


def cost(p: Cost, session: Session) -> Iterator[dict[str, Any]]:
    """For each dimension `dimension` and milliseconds a step of `explicit`, `implicit` (exact trace), `sliced`,
    `denoising`: loss and gradient, on standard normal data.
    """
    return (_cost(p, d) for d in p.dimensions)


def _cost(p: Cost, d: int) -> dict[str, Any]:
    law = Gaussian(torch.zeros(d), torch.eye(d))
    x = law.sample(p.batch, p.seed)
    score = StaticNetwork(ResidualMLP(d, width=p.width, depth=2, seed=p.seed))
    losses: dict[str, Callable[[], Tensor]] = {
        "explicit": lambda: objectives.explicit(score, x, law.score),
        "implicit": lambda: objectives.implicit(score, x),
        "sliced": lambda: objectives.sliced(score, x, seed=p.seed),
        "denoising": lambda: objectives.denoising(score, x, 0.5, seed=p.seed),
    }
    return {"dimension": d, **{name: _milliseconds(loss, score, p.repeats) for name, loss in losses.items()}}


def _milliseconds(loss: Callable[[], Tensor], network: nn.Module, repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):  # the first one warms up
        pause()
        begun = time.perf_counter()
        with torch.enable_grad():
            torch.autograd.grad(loss().mean(), list(network.parameters()), allow_unused=True)
        times.append(time.perf_counter() - begun)
    return 1e3 * min(times[1:])
