"""Annealed importance sampling, with resampling where asked: samples with weights, and the normalising constant."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.mcmc.chains import Count, EnergyFunction, check_start, check_whole, energy_and_score
from scorefield.mcmc.driving import Judge, State, Walk
from scorefield.mcmc.hamiltonian import lengths
from scorefield.mcmc.ladders import Ladder, Path
from scorefield.mcmc.metric import Metric, metric_of
from scorefield.mcmc.tempered import FEWEST_FAMILIES
from scorefield.numerics.random import uniform
from scorefield.progress import Report, silent

__all__ = ["Annealed", "annealed_importance"]


@dataclass(frozen=True, eq=False)
class Annealed:
    """Weighted samples of the target, and how much mass it has.

    Args:
        samples: `(n, *shape)`.
        log_weights: `(n,)`, float64, of mean weight exp(log_z).
        log_z: log of the target's mass `integral exp(-energy)` over that of the first law, `integral exp(-base)`.
        standard_error: of log_z; NaN where samples, or their ancestors, are worth fewer than 10 and cannot tell: give
            more samples, more rungs or more moves.
        resamplings: how often weights were made equal on the way.
        acceptance: `(K - 1,)`, of the moves at each rung but the last.
    """

    samples: Tensor
    log_weights: Tensor
    log_z: float
    standard_error: float
    resamplings: int
    acceptance: Tensor

    @property
    def weights(self) -> Tensor:
        """That sum to 1, `(n,)`."""
        return self.log_weights.softmax(0)

    @property
    def ess(self) -> float:
        """`1 / sum weights^2`: how many equal weights would do as well."""
        return float(1 / self.weights.square().sum())

    def mean(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The target's mean of values `(n, *shape)` at the samples, and its standard error (of independent weights)."""
        w = self.weights.to(values).reshape(-1, *[1] * (values.ndim - 1))
        mean = (w * values).sum(0)
        return mean, (w * (values - mean)).square().sum(0).sqrt()

    def __repr__(self) -> str:
        return (
            f"Annealed({len(self.samples)} samples, worth {self.ess:.0f}, log Z = {self.log_z:.4g} +- "
            f"{self.standard_error:.2g})"
        )


def annealed_importance(
    energy: EnergyFunction,
    x: Tensor,
    ladder: Ladder,
    *,
    base: EnergyFunction,
    seed: int,
    leaps: int = 4,
    moves: int = 1,
    resample: float = 0.0,
    covariance: Tensor | Metric | None = None,
    first: int = 0,
    report: Report = silent,
) -> Annealed:
    """Annealed importance sampling (Neal 2001); with resampling, sequential Monte Carlo (Del Moral and others 2006).

    Draws of the first law are weighed by `exp((b - b') (energy - base))` from each power b to the next b' and moved by
    Hamiltonian Monte Carlo that keeps the law at b'. The mean weight is unbiased for Z, whatever the moves:
    `exp(log_z)` of many runs is right on average, log_z itself low by about half its variance.

    Args:
        energy: of the target, `(n, *shape) -> (n,)`; +inf outside of the support.
        x: `(n, *shape)`, independent draws of the first law, n >= 2.
        ladder: powers from 0, with steps; of `replica.ladder` or `replica.tuned_ladder`.
        base: energy of the first law; with its normalising constant, log_z is that of the target alone.
        seed: of the moves; without resampling what sample i does is a function of (seed, first + i).
        leaps: of a trajectory, on average.
        moves: at each rung.
        resample: as soon as the effective share of the weights is below, 0 to 1; 0: never.
        covariance: as `hamiltonian.hmc`.
        first: index of the first sample.
        report: hears how far the work is.

    Raises:
        ValueError: for a ladder that does not begin at 0, an energy that is NaN (with the row), or a target that has no
            mass where the first law has.

    The standard error is that of Lee and Whiteley (2018), by the samples' ancestors; without resampling it is the usual
    one, of independent weights.

    Example:
        >>> from scorefield.mcmc.ladders import ladder
        >>> base = lambda x: (x.square() / 2 + math.log(2 * math.pi) / 2).sum(1)
        >>> x = torch.randn(500, 1, generator=torch.Generator().manual_seed(0))
        >>> found = annealed_importance(lambda x: 2 * (x[:, 0] - 1) ** 2, x, ladder(20, 0.5), base=base, seed=0)
        >>> abs(found.log_z - math.log(math.pi / 2) / 2) < 4 * found.standard_error < 0.3
        True
    """
    check_start(x, 1.0)
    check_whole("moves", moves, 1)
    check_whole("leaps", leaps, 1)
    _check(x, ladder, resample)
    n, powers = len(x), ladder.powers
    metric = metric_of(covariance, x)
    state = _Particles(x.detach(), torch.zeros(n, dtype=torch.float64), torch.arange(n), 0.0, 0)
    walk = Walk("annealed", lambda k: lengths(seed, leaps, k), torch.zeros_like)
    accepted = []
    for k in range(1, len(ladder)):
        path = Path(energy, base, powers[k].expand(n))
        judge = Judge(walk, path, None, seed, Count(1, 0, 1, first, 0))
        state = _weighed(state, path, float(powers[k] - powers[k - 1]), k, resample, seed)
        if k < len(ladder) - 1:
            state, share = _moved(state, judge, ladder.steps[k].to(x).expand(n), metric, k, moves)
            accepted.append(share)
        report(k / (len(ladder) - 1), "samples")
    return _summary(state, torch.tensor(accepted))


@dataclass(frozen=True, eq=False)
class _Particles:
    x: Tensor
    log_weights: Tensor
    ancestors: Tensor
    log_z: float  # of the mean weights before each resampling
    resamplings: int


def _weighed(state: _Particles, path: Path, increase: float, row: int, resample: float, seed: int) -> _Particles:
    """With the weights of a step of the power, made equal where they are too uneven."""
    gap = path.gap(state.x).double().cpu()
    if gap.shape != (len(state.x),) or bool(torch.isnan(gap).any()):
        energy_and_score(path.energy, None, state.x, row)  # says what is wrong with it
        raise ValueError(f"energy - base is NaN at rung {row} in row {int(torch.isnan(gap).nonzero()[0])}.")
    log_weights = state.log_weights - increase * gap
    if not bool((log_weights > -torch.inf).any()):
        raise ValueError("the target has no mass where the first law has any; start from a wider law.")
    share = float((2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)).exp()) / len(gap)
    if share >= resample:
        return _Particles(state.x, log_weights, state.ancestors, state.log_z, state.resamplings)
    u = uniform(len(gap), (), seed, "annealed-resample", row=row, dtype=torch.float64)
    edges = log_weights.softmax(0).cumsum(0)
    index = torch.searchsorted(edges / edges[-1], u).clamp(max=len(gap) - 1)
    log_z = state.log_z + float(log_weights.logsumexp(0)) - math.log(len(gap))
    chosen = state.x[index.to(state.x.device)]
    return _Particles(chosen, torch.zeros_like(log_weights), state.ancestors[index], log_z, state.resamplings + 1)


def _moved(
    state: _Particles, judge: Judge, step: Tensor, metric: Metric, rung: int, moves: int
) -> tuple[_Particles, float]:
    """After so many steps at a rung, with the share of proposals that were taken."""
    x, share = state.x, 0.0
    u, s = energy_and_score(judge.energy, None, x, rung)
    now = State(x, torch.zeros_like(x), u, s)
    for m in range(moves):
        now, probability, _ = judge.moved(now, step, metric, rung * moves + m)
        share += float(probability.mean()) / moves
    return _Particles(now.x, state.log_weights, state.ancestors, state.log_z, state.resamplings), share


def _summary(state: _Particles, acceptance: Tensor) -> Annealed:
    n = len(state.x)
    weights = state.log_weights.softmax(0)
    families = torch.zeros(n, dtype=torch.float64).index_add(0, state.ancestors, weights)
    square = float(families.square().sum())
    variance = 1 - (n / (n - 1)) ** (state.resamplings + 1) * (1 - square)
    log_z = state.log_z + float(state.log_weights.logsumexp(0)) - math.log(n)
    error = math.sqrt(variance) if variance >= 0 and square <= 1 / FEWEST_FAMILIES else math.nan
    return Annealed(state.x, state.log_weights + state.log_z, log_z, error, state.resamplings, acceptance)


def _check(x: Tensor, ladder: Ladder, resample: float) -> None:
    if len(x) < 2:
        raise ValueError(f"annealed_importance needs at least 2 samples of the first law, got {len(x)}.")
    if float(ladder.powers[0]) != 0:
        raise ValueError(f"annealed_importance needs a ladder from power 0, got one from {float(ladder.powers[0]):g}.")
    if not 0 <= resample <= 1:
        raise ValueError(f"resample must be from 0 to 1, got {resample}.")
