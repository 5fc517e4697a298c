"""A posterior that was learned: draws, log-densities and the most probable point, for any observation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from scorefield import _ranges
from scorefield._files import shown
from scorefield.likelihood import LogDensity
from scorefield.posterior import composed, density, drawing, slices, stored
from scorefield.posterior.by_likelihood import FEW, PARTICLES, ByLikelihood
from scorefield.posterior.conditional import BoundScore, ConditionalScore
from scorefield.posterior.coordinates import Coordinates
from scorefield.posterior.likelihood import Likelihood
from scorefield.posterior.natural import NaturalLikelihood
from scorefield.posterior.observations import ObservationCodec, as_observations
from scorefield.posterior.prior import Prior, prior_from_json
from scorefield.progress import Report, counted, silent

_ROUNDS, _ROUGH = 40, 0.05  # rounds of the search for the top; nats, where a density is only compared


class OutsideWarning(UserWarning):
    """An observation lies where no simulation does."""


@dataclass(frozen=True, eq=False)
class TrainedPosterior:
    """p(parameters | observation), for any observation, in the user's units.

    Args:
        score: of the parameters in `coordinates`, given an encoded observation.
        coordinates: in which the parameters have no edges.
        codec: of the observations.
        names: of the parameters.
        prior: that the simulations were drawn from, where it is known.
        likelihood: of an observation given the parameters, where one was learned.
        by: what answers: the score of the parameters given the observation, or the likelihood and the prior.
        info: what else is known, JSON-able.
    """

    score: ConditionalScore
    coordinates: Coordinates
    codec: ObservationCodec
    names: tuple[str, ...]
    prior: Prior | None = None
    likelihood: Likelihood | NaturalLikelihood | None = None
    by: Literal["score", "likelihood"] = "score"
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        """Number of parameters, d."""
        return self.coordinates.dim

    @property
    def observed(self) -> tuple[str, ...]:
        """The names of the columns that are observed; none where the simulations had none."""
        data = self.info.get("data")
        names = data.get("columns") if isinstance(data, Mapping) else None
        named = isinstance(names, list) and len(names) == self.codec.columns
        return tuple(map(str, names)) if named and names else ()

    # ------------------------------------------------------------------------------------------------- answers

    def sample(
        self, x: object, n: int, *, seed: int = 0, steps: int = drawing.STEPS, report: Report = silent
    ) -> Tensor:
        """n draws of the parameters given one observation, `(n, d)` float64; all of them inside the prior's support.

        Args:
            x: the observation, `(k,)` or `(1, k)`, or a set or series `(length, k)`.
            n: how many.
            seed: by the score draw i is a function of (seed, i), by the likelihood of (seed, n, i).
            steps: network evaluations per draw, by the score.
            report: hears how far the work is.

        Raises:
            ValueError: for an observation of another shape than the simulations.
        """
        return self.sample_many(self._one(x), n, seed=seed, steps=steps, report=report)[0]

    def sample_many(
        self, x: object, n: int, *, seed: int = 0, steps: int = drawing.STEPS, report: Report = silent
    ) -> Tensor:
        """n draws for each of m observations `(m, k)` or `(m, length, k)`: `(m, n, d)` float64."""
        _ranges.ANY_COUNT("sample(n=...)", n)
        observed = self._observed(x)
        if self._likely(observed):
            return self._by_particles(observed, n, seed, report)
        row = torch.arange(len(observed)).repeat_interleave(n)
        u = drawing.draws(self.bound(observed), row, seed, steps, report=report)
        return self.coordinates.outward(u).reshape(len(observed), n, self.dim)

    def sample_together(self, x: object, n: int, *, seed: int = 0, report: Report = silent) -> Tensor:
        """n draws of the parameters given several independent observations of the same parameters, `(n, d)` float64.

        Where there is a likelihood, by the product of theirs. Else the scores given each are put together (`composed`):
        exact for normal posteriors, for others up to what noise hides of their shape; 40 network evaluations for each
        draw and observation.

        Args:
            x: the observations, `(m, k)` or `(m, length, k)`.
            n: how many draws.
            seed: draw i is a function of (seed, i).
            report: hears how far the work is.

        Raises:
            ValueError: where the prior's density is not known.
        """
        _ranges.ANY_COUNT("sample_together(n=...)", n)
        if self.prior is None or (self.prior.density is None and self.prior.covariance is None):
            raise ValueError(
                "several observations count the prior once, so its density is needed; fit with the law of the prior, "
                "such as prior=posterior.box(low, high)."
            )
        observed = self._observed(x)
        if self._likely(observed):
            self._encoded(observed)
            return self.coordinates.outward(self._law.draws(observed, n, seed, report))
        return self.coordinates.outward(composed.draws_together(self.bound(observed), self.prior, n, seed, report))

    def log_prob(
        self, theta: object, x: object, *, tolerance: float = density.TOLERANCE, report: Report = silent
    ) -> LogDensity:
        """`log p(theta | x)` in nats, normalised on the prior's support; -inf outside of it.

        Args:
            theta: `(n, d)`.
            x: one observation for all, or one for each, `(n, k)`.
            tolerance: in nats; the result says how far it is known.
            report: hears how far the work is.
        """
        points = self._parameters(theta)
        observed = self._observed(x, single=True)
        if len(observed) not in (1, len(points)):
            raise ValueError(f"give one observation, or one for each of {len(points)} points, got {len(observed)}.")
        inside = self.coordinates.inside(points)
        if self._likely(observed):
            return self._by_evidence(points, observed, inside)
        rows = torch.arange(len(points)) if len(observed) > 1 else torch.zeros(len(points), dtype=torch.int64)
        found = density.log_density(
            self.bound(observed), self.coordinates.inward(points[inside]), rows[inside], tolerance, report
        )
        return _outside(found, self.coordinates.log_slope(points[inside]), inside)

    def map(self, x: object, *, seed: int = 0, draws: int = 1000) -> Tensor:
        """The most probable parameters given one observation, `(d,)`: the greatest density in the user's units.

        Args:
            x: the observation.
            seed: of the draws from the densest of which it is sought.
            draws: how many.
        """
        theta = self.sample(x, draws, seed=seed)
        return slices.top(theta, self._height(x), self.coordinates, _ROUNDS, seed)

    def sample_given(self, x: object, values: Mapping[str, float], n: int, *, seed: int = 0) -> Tensor:
        """n draws of all parameters given one observation and the values of some of them, `(n, d)` float64.

        Args:
            x: the observation.
            values: of parameters, by their names.
            n: how many; 8 at least.
            seed: of the particles that find them.
        """
        fixed = {self._number(name): float(value) for name, value in values.items()}
        if not 0 < len(fixed) < self.dim:
            raise ValueError(f"give the values of some of the parameters {', '.join(self.names)}, not of none or all.")
        count = max(n, PARTICLES // 2)
        theta = self.sample(x, count, seed=seed)
        return slices.given(theta, fixed, self._height(x), self.coordinates, seed)[:n]

    def marginal(self, x: object, points: Mapping[str, object], *, seed: int = 0, draws: int = 10_000) -> Tensor:
        """The log-density of one or two parameters given one observation, `(m,)`, by a kernel over draws.

        Args:
            x: the observation.
            points: values of each parameter, by its name: `{"a": grid}` or `{"a": values, "b": values}`.
            seed: of the draws.
            draws: how many.
        """
        columns = [self._number(name) for name in points]
        if len(columns) not in (1, 2):
            raise ValueError(f"a marginal density is of one or two parameters, got {len(columns)}.")
        at = torch.stack([torch.as_tensor(v, dtype=torch.float64) for v in points.values()], 1)
        return slices.marginal(self.sample(x, draws, seed=seed), at, columns, self.coordinates)

    def bound(self, observed: Tensor) -> BoundScore:
        """The model of the parameters, in coordinates, given observations `(m, k)`; warns of one outside the range."""
        return self.score.bound(self._encoded(observed))

    # ------------------------------------------------------------------------------------------------- files

    def save(self, folder: str | Path) -> None:
        """Write `model.json` and `model.safetensors`; an embedding of one's own is kept by its weights alone."""
        stored.save(Path(folder), self.score, self.likelihood, self._header())

    @staticmethod
    def load(folder: str | Path, embedding: nn.Module | None = None, prior: Prior | None = None) -> TrainedPosterior:
        """Read what `save` wrote.

        Args:
            folder: to read.
            embedding: the network that reads observations, where it was one of one's own.
            prior: where it was a law that no file can hold and several observations are to be put together.

        Raises:
            FileError: for a missing, truncated or foreign file.
        """

        def made(
            header: dict[str, Any], score: ConditionalScore, likelihood: Likelihood | NaturalLikelihood | None
        ) -> TrainedPosterior:
            known = header.get("prior")
            law = prior if prior is not None or known is None else prior_from_json(known)
            by = header.get("by", "score")
            if by not in ("score", "likelihood"):
                raise ValueError(f"by is 'score' or 'likelihood', got {shown(by)}.")
            return TrainedPosterior(
                score,
                Coordinates.from_json(header.get("coordinates")),
                ObservationCodec.from_json(header.get("observations")),
                tuple(stored.texts("names", header.get("names"))),
                law,
                likelihood,
                by,
                header.get("info", {}),
            )

        return stored.load(Path(folder), embedding, made)

    def _header(self) -> dict[str, Any]:
        return {
            "coordinates": self.coordinates.to_json(),
            "observations": self.codec.to_json(),
            "names": list(self.names),
            "prior": None if self.prior is None or self.prior.made is None else dict(self.prior.made),
            "by": self.by,
            "info": dict(self.info),
        }

    # ------------------------------------------------------------------------------------------------- the inside

    def _likely(self, observed: Tensor) -> bool:
        """Whether the likelihood answers; it knows nothing of holes."""
        return self.by == "likelihood" and not bool(observed.isnan().any())

    def _encoded(self, observed: Tensor) -> Tensor:
        """Observations as networks read them; an error where they do not fit, a warning where they lie outside."""
        z = self.codec.encode(observed)
        self._warn(observed)
        return z

    def _warn(self, observed: Tensor) -> None:
        """Of the first observation that lies outside the simulations."""
        for i, row in enumerate(observed):
            outside = self.codec.outside(row, self.observed)
            if outside:
                where = "the observation" if len(observed) == 1 else f"observation {i}"
                listed = "; ".join(map(str, outside[:3])) + ("" if len(outside) <= 3 else f"; {len(outside) - 3} more")
                warnings.warn(
                    f"{where} lies outside the simulations, where the posterior is a guess: {listed}. Simulate from a "
                    "wider prior, or check the simulator and the units.",
                    OutsideWarning,
                    stacklevel=4,
                )
                return

    @property
    def _law(self) -> ByLikelihood:
        if self.likelihood is None or self.prior is None:
            raise ValueError("this posterior has no likelihood; take by='score'.")
        return ByLikelihood(self.likelihood, self.prior)

    def _by_particles(self, observed: Tensor, n: int, seed: int, report: Report) -> Tensor:
        self._encoded(observed)
        least = PARTICLES if len(observed) == 1 else FEW
        heard = silent if len(observed) > 1 else report
        found = [
            self._law.draws(x[None], n, seed, heard, least) for x in counted(observed, len(observed), report, "draws")
        ]
        theta = [self.coordinates.outward(u) for u in found]
        return torch.stack(theta) if theta else torch.empty(0, n, self.dim, dtype=torch.float64)

    def _by_evidence(self, points: Tensor, observed: Tensor, inside: Tensor) -> LogDensity:
        """The likelihood times the prior over the evidence, which particles estimate."""
        self._encoded(observed)
        value, error = (torch.zeros(len(points), dtype=torch.float64) for _ in range(2))
        u = self.coordinates.inward(points)
        whole = torch.ones(len(points), dtype=torch.bool)
        for i, x in enumerate(observed):
            rows = whole if len(observed) == 1 else torch.arange(len(points)) == i
            found = self._law.particles(x[None], PARTICLES, 0)
            value[rows] = self._law.log_density(u[rows], x[None]) - found.log_evidence
            error[rows] = found.standard_error
        half = 1.96 * error[inside]
        interval = torch.stack([value[inside] - half, value[inside] + half], 1)
        nothing = torch.zeros_like(value[inside])
        known = LogDensity(value[inside], error[inside], interval, nothing, nothing.long())
        return _outside(known, self.coordinates.log_slope(points[inside]), inside)

    def _height(self, x: object) -> slices.LogDensity:
        """The log-density given one observation, up to a constant; cheap where there is a likelihood."""
        observed = self._one(x)
        if self._likely(observed):

            def height(theta: Tensor) -> Tensor:
                found = self._law.log_density(self.coordinates.inward(theta), observed)
                return found + self.coordinates.log_slope(theta)

            return height
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OutsideWarning)  # said when the draws were made
            bound = self.bound(observed)

        def along(theta: Tensor) -> Tensor:
            row = torch.zeros(len(theta), dtype=torch.int64)
            found = density.log_density(bound, self.coordinates.inward(theta), row, _ROUGH)
            return found.value + self.coordinates.log_slope(theta)

        return along

    def _number(self, name: str) -> int:
        if name not in self.names:
            raise ValueError(f"no parameter is called {shown(name)}; there are {', '.join(self.names)}.")
        return self.names.index(name)

    def _one(self, x: object) -> Tensor:
        observed = self._observed(x, single=True)
        if len(observed) != 1:
            raise ValueError(
                f"sample takes one observation, got {len(observed)}; for draws of each take sample_many, for one "
                "posterior given all of them together sample_together."
            )
        return observed

    def _observed(self, x: object, single: bool = False) -> Tensor:
        """Observations `(m, ...)`; a vector is one of them."""
        ndim = self.info.get("observation_ndim", 1)
        value = x if isinstance(x, Tensor) else None
        if single and value is None and not isinstance(x, Sequence):
            import numpy as np

            value = torch.from_numpy(np.asarray(x, dtype=np.float64))
        if single and value is not None and value.ndim == ndim:
            x = value[None]
        elif single and isinstance(x, Sequence) and ndim == 1 and x and isinstance(x[0], (int, float)):
            x = torch.tensor([x], dtype=torch.float64)
        return as_observations(x)

    def _parameters(self, theta: object) -> Tensor:
        points = as_observations(theta)
        if points.shape[1:] != (self.dim,):
            raise ValueError(f"parameters have the shape (n, {self.dim}), got {tuple(points.shape)}.")
        return points


def _outside(found: LogDensity, slope: Tensor, inside: Tensor) -> LogDensity:
    """With what lies outside the support, and in the user's units."""

    def whole(value: Tensor, fill: float) -> Tensor:
        out = value.new_full((len(inside), *value.shape[1:]), fill)
        out[inside] = value
        return out

    return LogDensity(
        whole(found.value + slope, -math.inf),
        whole(found.standard_error, 0.0),
        whole(found.interval + slope[:, None], -math.inf),
        whole(found.solver_error, 0.0),
        whole(found.evaluations, 0),
    )
