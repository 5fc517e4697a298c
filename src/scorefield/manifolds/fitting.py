"""From points on a manifold to a score of all noise levels, with samples and log-densities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from scorefield._files import shown
from scorefield.levels import LogUniform
from scorefield.manifolds.flow import largest, log_density
from scorefield.manifolds.losses import Denoising
from scorefield.manifolds.manifold import Manifold
from scorefield.manifolds.mixture import HeatMixture
from scorefield.manifolds.network import TangentScore
from scorefield.manifolds.stored import FORM, FORMAT, header_of, score_from, tensors_of
from scorefield.manifolds.walks import levels, sample
from scorefield.progress import Report, silent
from scorefield.training import model_folder
from scorefield.training.checkpoint import Settings
from scorefield.training.loop import train

DEFAULT = Settings(steps=3000, batch=256, learning_rate=2e-3, evaluate_every=100, condition_dropout=0.0)
"""How a score is trained where nothing else is said."""


@dataclass(frozen=True, eq=False)
class TrainedScore:
    """A score on a manifold that was trained, with the noise levels it knows. Calling it gives the score.

    Args:
        score: the network.
        sigma_min: least noise level: samples and log-densities are those of the data noised by it.
        sigma_max: largest, where the noised data are uniform.
    """

    score: TangentScore
    sigma_min: float
    sigma_max: float

    @property
    def manifold(self) -> Manifold:
        """Of the points."""
        return self.score.manifold

    def __repr__(self) -> str:
        return f"TrainedScore(on {self.manifold}, sigma from {self.sigma_min:g} to {self.sigma_max:.3g} radians)"

    def __call__(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The score of the data noised by sigma, `(n, *shape)`."""
        return self.score(x, sigma)

    def sample(self, n: int, seed: int = 0, *, steps: int = 200, first: int = 0) -> Tensor:
        """n new points, `(n, *shape)` float32; see `walks.sample`."""
        return sample(
            self.manifold,
            self.score,
            n,
            sigma_min=self.sigma_min,
            sigma_max=self.sigma_max,
            steps=steps,
            seed=seed,
            first=first,
        )

    def log_density(self, x: Tensor, *, tolerance: float = 1e-4) -> Tensor:
        """`log p(x)`, `(n,)` float64, in nats per unit of volume; see `flow.log_density`."""
        found = log_density(
            self.manifold,
            self.score,
            x.float(),
            sigma_min=self.sigma_min,
            sigma_max=self.sigma_max,
            tolerance=tolerance,
        )
        return found.value

    def save(self, folder: str | Path) -> None:
        """Write `model.json` and `model.safetensors`, atomically each, the weights first.

        Raises:
            ValueError: for a score on another manifold than `Sphere`, `Torus` and `SO3`.
        """
        header = {**header_of(self.score), "sigma_min": self.sigma_min, "sigma_max": self.sigma_max, "info": {}}
        model_folder.save(Path(folder), FORM, FORMAT, header, tensors_of(self.score))

    @staticmethod
    def load(folder: str | Path) -> TrainedScore:
        """Read the folder that `save` wrote.

        Raises:
            FileError: for a missing, truncated or foreign file, or weights that belong to another model.json.
        """
        return model_folder.load(Path(folder), FORM, FORMAT, "score on a manifold", _made)


def _made(header: dict[str, Any], tensors: dict[str, Tensor]) -> TrainedScore:
    low, high = header.get("sigma_min"), header.get("sigma_max")
    if not (type(low) is float and type(high) is float and 0 < low < high < math.inf):
        raise ValueError(f"sigma_min and sigma_max are numbers, 0 < sigma_min < sigma_max, got {shown([low, high])}.")
    return TrainedScore(score_from(header, tensors).eval().requires_grad_(False), low, high)


def fit(
    manifold: Manifold,
    x: Tensor,
    *,
    held: Tensor | None = None,
    base: HeatMixture | None = None,
    settings: Settings = DEFAULT,
    sigma_min: float = 0.02,
    sigma_max: float | None = None,
    width: int = 128,
    depth: int = 3,
    frequencies: tuple[float, ...] = (2.0, 4.0, 8.0),
    report: Report = silent,
) -> TrainedScore:
    """Learn the score of data on a manifold at all noise levels, by denoising with the exact heat kernel.

    Args:
        manifold: of the points.
        x: data `(n, *shape)`.
        held: points that are not trained on: the weights with the least loss on them are kept, and the training ends
            when that stops falling. Without them the last weights are kept, which with few data have learned them by
            heart.
        base: a law whose noised score is exact; the network learns what it misses.
        settings: of the training.
        sigma_min: least noise level, in radians: what the answer is blurred by.
        sigma_max: largest; default: where all is uniform to about 1e-4 nats.
        width: of the network.
        depth: of the network.
        frequencies: of the network's features.
        report: hears how far the training is.

    Raises:
        ValueError: for points off the manifold, named by their row, or too few of them.

    Example:
        >>> import torch
        >>> from scorefield.manifolds import HeatMixture, Torus
        >>> law = HeatMixture(Torus(1), torch.ones(1), torch.zeros(1, 1), torch.ones(1))
        >>> found = fit(law.manifold, law.sample(200, seed=0), settings=Settings(steps=5), width=16, depth=1)
        >>> found
        TrainedScore(on Torus(d=1), sigma from 0.02 to 4.54 radians)
    """
    manifold.check(x)
    if not len(x):
        raise ValueError("fit needs at least one point, got none.")
    if held is not None:
        manifold.check(held)
    top = largest(manifold) if sigma_max is None else sigma_max
    levels(sigma_min, top, 1)
    score = TangentScore(manifold, base, frequencies, width, depth, seed=settings.seed)
    objective = Denoising(manifold, LogUniform(sigma_min, top))
    known = None if held is None else held.float()
    for progress in train(score, x.float(), settings=settings, held=known, objective=objective):
        report(progress.fraction, f"step {progress.step}, loss {progress.loss:.4f}")
    return TrainedScore(score.eval().requires_grad_(False), float(sigma_min), float(top))
