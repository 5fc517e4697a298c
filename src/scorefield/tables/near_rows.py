"""Tables with codes whose rows are nearly alike: which things they have, and where new rows of these lie."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.tables.codec import RowCodec
from scorefield.tables.denoiser import MaskedDenoiser
from scorefield.tables.density import row_log_density
from scorefield.tables.mixture import log_densities
from scorefield.tables.near_repeats import Things, reach, surely_more, things_of, turing_weights
from scorefield.tables.repeats import Repeats
from scorefield.tables.row_model import Layout

_WHOLE = 0.95  # of the rows have all numbers and codes
_JUDGED = 200  # rows held out whose log-density is asked for
_TOLERANCE = 1e-2  # nats
_MOST = 5000  # rows
_MOST_NEW = 0.5  # of the rows are of new things
_MOST_EACH = 20  # rows that a thing has, in the mean
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
        training: encoded rows, without noise in their cells, none of them there twice.
        held: likewise, held out, none of them among those of training.
        seed: of the noise in cells, and of the rows that are judged by.
    """
    if model.reference is None or not codec.sizes or not len(held):
        return None
    numbers = codec.continuous
    whole = training[torch.isfinite(training).all(1)]
    if len(whole) < _WHOLE * len(training) or len(whole) > _MOST:
        return None
    known = _with_codes(codec, whole, model, seed)
    if known is None:
        return None
    things, codes = known
    if not _apart(things, len(whole)):
        return None
    order = torch.randperm(len(held), generator=torch.Generator().manual_seed(seed))
    some = codec.dequantise(held[order[:_JUDGED]], seed + 1)
    some = some[torch.isfinite(some).all(1)]
    usual = _reference(model, codec, some)
    new, weights = turing_weights(things.counts)
    near = _log_near(things, codes, weights, some, numbers)
    if not surely_more(torch.logaddexp(usual + _log(new), near) - usual):  # which costs nothing to ask
        return None
    usual = row_log_density(model, layout, some, tolerance=_TOLERANCE).value
    if not surely_more(torch.logaddexp(usual + _log(new), near) - usual):
        return None
    rows = torch.cat([things.means, codes], 1)
    scale = (1 + 1 / things.counts.double()).sqrt()
    root = torch.linalg.cholesky(things.covariance)
    return Repeats(torch.arange(rows.shape[1]), rows, weights, new, scale, root)


def _with_codes(codec: RowCodec, rows: Tensor, model: MaskedDenoiser, seed: int) -> tuple[Things, Tensor] | None:
    """The things, and the codes `(K, codes)` of each."""
    numbers = codec.continuous
    codes, groups = torch.unique(rows[:, numbers:], dim=0, return_inverse=True)
    noised = codec.dequantise(rows, seed)
    found = things_of(noised[:, :numbers].double(), _reference(model, codec, noised), groups)
    return None if found is None else (found, codes[found.groups])


def _apart(things: Things, rows: int) -> bool:
    """Whether things are no classes, and no neighbours in a density: many, known again, and further apart than wide."""
    own, new = things.groups, turing_weights(things.counts)[0]
    if new > _MOST_NEW or len(things.counts) < max(rows / _MOST_EACH, 2 * len(own.unique())):
        return False
    root = torch.linalg.cholesky(2 * things.covariance)
    white = torch.linalg.solve_triangular(root, things.means.T, upper=False).T
    apart = torch.cdist(white, white).masked_fill(own[:, None] != own, torch.inf).fill_diagonal_(torch.inf)
    return float(apart.min(1).values.median()) >= _APART * reach(white.shape[1])


def _reference(model: MaskedDenoiser, codec: RowCodec, rows: Tensor) -> Tensor:
    """The log-density of rows by the mixture and the codes' frequencies, `(n,)`."""
    numbers = codec.continuous
    total = log_densities(model.law, rows[:, :numbers])
    for j, table in enumerate(model.log_frequencies.double().split(codec.sizes)):
        total = total + torch.log_softmax(table, 0)[rows[:, numbers + j].long()]
    return total


def _log_near(things: Things, codes: Tensor, weights: Tensor, rows: Tensor, numbers: int) -> Tensor:
    """The logarithm of `sum_k w_k N(x; mean_k, C_k) [codes are those of k]`, `(n,)`."""
    scale = (1 + 1 / things.counts.double()).sqrt()
    root = torch.linalg.cholesky(things.covariance)
    white = torch.linalg.solve_triangular(root, (rows[:, :numbers].double()).T, upper=False).T
    centre = torch.linalg.solve_triangular(root, things.means.T, upper=False).T
    distance = torch.cdist(white, centre).square() / scale.square()
    log_det = root.diagonal().log().sum() + numbers * (scale.log() + 0.5 * torch.log(torch.tensor(2 * torch.pi)))
    joint = weights.log() - 0.5 * distance - log_det
    same = (rows[:, None, numbers:] == codes[None]).all(2)
    return torch.logsumexp(joint.masked_fill(~same, -torch.inf), 1)


def _log(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64).log()
