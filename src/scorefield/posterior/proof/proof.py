"""The proof of a posterior's calibration: simulations whose truth is known, held against its draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

from scorefield import _ranges
from scorefield.metrics.comparison import Finding
from scorefield.posterior.proof import coverage, verdict
from scorefield.posterior.proof.arrays import Numbers, check_draws, names_of, numbers, together
from scorefield.posterior.proof.contraction import Contraction, contraction
from scorefield.posterior.proof.coverage import LogDensity
from scorefield.posterior.proof.dependence import Pair, pairs_of
from scorefield.posterior.proof.ranks import Ranks, ranks_among
from scorefield.posterior.proof.uniformity import p_text
from scorefield.progress import Report, counted, silent

Draws: TypeAlias = Callable[[Any, int, int], Any]
"""`draws(x (m, ...), n, seed) -> (m, n, d)`: posterior draws of the parameters, in their own units."""
Quantity: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""`quantity(theta (m, k, d), x (m, ...)) -> (m, k)`."""

_LEAST = 20
_CHUNK = 50  # observations that are asked at once
LEVEL = 0.01
"""So often a right posterior is found at fault."""


@dataclass(frozen=True, eq=False)
class Proof:
    """What simulations say of a posterior's calibration; `str` is its verdict and figures as text.

    Args:
        parameters: the ranks of each parameter.
        regions: of the whole posterior: by loneliness among the draws, by distance from reference points (TARP), and by
            its own log-density where there is one.
        pairs: of each two parameters: of the product of their deviations.
        quantities: of the test quantities that were given.
        contraction: of each parameter.
        level: how often a right posterior is found at fault, all ranks together.
    """

    parameters: tuple[Ranks, ...]
    regions: tuple[Ranks, ...]
    pairs: tuple[Pair, ...]
    quantities: tuple[Ranks, ...]
    contraction: tuple[Contraction, ...]
    level: float

    @property
    def all(self) -> tuple[Ranks, ...]:
        """All ranks that were tested."""
        return (*self.parameters, *self.regions, *(pair.ranks for pair in self.pairs), *self.quantities)

    @property
    def own_level(self) -> float:
        """The level of each test, so that all have `level` together (Bonferroni)."""
        return self.level / len(self.all)

    @property
    def off(self) -> tuple[Ranks, ...]:
        """The ranks that are not those of a right posterior."""
        return tuple(one for one in self.all if one.test.p < self.own_level)

    @property
    def passed(self) -> bool:
        """Whether no fault was found."""
        return not self.off

    @property
    def simulations(self) -> int:
        """How many were held against the posterior."""
        return len(self.parameters[0])

    @property
    def verdict(self) -> str:
        """What was found, in one sentence."""
        return verdict.headline(self)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What else is to be said, a sentence each."""
        return verdict.findings(self)

    def __str__(self) -> str:
        shown = (*self.parameters, *self.regions, *self.quantities)
        width = max(len(one.name) for one in shown)
        lines = [self.verdict, *(f"- {f.text}" for f in self.findings), ""]
        lines += [f"{'':<{width}}  50 %   90 %    shift  width  p"]
        lines += [f"{one.name:<{width}}  {_figures(one)}" for one in self.parameters]
        lines += [f"{one.name:<{width}}  {_region_figures(one)}" for one in shown[len(self.parameters) :]]
        return "\n".join([*lines, f"A p below {self.own_level:.2g} is a fault."])

    def to_json(self) -> dict[str, Any]:
        """The verdict and the figures, JSON-able."""
        return {
            "verdict": self.verdict,
            "passed": self.passed,
            "simulations": self.simulations,
            "level": self.level,
            "tests": [_json(one) for one in self.all],
            "contraction": {one.name: one.mean for one in self.contraction},
        }


def prove(
    draws: Draws,
    theta: Numbers,
    x: Numbers,
    *,
    names: Sequence[str] | None = None,
    n: int = 199,
    seed: int = 0,
    level: float = LEVEL,
    prior_sd: Numbers | None = None,
    log_density: LogDensity | None = None,
    quantities: Mapping[str, Quantity] | None = None,
    report: Report = silent,
) -> Proof:
    """Hold a posterior against simulations: parameters from the prior, and what the simulator made of them.

    The simulations must be new to the posterior. For each of them n draws are made, and the truth is ranked among them:
    each parameter (simulation-based calibration, Talts and others 2018), the whole by regions of highest density and by
    distances from random points (TARP, Lemos and others 2023), and any quantity. For a right posterior all ranks are
    uniform; exact tests say whether they are.

    Args:
        draws: `(x (m, ...), n, seed) -> (m, n, d)`.
        theta: true parameters `(m, d)`, m >= 20; some hundred tell more.
        x: their observations `(m, ...)`.
        names: of the parameters; default: theta0, theta1, ...
        n: draws for each simulation; with n + 1 a multiple of 20, as 199, intervals of 90 % are exactly that.
        seed: of the draws and of what is random in the tests.
        level: in (0, 1), how often a right posterior is found at fault.
        prior_sd: the prior's standard deviations `(d,)`; default: those of theta.
        log_density: of the posterior, for its own highest-density regions.
        quantities: what else to rank, by name.
        report: hears how far it is.

    Raises:
        ValueError: for shapes that do not fit, values that are not finite, or too few simulations.

    Example:
        >>> theta = np.random.default_rng(0).normal(size=(200, 1))
        >>> x = theta + np.random.default_rng(1).normal(size=(200, 1))
        >>> def exact(x, n, seed):
        ...     return x[:, None] / 2 + 0.5**0.5 * np.random.default_rng(seed).normal(size=(len(x), n, 1))
        >>> prove(exact, theta, x, names=["a"]).passed
        True
    """
    asked = x if isinstance(x, Tensor) else numbers("x", x)
    theta, x = together(theta, x, _LEAST)
    _ranges.whole(1, 1_000_000)("n", n)
    found = drawn(draws, asked, n, theta.shape[1], seed, report)
    return prove_drawn(
        found, theta, x, names=names, seed=seed, level=level, prior_sd=prior_sd, log_density=log_density,
        quantities=quantities,
    )  # fmt: skip


def prove_drawn(
    found: Numbers,
    theta: Numbers,
    x: Numbers,
    *,
    names: Sequence[str] | None = None,
    seed: int = 0,
    level: float = LEVEL,
    prior_sd: Numbers | None = None,
    log_density: LogDensity | None = None,
    quantities: Mapping[str, Quantity] | None = None,
) -> Proof:
    """As `prove`, by draws that are there, `(m, n, d)`."""
    theta, x = together(theta, x, _LEAST)
    names = names_of(names, theta.shape[1])
    _ranges.PROBABILITY("level", level)
    found = numbers("draws", found)
    found = check_draws(found, len(theta), found.shape[1] if found.ndim == 3 else 0, theta.shape[1])
    sd = theta.std(0) if prior_sd is None else numbers("prior_sd", prior_sd)
    parameters = tuple(ranks_among(name, theta[:, j], found[..., j], seed) for j, name in enumerate(names))
    regions = [coverage.region_ranks(theta, found, seed), coverage.distance_ranks(theta, x, found, seed)]
    if log_density is not None:
        regions.append(coverage.density_ranks(log_density, theta, x, found, seed))
    shrunk = tuple(contraction(name, theta[:, j], found[..., j], float(sd[j])) for j, name in enumerate(names))
    others = tuple(_ranked(name, one, theta, x, found, seed) for name, one in (quantities or {}).items())
    pairs = pairs_of(names, theta, found, seed)
    return Proof(parameters, tuple(regions), pairs, others, shrunk, level)


def drawn(draws: Draws, x: Any, n: int, d: int, seed: int, report: Report = silent) -> np.ndarray:
    """The draws for each observation `(m, n, d)`, some observations at a time, checked."""
    starts = range(0, len(x), _CHUNK)
    parts = [
        check_draws(draws(x[i : i + _CHUNK], n, seed + k), min(_CHUNK, len(x) - i), n, d)
        for k, i in enumerate(counted(starts, len(starts), report, "posterior draws"))
    ]
    return np.concatenate(parts)


def _ranked(name: str, of: Quantity, theta: np.ndarray, x: np.ndarray, draws: np.ndarray, seed: int) -> Ranks:
    values = numbers(f"the quantity {name!r}", of(np.concatenate([theta[:, None], draws], 1), x))
    if values.shape != (len(theta), draws.shape[1] + 1):
        raise ValueError(
            f"the quantity {name!r} of theta (m, k, d) must be (m, k) = {(len(theta), draws.shape[1] + 1)}, got "
            f"{values.shape}."
        )
    return ranks_among(name, values[:, 0], values[:, 1:], seed)


def _figures(one: Ranks) -> str:
    half, most = one.within(0.5), one.within(0.9)
    shift, ratio = one.shift[0], one.ratio[0]
    return f"{half.share:4.2f}   {most.share:4.2f}   {shift:+6.2f}  {ratio:5.2f}  {p_text(one.test.p)}"


def _region_figures(one: Ranks) -> str:
    return f"{one.below(0.5).share:4.2f}   {one.below(0.9).share:4.2f}                  {p_text(one.test.p)}"


def _json(one: Ranks) -> dict[str, Any]:
    return {"name": one.name, "p": one.test.p, "ks": one.test.ks, "chi2": one.test.chi2, "ranks": one.ranks.tolist()}
