"""Replica exchange, or parallel tempering: chains at several powers of the target that exchange their states."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.mcmc.adapting import Averaging
from scorefield.mcmc.chains import Chains, Count, EnergyFunction, check_start, check_whole, energy_and_score, start_of
from scorefield.mcmc.driving import Judge, State, Walk
from scorefield.mcmc.hamiltonian import lengths
from scorefield.mcmc.ladders import Ladder, Path, check_base, ladder, respaced
from scorefield.mcmc.metric import metric_of
from scorefield.numerics.random import uniform

__all__ = ["Ladder", "Replicas", "ladder", "replica_exchange", "tuned_ladder"]


@dataclass(frozen=True, eq=False)
class Replicas:
    """What a run of n ensembles of K replicas left.

    Args:
        chains: at the target, the last rung.
        state: of all rungs, `(n, K, *shape)`.
        exchanged: share of the exchanges of neighbours that were made, after burn_in, `(n, K - 1)`.
        arrivals: of a replica at the target that had been at the first rung since its last arrival, `(n,)`.
        ladder: that was run.
    """

    chains: Chains
    state: Tensor
    exchanged: Tensor
    arrivals: Tensor
    ladder: Ladder

    def __repr__(self) -> str:
        n, kept = len(self.state), len(self.chains.samples)
        rates = self.exchanged.mean(0)
        return (
            f"Replicas({n} ensembles of {len(self.ladder)}, {kept} samples each, exchanges {float(rates.min()):.2f} to "
            f"{float(rates.max()):.2f}, {int(self.arrivals.sum())} arrivals)"
        )


def replica_exchange(
    energy: EnergyFunction,
    x: Tensor,
    ladder: Ladder,
    steps: int,
    *,
    seed: int,
    base: EnergyFunction | None = None,
    leaps: int = 4,
    burn_in: int = 0,
    thin: int = 1,
    first: int = 0,
    start: int = 0,
    state: Tensor | None = None,
) -> Replicas:
    """Replica exchange (Geyer 1991): the density `exp(-energy)` exactly, also of modes that are far apart.

    At each rung b a chain of Hamiltonian Monte Carlo has the energy `b energy + (1 - b) base`; after each step
    neighbours exchange states with probability `min(1, exp((b - b') (gap - gap')))`, `gap = energy - base`, even pairs
    and odd ones in turn (Syed and others 2022), so that what a replica learns where the law is wide comes down to the
    target.

    Args:
        energy: `x -> -log p(x) + const`, `(m, *shape) -> (m,)`; +inf outside of the support.
        x: `(n, *shape)`, where all replicas of each of n ensembles start: of finite energy.
        ladder: of `tuned_ladder`, or `ladder`.
        steps: per replica, burn_in included.
        seed: of everything random; what ensemble i does is a function of (seed, first + i).
        base: energy of the law at power 0, such as a wide Gaussian or a prior; without one the ladder begins above 0.
        leaps: of a trajectory, on average.
        burn_in: steps that are not kept.
        thin: of the steps after burn_in, every thin-th is kept.
        first: index of the first ensemble.
        start: index of the first step, to go on from another run's `state`.
        state: of all rungs, `(n, K, *shape)`, to go on from.

    Raises:
        ValueError: as `langevin.adjusted`; for a ladder from 0 without a base.

    Example:
        >>> energy = lambda x: -torch.logsumexp(-((x - torch.tensor([-9.0, 9.0])) ** 2) / 2, 1)
        >>> rungs = ladder(6, 2.0, lowest=0.02, curve=2)
        >>> found = replica_exchange(energy, torch.full((40, 1), 9.0), rungs, 150, seed=0, leaps=2, burn_in=50)
        >>> 0.3 < float((found.chains.pooled < 0).float().mean()) < 0.7
        True
    """
    count = Count(steps, burn_in, thin, first, start)
    count.check()
    exchange = _Exchange(energy, base, ladder, x, leaps, seed, first, state)
    exchange.check(start)
    kept, accepted = [], x.new_zeros(len(x))
    made = x.new_zeros(len(x), len(ladder) - 1)
    arrivals, home = torch.zeros(len(x)), torch.zeros(len(x), len(ladder), dtype=torch.bool)
    for k in range(steps):
        probability, exchanged, order = exchange.step(start + k)
        home = home.gather(1, order)
        arrivals += home[:, -1] * (k >= burn_in)
        home[:, -1], home[:, 0] = False, True
        if k >= burn_in:
            accepted += probability[:, -1]
            made += exchanged
        if count.keeps(k):
            kept.append(exchange.x[:, -1])
    after = steps - burn_in
    tried = torch.tensor([sum((start + k) % 2 == j % 2 for k in range(burn_in, steps)) for j in range(len(ladder) - 1)])
    chains = Chains(torch.stack(kept), exchange.x[:, -1], accepted / after)
    return Replicas(chains, exchange.x, made / tried.to(made), arrivals, ladder)


def tuned_ladder(
    energy: EnergyFunction,
    x: Tensor,
    rungs: int,
    *,
    seed: int,
    step: float = 0.1,
    base: EnergyFunction | None = None,
    lowest: float | None = None,
    leaps: int = 4,
    rounds: int = 5,
    steps: int = 50,
    acceptance: float = 0.8,
) -> Ladder:
    """A ladder whose neighbours all exchange equally often, with a step of its own at each rung.

    In rounds, each twice as long as the one before, it runs the replicas, moves the rungs to where the barrier has
    equal parts, and the steps towards an acceptance. It is pooled over the n ensembles: a pilot, whose samples are
    not kept.

    Args:
        energy: as `replica_exchange`.
        x: as `replica_exchange`.
        rungs: K >= 2.
        seed: of everything random.
        step: of the leapfrog, to begin with.
        base: as `replica_exchange`.
        lowest: power; default: 0 with a base, 0.01 without.
        leaps: as `replica_exchange`.
        rounds: how many.
        steps: of the first.
        acceptance: of the chains' proposals, that their steps aim at.

    Example:
        >>> energy = lambda x: x.square().sum(1) / 2
        >>> found = tuned_ladder(energy, torch.zeros(20, 2), 5, seed=0, leaps=2, rounds=2)
        >>> found.powers.shape, float(found.steps[0] / found.steps[-1]) > 3  # wide laws take longer steps
        (torch.Size([5]), True)
    """
    check_whole("rounds", rounds, 1)
    check_whole("steps", steps, 4)
    found = ladder(rungs, step, lowest=(0.0 if base is not None else 0.01) if lowest is None else lowest)
    state, row = None, 0
    for number in range(rounds):
        exchange = _Exchange(energy, base, found, x, leaps, seed, 0, state)
        exchange.check(row)
        averaging, refused, tried = Averaging(found.steps, acceptance), torch.zeros(rungs - 1), torch.zeros(rungs - 1)
        for _ in range(steps * 2**number):
            exchange.steps = averaging.step
            probability, exchanged, _order = exchange.step(row)
            averaging.hear(probability.mean(0).double().cpu())
            pairs = torch.arange(rungs - 1) % 2 == row % 2
            refused += torch.where(pairs, 1 - exchanged.mean(0).cpu().float(), 0)
            tried += pairs
            row += 1
        state = exchange.x
        found = respaced(Ladder(found.powers, averaging.settled), refused / tried.clamp(min=1))
    return found


class _Exchange:
    """The replicas `(n, K, *shape)`, moved and exchanged."""

    def __init__(
        self,
        energy: EnergyFunction,
        base: EnergyFunction | None,
        ladder: Ladder,
        x: Tensor,
        leaps: int,
        seed: int,
        first: int,
        state: Tensor | None,
    ) -> None:
        check_start(x, 1.0)
        check_whole("leaps", leaps, 1)
        check_base(base, ladder.powers)
        n, K = len(x), len(ladder)
        wide = x.detach()[:, None].expand(n, K, *x.shape[1:])
        if state is not None and state.shape != wide.shape:
            raise ValueError(f"state must be {tuple(wide.shape)}, of all rungs, got {tuple(state.shape)}.")
        self.x = (wide if state is None else state.detach()).clone()
        self.powers, self.steps, self.seed, self.first = ladder.powers.to(x), ladder.steps, seed, first
        self.path = Path(energy, base, self.powers.repeat(n))
        walk = Walk("replica", lambda k: lengths(seed, leaps, k), torch.zeros_like)
        self.judge = Judge(walk, self.path, None, seed, Count(1, 0, 1, first * K, 0))
        self.metric = metric_of(None, self.x.flatten(0, 1))

    def check(self, row: int) -> None:
        """Raise unless all replicas start at a finite energy of their own rung."""
        start_of(self.path, None, self.x.flatten(0, 1), row)

    def step(self, row: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of each replica the probability of its move `(n, K)`, of each pair whether it exchanged `(n, K - 1)`, and
        from which rung each state came `(n, K)`."""
        n, K = self.x.shape[:2]
        flat = self.x.flatten(0, 1)
        now = State(flat, torch.zeros_like(flat), *energy_and_score(self.path, None, flat, row))
        moved, probability, _ = self.judge.moved(now, self.steps.to(flat).repeat(n), self.metric, row)
        gap = self.path.gap(moved.x).reshape(n, K)
        if bool(torch.isnan(gap).any()):
            i, rung = torch.isnan(gap).nonzero()[0].tolist()
            raise ValueError(
                f"energy - base is NaN at step {row} in ensemble {i}, rung {rung}; each must be a number or +inf."
            )
        gain = self.powers.diff() * gap.diff(dim=1)  # (b - b') (gap - gap')
        u = uniform(n, (K - 1,), self.seed, "replica-exchange", first=self.first, row=row, dtype=flat.dtype)
        pairs = torch.arange(K - 1, device=flat.device) % 2 == row % 2
        made = (u.to(flat.device).log() < gain) & pairs
        order = torch.arange(K, device=flat.device).expand(n, K).clone()
        order[:, :-1] += made.long()
        order[:, 1:] -= made.long()
        self.x = moved.x.reshape(self.x.shape)[torch.arange(n, device=flat.device)[:, None], order]
        return probability.reshape(n, K), made.to(flat), order.cpu()
