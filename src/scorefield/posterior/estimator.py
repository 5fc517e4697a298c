"""Learning p(parameters | observation) from simulations."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from scorefield import _ranges
from scorefield._files import shown
from scorefield.likelihood import LogDensity
from scorefield.posterior.budget import Budget
from scorefield.posterior.learning import By, learn
from scorefield.posterior.networks import SetReader, VectorReader
from scorefield.posterior.observations import ObservationCodec, as_observations, as_one, failed
from scorefield.posterior.prior import Prior, as_prior
from scorefield.posterior.sequential import Round, in_rounds
from scorefield.posterior.simulating import Simulator
from scorefield.posterior.trained import TrainedPosterior
from scorefield.posterior.training import Recipe
from scorefield.progress import Report, silent

LEAST = 20
"""Simulations, at least."""


class PosteriorEstimator:
    """Simulation-based inference: from pairs (parameters, simulated observation) to the posterior of any observation.

    Args:
        prior: that the parameters were drawn from: a `Prior` (`posterior.box`, `gaussian`, `log_normal`, `of`,
            `from_samples`), a law of torch.distributions, or None: only its draws in the simulations are known.
        seconds: of fitting, 240 unless given, on the clock: another process that wants the processor takes of them.
        steps: optimiser steps of each network, instead of a time.
        embedding: network that reads an observation, `z (n, *shape) -> (n, width)`, with an attribute `width`: your own
            nn.Module, `networks.SeriesReader`, ...; default: for vectors and for sets one of this library.
        names: of the parameters; default: the columns of a data frame, or theta0, theta1, ...
        by: what answers: "score", the score of the parameters given the observation; "likelihood", a learned normal
            law of the observation given the parameters, and the prior, whose density it needs; "auto": a likelihood,
            this one or an exponential family, where a classifier cannot tell it from the simulator, and where it gives
            the true parameters of held-out simulations the greatest density.
        missing: share of the values of observations that are hidden while training, so that observations with holes are
            answered; holes in the simulations are, anyway.
        recipe: sizes of the networks and settings of their training.
        seed: of everything random.

    Example:
        >>> from scorefield.posterior import gaussian
        >>> theta = torch.randn(200, 1)
        >>> x = theta + 0.1 * torch.randn(200, 1)
        >>> estimator = PosteriorEstimator(gaussian(0.0, 1.0), steps=2, by="score").fit(theta, x)
        >>> estimator.sample([0.5], 3).shape
        torch.Size([3, 1])
    """

    def __init__(
        self,
        prior: Prior | Distribution | None = None,
        *,
        seconds: float | None = None,
        steps: int | None = None,
        embedding: nn.Module | None = None,
        names: Sequence[str] | None = None,
        by: By = "auto",
        missing: float = 0.0,
        recipe: Recipe | None = None,
        seed: int = 0,
    ) -> None:
        self.prior = prior
        self.embedding = embedding
        self.by: By = by
        _ranges.real(0, 0.9)("PosteriorEstimator(missing=...)", missing)
        self.missing = missing
        self.names = None if names is None else tuple(names)
        recipe = recipe or Recipe()
        if seconds is not None or steps is not None:
            recipe = replace(recipe, settings=replace(recipe.settings, seconds=seconds, steps=steps))
        self.recipe = replace(recipe, settings=replace(recipe.settings, seed=seed))
        self.posterior_: TrainedPosterior | None = None
        self.rounds_: list[Round] = []

    def fit(self, theta: object, x: object, *, report: Report = silent) -> PosteriorEstimator:
        """Learn from simulations.

        Args:
            theta: parameters `(n, d)`: an array, tensor or data frame of numbers.
            x: what was simulated with each: `(n, k)`, `(n, length, k)`, a data frame, or a list of arrays
                `(length_i, k)`.
            report: hears how far the work is.

        Raises:
            ValueError: for parameters outside the prior's support, numbers of rows that differ, too few of them.
        """
        parameters, observed = _checked(theta, x)
        self.posterior_ = self._learned(parameters, observed, self._names(theta, parameters), None, report)
        return self

    def fit_rounds(
        self,
        simulator: Simulator,
        x: object,
        *,
        rounds: int = 3,
        simulations: int = 1000,
        folder: str | Path | None = None,
        processes: int = 1,
        report: Report = silent,
    ) -> PosteriorEstimator:
        """Learn the posterior given one observation from simulations in rounds, each where the posterior so far is.

        The calls of the simulator are in `rounds_`. Other observations are answered from what was simulated for this
        one: not well. The time of the estimator is that of each round.

        Args:
            simulator: as `posterior.simulate`.
            x: the observation, `(k,)`.
            rounds: at most; fewer where the posterior's region no longer shrinks.
            simulations: in each.
            folder: where the simulations are kept; a stopped training goes on with them.
            processes: that simulate at the same time.
            report: hears how far the work is.

        Raises:
            ValueError: for a prior whose density is not known.
        """
        prior = as_prior(self.prior)
        if prior.draw is None or prior.density is None:
            raise ValueError("rounds draw from the prior anew; give its law, such as prior=posterior.box(low, high).")
        one = as_one(x)

        def fit(theta: Tensor, made: Tensor, draw: Callable[[int, int], Tensor]) -> TrainedPosterior:
            parameters, observed = _checked(theta, made)
            return self._learned(parameters, observed, self._names(theta, parameters), draw, silent)

        seed = self.recipe.settings.seed
        self.posterior_, self.rounds_ = in_rounds(
            fit,
            simulator,
            prior,
            one,
            rounds,
            simulations,
            folder=folder,
            processes=processes,
            seed=seed,
            report=report,
        )
        return self

    def _learned(
        self,
        parameters: Tensor,
        observed: Tensor,
        names: tuple[str, ...],
        draw: Callable[[int, int], Tensor] | None,
        report: Report,
    ) -> TrainedPosterior:
        budget = Budget(self.recipe.settings.seconds)
        prior = as_prior(self.prior, parameters)
        _check_support(parameters, prior)
        codec = ObservationCodec.measured(observed)
        codec = replace(codec, holes=codec.holes or self.missing > 0)
        u = prior.coordinates.inward(parameters)
        reader = partial(self._reader, observed, codec)
        recipe = replace(self.recipe, hide=self.missing)
        found = learn(u, observed, codec, prior, reader, recipe, self.by, report, draw, budget)
        info = {"simulations": len(parameters), "observation_ndim": observed.ndim - 1, **found.info}
        return TrainedPosterior(found.score, prior.coordinates, codec, names, prior, found.likelihood, found.by, info)

    # ------------------------------------------------------------------------------------------------- answers

    @property
    def fitted(self) -> TrainedPosterior:
        """What was learned.

        Raises:
            ValueError: before `fit`.
        """
        if self.posterior_ is None:
            raise ValueError("this estimator has learned nothing yet; call fit(theta, x) first.")
        return self.posterior_

    def sample(self, x: object, n: int, **options: Any) -> Tensor:
        """As `TrainedPosterior.sample`."""
        return self.fitted.sample(x, n, **options)

    def sample_many(self, x: object, n: int, **options: Any) -> Tensor:
        """As `TrainedPosterior.sample_many`."""
        return self.fitted.sample_many(x, n, **options)

    def log_prob(self, theta: object, x: object, **options: Any) -> LogDensity:
        """As `TrainedPosterior.log_prob`."""
        return self.fitted.log_prob(theta, x, **options)

    def map(self, x: object, **options: Any) -> Tensor:
        """As `TrainedPosterior.map`."""
        return self.fitted.map(x, **options)

    # ------------------------------------------------------------------------------------------------- the inside

    def _reader(self, x: Tensor, codec: ObservationCodec, recipe: Recipe) -> nn.Module:
        if self.embedding is not None:
            return copy.deepcopy(self.embedding)
        if x.ndim == 2:
            return VectorReader(x.shape[1], recipe.width, holes=codec.holes, dropout=recipe.dropout)
        return SetReader(x.shape[2], recipe.width, dropout=recipe.dropout)

    def _names(self, theta: object, parameters: Tensor) -> tuple[str, ...]:
        columns = getattr(theta, "columns", None)
        d = parameters.shape[1]
        names = self.names or (
            tuple(map(str, columns)) if columns is not None else tuple(f"theta{i}" for i in range(d))
        )
        if len(names) != d or len(set(names)) != d:
            raise ValueError(f"{d} parameters need as many different names, got {shown(list(names))}.")
        return names


def _checked(theta: object, x: object) -> tuple[Tensor, Tensor]:
    """Parameters and observations of one length; rows whose simulation failed (NaN throughout) are left out aloud."""
    parameters, observed = as_observations(theta), as_observations(x)
    if parameters.ndim != 2:
        raise ValueError(f"parameters have the shape (n, d), got {tuple(parameters.shape)}.")
    if len(parameters) != len(observed):
        raise ValueError(
            f"every simulation has its parameters: got {len(parameters)} rows of parameters and {len(observed)} "
            "observations."
        )
    bad = ~torch.isfinite(parameters)
    if bool(bad.any()):
        row, column = bad.nonzero()[0].tolist()
        raise ValueError(f"parameter {column} of row {row} is not finite: {float(parameters[row, column])}.")
    lost = failed(observed)
    if bool(lost.any()):
        warnings.warn(
            f"{int(lost.sum())} of {len(observed)} simulations failed (all values NaN, or infinite; the first is row "
            f"{int(lost.nonzero()[0])}) and are left out: the posterior is that of simulations that succeed.",
            stacklevel=3,
        )
        parameters, observed = parameters[~lost], observed[~lost]
    if len(parameters) < LEAST:
        raise ValueError(f"{len(parameters)} simulations are too few to learn from; at least {LEAST} are needed.")
    return parameters, observed


def _check_support(parameters: Tensor, prior: Prior) -> None:
    if parameters.shape[1] != prior.dim:
        raise ValueError(f"the prior has {prior.dim} parameters, the simulations have {parameters.shape[1]}.")
    outside = ~prior.coordinates.inside(parameters)
    if bool(outside.any()):
        row = int(outside.nonzero()[0])
        raise ValueError(
            f"the parameters of row {row}, {[round(v, 6) for v in parameters[row].tolist()]}, lie outside the prior's "
            "support; give the prior that they were drawn from."
        )
