"""Rows of which some numbers are not there, by elimination: against the decompositions of the library."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scorefield.analytic.mixture import GaussianMixture
from scorefield.analytic.partial import ConditionedRows, PartialMixture, Pattern
from scorefield.core import Level
from scorefield.interop.eliminated import part_deviation, part_estimate, solved
from scorefield.tables.residual import safe_sqrt


def law_of(d: int) -> GaussianMixture:
    generator = torch.Generator().manual_seed(d)
    roots = torch.randn(3, d, d, generator=generator, dtype=torch.float64)
    roots[0, :, d // 2 :] = 0  # a component that is flat in half of the directions
    weights, means = torch.tensor([0.2, 0.3, 0.5]).double(), torch.randn(3, d, generator=generator).double() * 3
    return GaussianMixture(weights, means, roots @ roots.mT / d + 1e-6 * torch.eye(d).double())


@pytest.mark.parametrize("d", [1, 2, 7, 40])
def test_elimination_solves_and_finds_the_determinant(d: int) -> None:
    matrix = torch.eye(d).double() + 250_000 * law_of(d).covariances
    right = torch.randn(3, d, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    answer, log_det = solved(matrix, right)
    size = torch.linalg.cond(matrix).max() * d * 1e-15  # of rounding, as far as the matrix spreads it
    assert (answer - torch.linalg.solve(matrix, right)).abs().max() < size * answer.abs().max()
    assert (log_det - torch.linalg.slogdet(matrix)[1]).abs().max() < d * 1e-11


@pytest.mark.parametrize("d", [1, 2, 7])
@pytest.mark.parametrize("sigma", [0.002, 0.5, 80.0])
def test_rows_in_part_are_answered_as_by_their_own_laws(d: int, sigma: float) -> None:
    law, n = law_of(d), 2**d if d < 7 else 30
    queried = (torch.arange(n)[:, None] >> torch.arange(d)) % 2 > 0  # every pattern, none and all among them
    alpha, level = torch.ones(n, 1).double(), torch.full((n, 1), sigma).double()
    x = law.means[torch.arange(n) % 3] + 2 * level * torch.randn(n, d, generator=torch.Generator().manual_seed(1))
    given = torch.where(queried, torch.nan, torch.inf).double()
    expected = PartialMixture(law)(x, Level(alpha[:, 0], level[:, 0]), given)
    found = part_estimate(law, x, alpha, level, queried)
    for one, other in zip(found, expected, strict=True):
        assert _apart(one, other, queried) < 1e-8
    spread = ConditionedRows.of(
        GaussianMixture(torch.ones(1).double(), law.mean[None], law.covariance[None]), Pattern.of(given)
    )
    own = safe_sqrt(spread.posterior_variance(alpha, level))
    assert _apart(part_deviation(law.covariance, alpha, level, queried), own, queried) < 1e-6


def _apart(found: Tensor, expected: Tensor, queried: Tensor) -> float:
    return float(torch.where(queried, found - expected, 0.0).abs().max() / expected.abs().max())
