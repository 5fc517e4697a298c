"""Tables with codes whose rows are nearly alike: which things they have, and where new rows of these lie."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.analytic.mixture import GaussianMixture
from scorefield.tables.codec import RowCodec
from scorefield.tables.denoiser import MaskedDenoiser
from scorefield.tables.density import row_log_density
from scorefield.tables.frequencies import log_probability
from scorefield.tables.mixture import log_densities
from scorefield.tables.mixture_statistics import log_joint
from scorefield.tables.near_repeats import (
    MOST_EACH,
    Things,
    once,
    reach,
    surely_more,
    things_of,
    turing_weights,
    whitened,
)
from scorefield.tables.repeats import Repeats
from scorefield.tables.row_model import Layout

_WHOLE = 0.95  # of the rows have all numbers and codes
_JUDGED = 200  # rows held out whose log-density is asked for
_TOLERANCE = 1e-2  # nats
_MOST = 5000  # rows
_MOST_NEW = 0.5  # of the rows are of new things
_APART = 1.5  # times as far as rows of one thing may lie from each other, the nearest other thing, in the median


def fit_near_rows(
    model: MaskedDenoiser, layout: Layout, codec: RowCodec, training: Tensor, held: Tensor, seed: int = 0
) -> Repeats | None:
    """The things that rows are measurements of, with their codes: the law that new rows begin by; None without things.

    As `near_repeats.with_things` for numbers alone: with codes a thing's codes are those of all its rows, and a new row
    is one more measurement of a known thing, or a row by the model. Taken only where things are many, lie apart, most
    rows have others of their thing, and rows held out are more likely so than by the model, beyond chance.

    Args:
        model: the trained one.
        layout: of its rows.
        codec: of the rows.
        training: encoded rows, without noise in their cells; one that is there twice counts once.
        held: likewise, held out.
        seed: of the noise in cells, and of the rows that are judged by.
    """
    if model.reference is None or not codec.sizes or not len(held) or len(training) > _MOST:
        return None
    own, others = once(training, held)
    training, held = training[own], held[others]
    whole = training[torch.isfinite(training).all(1)]
    known = _with_codes(codec, whole, model, seed) if len(whole) >= _WHOLE * len(training) else None
    if known is None or not _apart(known[0], len(whole)):
        return None
    things, codes = known
    order = torch.randperm(len(held), generator=torch.Generator().manual_seed(seed))
    some = codec.dequantise(held[order[:_JUDGED]], seed + 1)
    some = some[torch.isfinite(some).all(1)]
    new, weights = turing_weights(things.counts)
    near = _log_near(things, codes, weights, some, codec.continuous)

    def better(usual: Tensor) -> bool:
        return surely_more(torch.logaddexp(usual + math.log(new), near) - usual)

    if not better(_reference(model, codec, some)):  # which costs nothing to ask
        return None
    if not better(row_log_density(model, layout, some, tolerance=_TOLERANCE).value):
        return None
    rows = torch.cat([things.means, codes], 1)
    return Repeats(
        torch.arange(rows.shape[1]), rows, weights, new, things.scale, torch.linalg.cholesky(things.covariance)
    )


def _with_codes(codec: RowCodec, rows: Tensor, model: MaskedDenoiser, seed: int) -> tuple[Things, Tensor] | None:
    """The things, and the codes `(K, codes)` of each."""
    numbers = codec.continuous
    codes, groups = torch.unique(rows[:, numbers:], dim=0, return_inverse=True)
    noised = codec.dequantise(rows, seed)
    found = things_of(noised[:, :numbers].double(), _reference(model, codec, noised), _MOST, groups)
    return None if found is None else (found, codes[found.groups])


def _apart(things: Things, rows: int) -> bool:
    """Whether things are no classes, and no neighbours in a density: many, known again, and further apart than wide."""
    own, new = things.groups, turing_weights(things.counts)[0]
    if new > _MOST_NEW or len(things.counts) < max(rows / MOST_EACH, 2 * len(own.unique())):
        return False
    white = whitened(things.means, 2 * things.covariance)
    apart = torch.cdist(white, white).masked_fill(own[:, None] != own, torch.inf).fill_diagonal_(torch.inf)
    return float(apart.min(1).values.median()) >= _APART * reach(white.shape[1])


def _reference(model: MaskedDenoiser, codec: RowCodec, rows: Tensor) -> Tensor:
    """The log-density of rows by the mixture and the codes' frequencies, `(n,)`."""
    numbers = codec.continuous
    return log_densities(model.law, rows[:, :numbers]) + log_probability(model.log_frequencies, codec, rows)


def _log_near(things: Things, codes: Tensor, weights: Tensor, rows: Tensor, numbers: int) -> Tensor:
    """The logarithm of `sum_k w_k N(x; mean_k, C_k) [codes are those of k]`, `(n,)`."""
    total = weights.sum()
    law = GaussianMixture(weights / total, things.means, things.covariances)
    joint = log_joint(law, rows[:, :numbers].double()) + total.log()
    same = (rows[:, None, numbers:] == codes[None]).all(2)
    return torch.logsumexp(joint.masked_fill(~same, -torch.inf), 1)
