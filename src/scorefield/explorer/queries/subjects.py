"""What chains and samplers are about: a mixture, whose law is exact, or the open run, judged by its own samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from scorefield import plans
from scorefield.analytic import GaussianMixture
from scorefield.core import Level, Model
from scorefield.explorer.queries.laws import dtype_of, plane, spread
from scorefield.explorer.queries.params import Law, law_of
from scorefield.explorer.queries.pauses import paced
from scorefield.numerics.random import noise_like
from scorefield.records.trained import TrainedModel

if TYPE_CHECKING:
    from scorefield.explorer.session import Session

_EVALUATIONS = 32  # for the run's own samples: their error is far below what thousands of them show


@dataclass(frozen=True)
class SubjectParams:
    """What chains and samplers are about.

    Args:
        mixture: whose exact model is followed.
        run: the open run in its place.
    """

    mixture: Law = "two modes"
    run: bool = False


@dataclass(frozen=True, eq=False)
class Subject:
    """A model of points of the plane with its place and size; equal only to itself, so that it is a key.

    Args:
        model: that answers, with a pause before each evaluation.
        law: the exact law; None for a run.
        mean: of the data, `(2,)`.
        scale: standard deviation of a coordinate, over both.
        sigma_min: least noise at which the model answers.
        sigma_max: greatest.
    """

    model: Model
    law: GaussianMixture | None
    mean: Tensor
    scale: float
    sigma_min: float = 0.0
    sigma_max: float = math.inf

    @property
    def dtype(self) -> torch.dtype:
        """Of the points that the model takes."""
        return dtype_of(self.model)

    def sample(self, n: int, seed: int, level: Level | None = None) -> Tensor:
        """Data `(n, 2)`, noised to the level: exact ones, or those that the run makes."""
        if self.law is not None:
            return self.law.sample(n, seed, level)
        x = _own(self, n, seed)
        return x if level is None else level.noised(x, noise_like(x, seed, "explorer own"))

    def range(self, high: float, low: float) -> tuple[float, float]:
        """Noise levels in standard deviations of the data, kept within those of the model."""
        return min(high * self.scale, self.sigma_max), max(low * self.scale, self.sigma_min)


@lru_cache(maxsize=8)
@torch.no_grad()
def _own(subject: Subject, n: int, seed: int) -> Tensor:
    high, low = subject.range(80.0, 0.002)
    plan = plans.default(_EVALUATIONS, scale=subject.scale, sigma_min=low, sigma_max=high, dimensions=2)
    start = plan.start(n, (2,), seed, subject.mean, subject.scale, dtype=subject.dtype)
    return plans.run(plan, subject.model, start, seed=seed)


def subject_of(p: SubjectParams, session: Session) -> Subject:
    """What a request is about.

    Raises:
        ValueError: for a run where none is open, or one that does not live in the plane.
    """
    if not p.run:
        return _of_law(p.mixture)
    model: Any = plane(session)
    whole = session.run if isinstance(session.run, TrainedModel) else model  # a table's moments are in its model
    return _of_run(model, getattr(whole, "mean", None), getattr(whole, "covariance", None))


@lru_cache(maxsize=32)
def _of_law(mixture: Law) -> Subject:
    law = law_of(mixture)
    return Subject(paced(law), law, law.mean, spread(law))


@lru_cache(maxsize=1)
def _of_run(model: Any, mean: Tensor | None, covariance: Tensor | None) -> Subject:
    scale = float(model.sigma_data) if covariance is None else float(covariance.diagonal().mean().sqrt())
    mean = torch.zeros(2) if mean is None else mean
    return Subject(paced(model), None, mean.to(dtype_of(model)), scale, float(model.sigma_min), float(model.sigma_max))
