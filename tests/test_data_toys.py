"""Laws of the toys (normalised, and sampled from the density they state) and of splits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorefield.data import TOYS, split
from scorefield.data.toys import Checkerboard, Toy

SIDE, CELLS, BINS = 4.8, 192, 24  # [-4.8, 4.8]: the board's edges are edges of bins, all others are far inside


def on_a_grid(toy: Toy) -> tuple[torch.Tensor, float]:
    """Log-density at the middles of square cells, and their area; the rule is exact for the board, and for Gaussians
    of standard deviation 2 cells to exp(-8 pi**2)."""
    line = (torch.arange(CELLS, dtype=torch.float64) + 0.5) * (2 * SIDE / CELLS) - SIDE
    points = torch.cartesian_prod(line, line)
    return toy.log_density(points).reshape(CELLS, CELLS), (2 * SIDE / CELLS) ** 2


@pytest.fixture(params=TOYS)
def toy(request: pytest.FixtureRequest) -> Toy:
    return TOYS[request.param]


def test_density_is_normalised_and_sampled(toy: Toy) -> None:
    log_p, area = on_a_grid(toy)
    p = log_p.exp()
    assert float(p.sum()) * area == pytest.approx(1, abs=1e-9)
    # samples: the mean of log p against its integral, and counts in square bins against probabilities
    n = 40_000
    x = toy.sample(n, seed=1)
    assert x.shape == (n, 2) and x.dtype == torch.float64
    values = toy.log_density(x)
    expected = float(torch.where(p > 0, p * log_p, 0).sum()) * area
    assert abs(float(values.mean()) - expected) <= 5 * float(values.std()) / math.sqrt(n) + 1e-9
    k = CELLS // BINS
    probability = p.reshape(BINS, k, BINS, k).sum((1, 3)).numpy() * area
    edges = np.linspace(-SIDE, SIDE, BINS + 1)
    counts = np.histogram2d(x[:, 0].numpy(), x[:, 1].numpy(), bins=[edges, edges])[0]
    assert not counts[probability == 0].any()
    big = probability * n > 5
    chi2 = (np.square(counts - n * probability)[big] / (n * probability[big])).sum()
    degrees = big.sum()
    assert abs(chi2 - degrees) < 5 * math.sqrt(2 * degrees)


def test_samples_belong_to_their_index(toy: Toy) -> None:
    x = toy.sample(50, seed=2)
    assert torch.equal(toy.sample(20, seed=2), x[:20])
    assert not torch.equal(toy.sample(20, seed=3), x[:20])


def test_log_density_in_float32_and_its_gradient(toy: Toy) -> None:
    x = toy.sample(100, seed=0)
    single = toy.log_density(x.float())
    assert single.dtype == torch.float32 and single.shape == (100,)
    # the rounding of x, times the steepest slope: 6 standard deviations of 0.1 over 0.1
    inside = torch.isfinite(single)
    assert float((single.double() - toy.log_density(x))[inside].abs().max()) < 4 * 2**-24 * 60 * 10
    if not isinstance(toy, Checkerboard):
        far = torch.full((1, 2), 100.0, requires_grad=True)
        (score,) = torch.autograd.grad(toy.log_density(far).sum(), far)
        assert bool(torch.isfinite(score).all()) and bool((score < 0).all())


def test_names_and_shapes(toy: Toy) -> None:
    assert TOYS[toy.name] is toy
    assert len(repr(toy)) < 100
    with pytest.raises(ValueError, match=r"\(n, 2\)"):
        toy.log_density(torch.zeros(3, 3))


@settings(max_examples=60, deadline=None)
@given(n=st.integers(2, 300), fraction=st.floats(0.001, 0.999), seed=st.integers(0, 99), classes=st.integers(0, 5))
def test_a_split_parts_the_records(n: int, fraction: float, seed: int, classes: int) -> None:
    labels = np.arange(n) ** 2 % 7 % classes if classes else None
    train, held = split(n, fraction, seed, labels)
    assert train.dtype == held.dtype == np.int64
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held])), np.arange(n))
    assert len(held) == min(max(round(n * fraction), 1), n - 1)
    assert (np.diff(train) > 0).all() and (np.diff(held) > 0).all()
    again = split(n, fraction, seed, labels)
    np.testing.assert_array_equal(again[1], held)
    if labels is not None:  # each class gives its share, to one record
        for value in np.unique(labels):
            share = np.sum(labels == value) * len(held) / n
            assert abs(np.sum(labels[held] == value) - share) <= 1


def test_splits_differ_by_seed_and_are_fair() -> None:
    held = [set(split(1000, 0.1, seed)[1].tolist()) for seed in range(40)]
    assert held[0] != held[1]
    counts = np.bincount([i for part in held for i in part], minlength=1000)
    # 40 draws with probability 0.1: variance 3.6
    assert abs(counts.mean() - 4) < 1e-12 and counts.var() == pytest.approx(3.6, rel=5 * math.sqrt(2 / 1000))


@pytest.mark.parametrize(
    ("n", "fraction", "labels"), [(1, 0.1, None), (10, 0.0, None), (10, 1.0, None), (10, 0.5, [1])]
)
def test_splits_that_cannot_be(n: int, fraction: float, labels: list[int] | None) -> None:
    with pytest.raises(ValueError, match="split"):
        split(n, fraction, labels=None if labels is None else np.array(labels))


def test_a_board_needs_an_even_side() -> None:
    with pytest.raises(ValueError, match="even"):
        Checkerboard(squares=3)
    board = Checkerboard(squares=6, side=0.5)
    assert bool(torch.isfinite(board.log_density(board.sample(1000, seed=0))).all())
