"""Neighbours of score matching for an energy: the data against noise, neighbours or draws of the model.

`energy(x) = -log p(x) + const`, `(n, *shape) -> (n,)`, is any callable: `lambda x: model.energy(x, level)` of an
`Energy`, the energy of a family, a network. Each objective is one loss per sample, least in expectation at the true
energy, and needs no derivative in x. What they are compared with is drawn by the caller: noise from a law whose density
is known, neighbours of the data, or draws of the model by a sampler of `mcmc`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from scorefield._tensor import check_batch, expand, is_traced, sum_rest
from scorefield.core import Level, check_level
from scorefield.numerics.random import noise_like

EnergyFunction = Callable[[Tensor], Tensor]


def noise_contrastive(
    energy: EnergyFunction,
    x: Tensor,
    noise: Tensor,
    noise_log_density: EnergyFunction,
    log_normaliser: Tensor | float = 0.0,
) -> Tensor:
    """`softplus(-G(x)) + sum_j softplus(G(noise_j))`, `G = -energy - log_normaliser - log q - log k`.

    Logistic regression of the data against k times as many draws of a law q (Gutmann and Hyvarinen 2012). Its minimum
    is the *normalised* density: `log_normaliser` is a parameter like the energy's own (or the energy has a constant of
    its own). It is as good as maximum likelihood as k grows, and worth little where q and the data hardly meet.

    Args:
        energy: `(n, *shape) -> (n,)`, differentiable in its parameters.
        x: samples of the data, `(n, *shape)`.
        noise: draws of q, k for each sample, `(k, n, *shape)`.
        noise_log_density: `log q`, normalised, `(n, *shape) -> (n,)`; q has mass wherever the data have.
        log_normaliser: log of the integral of `exp(-energy)`, to be learned.

    Returns:
        One loss per sample, `(n,)`.

    Raises:
        ValueError: for shapes that do not fit; for an energy or a log q that is NaN, naming its row.

    Example:
        >>> normal = lambda x: -(x**2).sum(1) / 2 - 0.9189385
        >>> x, y = torch.tensor([[0.5]]), torch.tensor([[[1.0]]])
        >>> noise_contrastive(lambda x: -normal(x), x, y, normal).exp().tolist()  # even odds, twice: 2 * 2
        [4.0]
    """
    flat, k, n = _others("noise", noise, x)
    constant = log_normaliser + torch.log(torch.tensor(float(k), dtype=x.dtype))
    G = -_energy(energy, x) - _energy(noise_log_density, x, "noise_log_density") - constant
    H = -_energy(energy, flat) - _energy(noise_log_density, flat, "noise_log_density") - constant
    return softplus(-G) + softplus(H).reshape(k, n).sum(0)


def conditional_noise_contrastive(
    energy: EnergyFunction, x: Tensor, neighbours: Tensor, log_ratio: Tensor | float = 0.0
) -> Tensor:
    """`mean over j of 2 softplus(energy(x) - energy(neighbour_j) - log_ratio)` (Ceylan and Gutmann 2018).

    Which of two was the data point, and which its neighbour? No normaliser is needed, and no law of noise that covers
    the data. With neighbours `x + sigma z` it goes over into score matching as sigma falls:
    `(loss - 2 log 2) 2 / sigma^2` becomes sliced matching's loss.

    Args:
        energy: `(n, *shape) -> (n,)`.
        x: samples of the data, `(n, *shape)`.
        neighbours: k of each sample, `(k, n, *shape)`, such as those of `perturbed`.
        log_ratio: `log c(neighbour | x) - log c(x | neighbour)`, `(k, n)`, of a law c that is not symmetric.

    Returns:
        One loss per sample, `(n,)`.

    Raises:
        ValueError: for shapes that do not fit; for an energy that is NaN, naming its row.

    Example:
        >>> x = torch.tensor([[0.0]])
        >>> conditional_noise_contrastive(lambda x: (x**2).sum(1), x, x[None]).exp().tolist()
        [4.0]
    """
    return (2 * softplus(_drop(energy, "neighbours", neighbours, x) - log_ratio)).mean(0)


def minimum_probability_flow(energy: EnergyFunction, x: Tensor, neighbours: Tensor) -> Tensor:
    """`mean over j of exp((energy(x) - energy(neighbour_j)) / 2)` (Sohl-Dickstein, Battaglino and DeWeese 2011).

    How much probability flows at first from the data to their neighbours, when it begins to move to the model's law.
    The neighbours of x are drawn symmetrically: as likely from x as x from them (flips of one bit, steps to either
    side).

    Args:
        energy: `(n, *shape) -> (n,)`.
        x: samples of the data, `(n, *shape)`.
        neighbours: k of each sample, `(k, n, *shape)`, such as those of `perturbed`; for discrete data all of them.

    Returns:
        One loss per sample, `(n,)`.

    Raises:
        ValueError: for shapes that do not fit; for an energy that is NaN, naming its row.

    Example:
        >>> x = torch.tensor([[0.0]])
        >>> minimum_probability_flow(lambda x: (x**2).sum(1), x, x[None]).tolist()
        [1.0]
    """
    return (_drop(energy, "neighbours", neighbours, x) / 2).exp().mean(0)


def contrastive_divergence(energy: EnergyFunction, x: Tensor, negatives: Tensor) -> Tensor:
    """`energy(x) - mean energy(negatives)`, whose gradient is maximum likelihood's where negatives are of the model.

    Negatives of a few steps of a chain that starts at the data are contrastive divergence (Hinton 2002); of a chain
    that goes on from training step to training step, persistent (Tieleman 2008): `langevin.adjusted(energy, state,
    ...)` and its `state`. The value says nothing of how good the fit is; only the gradient does.

    Args:
        energy: `(n, *shape) -> (n,)`.
        x: samples of the data, `(n, *shape)`.
        negatives: `(m, *shape)`, any m >= 1; nothing is differentiated through them.

    Returns:
        One loss per sample, `(n,)`.

    Raises:
        ValueError: for shapes that do not fit; for an energy that is NaN, naming its row.

    Example:
        >>> negatives = torch.tensor([[2.0], [0.0]])
        >>> contrastive_divergence(lambda x: (x**2).sum(1), torch.tensor([[1.0]]), negatives).tolist()
        [-1.0]
    """
    check_batch("x", x)
    if negatives.shape[1:] != x.shape[1:] or not len(negatives):
        raise ValueError(f"negatives must be (m, *{tuple(x.shape[1:])}), m >= 1, got {tuple(negatives.shape)}.")
    return _energy(energy, x) - _energy(energy, negatives.detach(), "energy of negatives").mean()


def recovery_likelihood(energy: EnergyFunction, x: Tensor, noisy: Tensor, level: Level, negatives: Tensor) -> Tensor:
    """`U(x) - mean over j of U(negative_j)`, U the `recovery_energy` given the noisy point (Gao and others 2021).

    Its gradient is that of `-log p(x | noisy)`, where negatives are of that law: it has one mode and little width where
    the noise is small, so that a few Langevin steps from the noisy point draw it. For a model of several levels x
    itself is the data at one level, noisy at the next.

    Args:
        energy: `(n, *shape) -> (n,)`, of x.
        x: samples of the data, `(n, *shape)`.
        noisy: `alpha x + sigma eps`, `(n, *shape)`.
        level: alpha and sigma > 0.
        negatives: draws of x given noisy under the energy, `(k, n, *shape)`; nothing is differentiated through them.

    Returns:
        One loss per sample, `(n,)`.

    Raises:
        ValueError: for shapes that do not fit; for an energy that is NaN, naming its row.

    Example:
        >>> x = torch.tensor([[1.0]])
        >>> recovery_likelihood(lambda x: (x**2).sum(1) / 2, x, x, Level(1.0, 1.0), 0 * x[None]).tolist()
        [0.0]
    """
    flat, k, n = _others("negatives", negatives.detach(), x)
    own = recovery_energy(energy, noisy, level)(x)
    wide = Level(*(v if not isinstance(v, Tensor) or not v.ndim else v.repeat(k) for v in level))
    others = recovery_energy(energy, noisy.repeat(k, *[1] * (x.ndim - 1)), wide)(flat)
    return own - others.reshape(k, n).mean(0)


def recovery_energy(energy: EnergyFunction, noisy: Tensor, level: Level) -> EnergyFunction:
    """`x -> energy(x) + |noisy - alpha x|^2 / (2 sigma^2)`: of clean x given its noisy point, for a sampler to draw.

    Args:
        energy: `(n, *shape) -> (n,)`.
        noisy: `(n, *shape)`.
        level: alpha and sigma > 0; 0-d or `(n,)`.

    Raises:
        ValueError: for sigma = 0.

    Example:
        >>> given = recovery_energy(lambda x: (x**2).sum(1) / 2, torch.tensor([[2.0]]), Level(1.0, 1.0))
        >>> given(torch.tensor([[1.0]])).tolist()
        [1.0]
    """
    check_level(level)
    if not bool((torch.as_tensor(level.sigma) > 0).all()):
        raise ValueError("recovery_energy needs a level with sigma > 0.")

    def given(x: Tensor) -> Tensor:
        if x.shape != noisy.shape:
            raise ValueError(f"x must have the shape of the noisy points, {tuple(noisy.shape)}, got {tuple(x.shape)}.")
        alpha, sigma = (expand(v, x) for v in level)
        return _energy(energy, x) + sum_rest(((noisy - alpha * x) / sigma).square()) / 2

    return given


def perturbed(x: Tensor, sigma: float | Tensor, k: int, seed: int | torch.Generator) -> Tensor:
    """`x + sigma z`: k neighbours of each sample, `(k, n, *shape)`, drawn symmetrically.

    Args:
        x: `(n, *shape)`.
        sigma: > 0, 0-d or `(n,)`: of the size of the data's structure, about a standard deviation.
        k: >= 1.
        seed: an int or a torch.Generator.

    Example:
        >>> perturbed(torch.zeros(5, 2), 0.5, 3, seed=0).shape
        torch.Size([3, 5, 2])
    """
    check_batch("x", x)
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"k must be an integer >= 1, got {k!r}.")
    if not bool((torch.as_tensor(sigma) > 0).all()):
        raise ValueError(f"sigma must be positive, got {float(torch.as_tensor(sigma).min()):g}.")
    draws = noise_like(x.new_empty(len(x), k, *x.shape[1:]), seed, "perturbed")
    return x + expand(sigma, x) * draws.transpose(0, 1)


def _drop(energy: EnergyFunction, name: str, others: Tensor, x: Tensor) -> Tensor:
    """`energy(x) - energy(other_j)`, `(k, n)`."""
    flat, k, n = _others(name, others, x)
    return _energy(energy, x) - _energy(energy, flat).reshape(k, n)


def _others(name: str, others: Tensor, x: Tensor) -> tuple[Tensor, int, int]:
    """`(k, n, *shape)` as `(k n, *shape)`, with k and n."""
    check_batch("x", x)
    if others.ndim != x.ndim + 1 or others.shape[1:] != x.shape or not len(others):
        raise ValueError(
            f"{name} must be (k, *{tuple(x.shape)}), k >= 1 for each sample, got {tuple(others.shape)}; "
            f"for one each, {name}[None]."
        )
    return others.flatten(0, 1), len(others), len(x)


def _energy(energy: EnergyFunction, x: Tensor, name: str = "energy") -> Tensor:
    value = energy(x)
    if not isinstance(value, Tensor) or value.shape != x.shape[:1]:
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{name} must answer with one number per sample, ({len(x)},), got {got}.")
    if not is_traced(value) and bool(torch.isnan(value).any()):
        row = int(torch.isnan(value).nonzero()[0, 0])
        raise ValueError(f"{name} is NaN at row {row} of {len(x)}; it must be a number or +inf.")
    return value
