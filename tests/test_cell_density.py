"""Laws of rows whose values stand for cells, and of questions of several kinds that are asked together."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scorefield.analytic import GaussianMixture
from scorefield.progress import silent
from scorefield.tables.cell_density import cell_log_density, chosen
from scorefield.tables.codec import _even
from scorefield.tables.corrected_rows import numbers_log_density
from scorefield.tables.denoiser import SHRINKAGE_KNOTS, MaskedDenoiser
from scorefield.tables.density import row_log_density
from scorefield.tables.network import MaskedMLP
from scorefield.tables.row_model import Layout

NAN = math.nan
FORM = Layout(3, 0, (-1,) * 3)
WIDTH = 0.8  # of the cells of the first number


def law() -> GaussianMixture:
    means = torch.tensor([[-1.0, 0.0, 0.5], [0.8, 0.6, -0.5]], dtype=torch.float64)
    covariances = torch.tensor([[0.3, 0.1, 0.0], [0.1, 0.4, 0.1], [0.0, 0.1, 0.5]], dtype=torch.float64).expand(2, 3, 3)
    return GaussianMixture(torch.tensor([0.4, 0.6], dtype=torch.float64), means, covariances)


def model(size: float) -> MaskedDenoiser:
    """A model whose network has weights at random, or says nothing at size 0."""
    network = MaskedMLP(3, width=16, depth=1, members=2, seed=1)
    draw = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data.add_(size * torch.randn(parameter.shape, generator=draw))
    shrinkage = torch.full((*SHRINKAGE_KNOTS, 3), 0.2, dtype=torch.float64)
    return MaskedDenoiser(network.double(), law(), shrinkage=shrinkage, sigma_min=0.02, sigma_max=40.0).eval()


def rows(count: int) -> Tensor:
    """Rows at the centres of cells, some with a hole."""
    x = law().sample(count, seed=3).double()
    x[:, 0] = (x[:, 0] / WIDTH).round() * WIDTH
    x[::4, 1] = NAN
    return x


def in_cells(x: Tensor, u: Tensor) -> Tensor:
    """Rows with their first number at the place u in (0, 1) of its cell."""
    return torch.cat([x[:, :1] + WIDTH * (u[:, None] - 0.5), x[:, 1:]], 1)


def spread(x: Tensor, seed: int, some: slice, start: int, point: int) -> Tensor:
    """What `chosen` asks for."""
    draw = torch.Generator().manual_seed(1000 * seed + start)
    return in_cells(x[some], (torch.rand(len(x), generator=draw, dtype=torch.float64)[some] + point * 0.618034) % 1)


def averaged(made: MaskedDenoiser, x: Tensor, points: int = 12) -> Tensor:
    """The logarithm of the mean density over cells, by midpoints."""
    places = (torch.arange(points).double() + 0.5) / points
    each = [row_log_density(made, FORM, in_cells(x, u.expand(len(x))), tolerance=1e-3).value for u in places]
    return torch.logsumexp(torch.stack(each), 0) - math.log(points)


@pytest.mark.parametrize("size", [0.0, 0.1])
def test_the_probability_of_a_cell_is_the_mean_density_over_it(size: float) -> None:
    made, x = model(size), rows(12)
    want = averaged(made, x)
    away = []
    for seed in range(3):
        draws = chosen(made, lambda *where, seed=seed: spread(x, seed, *where), torch.arange(len(x)), 3, seed)
        found = cell_log_density(made, FORM, draws, 1e-3, None, silent)
        away.append((found.value - want) / (found.standard_error + 2e-3))
    z = torch.stack(away)
    assert float(z.abs().median()) < 1.2  # a t of two degrees of freedom: 0.82
    assert float((z.abs() < 4.3).double().mean()) > 0.9


def test_differences_at_few_levels_are_those_of_the_log_densities() -> None:
    made, x = model(0.05), torch.nan_to_num(rows(12))  # of greater weights at random the score is no gradient
    far = torch.zeros(2, 12, 3, dtype=torch.float64)
    far[0, :, 0], far[1, :, 0] = 0.1, -0.15
    given = torch.full_like(x, NAN)
    found, beside = numbers_log_density(made, given, x, 1e-3, None, None, silent, far)
    for k in range(2):
        want = row_log_density(made, FORM, x + far[k], tolerance=1e-5).value - found.value
        torch.testing.assert_close(beside[k], want, atol=5e-3, rtol=0)
        assert float(want.abs().max()) > 0.05


def test_questions_of_several_columns_are_answered_together_as_alone() -> None:
    made, x = model(0.1), rows(10)
    queried = torch.eye(3, dtype=torch.bool).repeat_interleave(10, 0)
    together = row_log_density(made, FORM, x.repeat(3, 1), queried, tolerance=1e-4).value.reshape(3, 10)
    for j in range(3):
        alone = row_log_density(made, FORM, x, queried[10 * j : 10 * j + 10], tolerance=1e-4).value
        torch.testing.assert_close(together[j], alone, atol=1e-5, rtol=0)


def test_points_fill_cells_evenly() -> None:
    for dimensions in (1, 3):
        u = (0.37 + torch.arange(64)[:, None] * _even(dimensions)) % 1
        assert float((u.mean(0) - 0.5).abs().max()) < 0.03  # at random: 0.036
        gaps = u.sort(0).values.diff(dim=0)
        assert float(gaps.max()) < 6 / 64  # at random: 0.074 in the mean, in one dimension
