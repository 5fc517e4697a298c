"""The no-U-turn sampler of the package pyro, as a sampler of this library."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from scorefield._optional import package
from scorefield.mcmc.chains import Chains, EnergyFunction, check_start, check_whole, start_of
from scorefield.mcmc.metric import Metric, rooted

__all__ = ["nuts"]


def nuts(
    energy: EnergyFunction,
    x: Tensor,
    steps: int,
    *,
    seed: int,
    burn_in: int,
    dense: bool = False,
    acceptance: float = 0.8,
    depth: int = 10,
    first: int = 0,
) -> Chains:
    """The no-U-turn sampler (Hoffman and Gelman 2014): Hamiltonian Monte Carlo that finds its lengths, by pyro.

    Step and metric are adapted during burn_in. Chains run one after the other: for many short chains of cheap energies
    `hamiltonian.hmc`, which moves all of them at once, is quicker.

    Args:
        energy: `x -> -log p(x) + const`, `(n, *shape) -> (n,)`; +inf outside of the support.
        x: `(n, *shape)`, where the chains start: of finite energy.
        steps: per chain, burn_in included.
        seed: what chain i does is a function of (seed, first + i); torch's own random state is left as it was.
        burn_in: steps that are not kept, >= 1.
        dense: whether the metric is a matrix, or variances alone.
        acceptance: that the adapted step aims at.
        depth: of the tree, at most: 2^depth leaps a step.
        first: index of the first chain.

    Returns:
        Chains with the adapted step and metric; their acceptance is the mean probability after burn_in.

    Raises:
        ValueError: where pyro is missing; as `langevin.adjusted`.
    """
    pyro = package("pyro.infer", "nuts", "pyro-ppl>=1.9")
    check_start(x, 1.0)
    for name, value, least in (("steps", steps, 2), ("burn_in", burn_in, 1), ("depth", depth, 1)):
        check_whole(name, value, least)
    if steps <= burn_in:
        raise ValueError(f"steps = {steps} with burn_in = {burn_in} keeps no sample; take more steps.")
    start_of(energy, None, x, 0)
    kept, rates, sizes, roots = [], [], [], []
    for i in range(len(x)):
        with _stream(seed, first + i):
            kernel = pyro.NUTS(
                potential_fn=_potential(energy, i),
                full_mass=dense,
                target_accept_prob=acceptance,
                max_tree_depth=depth,
            )
            samples, rate = _chain(kernel, x[i].detach(), steps, burn_in)
        kept.append(samples)
        rates.append(rate)
        sizes.append(x.new_tensor(float(kernel.step_size)))
        roots.append(_root(kernel, dense))
    together = torch.stack(kept, 1)
    metric = Metric(torch.stack(roots), dense)
    return Chains(together, together[-1], torch.stack(rates), None, torch.stack(sizes), metric)


def _chain(kernel: Any, x: Tensor, steps: int, burn_in: int) -> tuple[Tensor, Tensor]:
    """The kept samples of one chain, and its acceptance."""
    kernel.initial_params = {"x": x}
    kernel.setup(burn_in)
    at, kept = {"x": x}, []
    for k in range(steps):
        at = kernel.sample(at)
        if k >= burn_in:
            kept.append(at["x"].detach())
    return torch.stack(kept), x.new_tensor(float(kernel.logging()["acc. prob"]))


def _root(kernel: Any, dense: bool) -> Tensor:
    """Of the adapted metric."""
    (found,) = kernel.inverse_mass_matrix.values()
    return rooted(found.detach(), dense).root


def _potential(energy: EnergyFunction, chain: int) -> Callable[[dict[str, Tensor]], Tensor]:
    def potential(at: dict[str, Tensor]) -> Tensor:
        u = energy(at["x"][None])[0]
        wrong = bool(torch.isnan(u) | (u == -math.inf))  # pyro would take NaN for +inf
        if wrong and bool(torch.isfinite(at["x"]).all()):
            value = "NaN" if bool(torch.isnan(u)) else "-inf"
            raise ValueError(f"the energy is {value} in chain {chain}; it must be a number or +inf.")
        return u

    return potential


@contextmanager
def _stream(seed: int, chain: int) -> Iterator[None]:
    """Torch's own random numbers as a function of (seed, chain), within."""
    digest = hashlib.blake2b(f"{seed}/nuts/{chain}".encode(), digest_size=8).digest()
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1).get_state())
        yield
