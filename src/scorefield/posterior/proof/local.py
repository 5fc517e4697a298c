"""Is the posterior right at one observation? A classifier two-sample test that is read off there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scorefield import _ranges
from scorefield.metrics.samples import random_order
from scorefield.metrics.side_by_side import logits, weights_of
from scorefield.numerics.random import uniform
from scorefield.posterior.proof.arrays import check_draws, finite, numbers, together
from scorefield.posterior.proof.features import Features

_LEAST, _MOST = 100, 1000
"""Simulations that are needed, and those that are looked at, at most."""
_EACH = 4
"""Draws that stand beside each truth."""
_WIDTH, _EPOCHS, _BATCH, _RATE = 32, 30, 128, 4e-3


@dataclass(frozen=True, eq=False)
class Local:
    """What a classifier says of the posterior at one observation.

    Args:
        statistic: the mean of `(probability - 1/2)**2` over the draws there: 0 if truth and draws cannot be told apart.
        null: of classifiers that learned from labels exchanged at random, `(permutations,)`.
        shift: how far it takes the truth to lie above the draws there, in their standard deviations, `(d,)`.
        ratio: how many times as wide, `(d,)`.
    """

    statistic: float
    null: np.ndarray
    shift: np.ndarray
    ratio: np.ndarray

    @property
    def p(self) -> float:
        """How often a right posterior has so great a statistic."""
        return float((1 + (self.null >= self.statistic).sum()) / (1 + len(self.null)))


def local_c2st(
    theta: object,
    x: object,
    draws: object,
    x_obs: object,
    draws_obs: object,
    *,
    permutations: int = 100,
    seed: int = 0,
) -> Local:
    """Learn to tell truths from draws given their observations, and look at the answer at one observation.

    The classifier sees parameters in the standard deviations of the draws of the same observation, their squares, and
    the observation. Its statistic stands beside those of classifiers that learned from the same pairs, truth and draw
    exchanged at random: for a right posterior they are alike.

    Args:
        theta: truths `(m, d)`, m >= 100; of more than 1,000 the first.
        x: their observations `(m, ...)`.
        draws: for each, `(m, n, d)`, n >= 10.
        x_obs: the observation `(...)`.
        draws_obs: the draws there, `(k, d)`, k >= 10.
        permutations: classifiers of exchanged pairs; p is at least 1 / (permutations + 1).
        seed: of everything random.

    Raises:
        ValueError: for shapes that do not fit, or too few simulations.

    Source:
        Linhart, Gramfort and Rodrigues (2023), "L-C2ST: local diagnostics for posterior approximations".
    """
    truths, all_x = together(theta, x, _LEAST)
    made = numbers("draws", draws)
    made = check_draws(made, len(truths), made.shape[1] if made.ndim == 3 else 0, truths.shape[1])
    truths, all_x, made = truths[:_MOST], all_x[:_MOST], made[:_MOST]
    here, one = finite("the draws at the observation", draws_obs), numbers("the observation", x_obs)
    if here.ndim != 2 or here.shape[1] != truths.shape[1] or min(len(here), made.shape[1]) < 10:
        raise ValueError(
            f"draws must be (m, n, {truths.shape[1]}) and those at the observation (k, {truths.shape[1]}), with n and "
            f"k >= 10; got {made.shape} and {here.shape}."
        )
    _ranges.whole(1, 10_000)("permutations", permutations)
    features = Features.of(all_x)
    seen = features(all_x)
    groups = np.stack([np.concatenate([u, seen], 1) for u in _deviations(truths, made)])  # (1 + _EACH, m, inputs)
    own = _squared((here - here.mean(0)) / _nonzero(here.std(0)))
    at = np.concatenate([own, np.repeat(features(one[None]), len(own), 0)], 1)
    probability = _learned(groups, at, permutations, seed)
    statistics = ((probability - 0.5) ** 2).mean(1)
    shift, ratio = _moments(own[:, : truths.shape[1]], probability[0])
    return Local(float(statistics[0]), statistics[1:], shift, ratio)


def _deviations(truths: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Truths and some draws in the standard deviations of the other draws, and their squares: `(1 + _EACH, m, 2 d)`."""
    rest = draws[:, _EACH:]
    points = np.concatenate([truths[None], draws[:, :_EACH].swapaxes(0, 1)])
    return _squared((points - rest.mean(1)) / _nonzero(rest.std(1)))


def _squared(u: np.ndarray) -> np.ndarray:
    return np.concatenate([u, u**2], -1)


def _nonzero(scale: np.ndarray) -> np.ndarray:
    return np.where(scale > 0, scale, 1.0)


def _moments(u: np.ndarray, draw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the truth as the classifier takes it: of draws weighted by truth over draw."""
    weight = (1 - draw) / draw
    weight = weight / weight.sum()
    mean = weight @ u
    return mean, np.sqrt(weight @ (u - mean) ** 2)


def _learned(groups: np.ndarray, at: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """The probabilities that rows `at` are draws, by the classifier and by those of exchanged groups `(1 + p, k)`."""
    m = groups.shape[1]
    rows = groups.reshape(-1, groups.shape[2])
    mean, scale = rows.mean(0), _nonzero(rows.std(0))
    inputs, asked = (torch.from_numpy((v - mean) / scale).float().clamp(-8, 8) for v in (rows, at))
    inputs = inputs.unflatten(0, (-1, m))
    truth = uniform(1 + permutations, (m,), seed, "local c2st exchanges").mul(len(inputs)).long()
    truth[0] = 0
    order = random_order(m, seed, "local c2st check", inputs)
    check = max(10, m // 5)
    weights = _fit(inputs, truth, order[check:], order[:check], seed)
    with torch.no_grad():
        found: np.ndarray = logits(weights, asked).sigmoid().clamp(1e-4, 1 - 1e-4).double().numpy()
    return found


def _fit(inputs: Tensor, truth: Tensor, train: Tensor, check: Tensor, seed: int) -> list[Tensor]:
    """Networks side by side, each kept where its loss on the groups to check is least.

    Args:
        inputs: `(1 + _EACH, m, inputs)`.
        truth: which of each group is taken for the truth, by network, `(members, m)`.
        train: groups to learn from.
        check: groups to stop by.
    """
    start = weights_of(len(truth), [inputs.shape[2], _WIDTH, _WIDTH, 1], seed, "local c2st", inputs.device)
    start[-2] = torch.zeros_like(start[-2])  # they say 1/2 before they have learned
    weights = [w.requires_grad_() for w in start]
    optimizer = torch.optim.AdamW(weights, lr=_RATE, weight_decay=0.05)
    best, kept = torch.full((len(truth),), torch.inf), [w.detach().clone() for w in weights]
    for epoch in range(_EPOCHS):
        order = train[random_order(len(train), seed, "local c2st epoch", inputs, epoch)]
        for chosen in order.split(_BATCH):
            optimizer.zero_grad(set_to_none=True)
            _losses(weights, inputs[:, chosen], truth[:, chosen]).sum().backward()
            optimizer.step()
        with torch.no_grad():
            now = _losses(weights, inputs[:, check], truth[:, check])
            better = now < best
            best = torch.minimum(now, best)
            kept = [torch.where(better[:, None, None], w, k) for w, k in zip(weights, kept, strict=True)]
    return kept


def _losses(weights: list[Tensor], groups: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy `(members,)`, truths and draws of equal weight."""
    says = logits(weights, groups.flatten(0, 1)).unflatten(1, groups.shape[:2])  # (members, 1 + _EACH, k)
    drawn = torch.arange(len(groups))[:, None] != truth[:, None]
    weight = torch.where(drawn, 0.5 / (len(groups) - 1), 0.5)
    loss = F.binary_cross_entropy_with_logits(says, drawn.float(), weight, reduction="none")
    return loss.sum(1).mean(1)
