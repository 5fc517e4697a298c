"""Families of tokens: exact at the law for every loss, errors by hand where there are any, intervals that cover."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import Tensor

from scorefield import discrete
from scorefield.discrete import Joint, TokenLoss, Tokens, all_sequences, fit_family, ising
from scorefield.discrete.family_terms import Terms
from scorefield.objectives import families
from scorefield.objectives.families import Family

LOSSES = (discrete.ratio_matching, discrete.pseudo_likelihood, discrete.concrete, discrete.implicit_score_entropy)
TABLE = torch.randn(27, 4, generator=torch.Generator().manual_seed(1)).double()


def drawn(count: int, seed: int) -> Tensor:
    return 0.4 * torch.randn(count, generator=torch.Generator().manual_seed(seed)).double()


def three_values() -> Family:
    """Four statistics, each any function of three tokens of three values."""

    def statistics(x: Tensor) -> Tensor:
        return TABLE[(x * torch.tensor([9, 3, 1])).sum(1)]

    return Family("any", statistics, Tokens(3), ("a", "b", "c", "d"), lambda theta: theta)


def law(family: Family, theta: Tensor, length: int) -> Joint:
    assert isinstance(family.support, Tokens)
    return Joint.of_energy(lambda x: -family.statistics(x) @ theta, length, family.support.size)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize(("family", "length"), [(ising(4), 4), (three_values(), 3)], ids=["Ising", "any"])
def test_the_law_itself_gives_its_parameters_exactly(family: Family, length: int, loss: TokenLoss) -> None:
    theta = drawn(len(family.names), 0)
    assert isinstance(family.support, Tokens)
    x, p = all_sequences(length, family.support.size), law(family, theta, length).probabilities.flatten()
    found = fit_family(x, family, loss, weights=p)
    assert torch.allclose(found.parameters, theta, atol=1e-9)
    assert torch.allclose(found.natural.energy(x), -family.statistics(x) @ theta, atol=1e-8)


def test_one_spin_is_a_coin() -> None:
    """Its pseudo-likelihood is the likelihood: theta = log(p / (1 - p)) / 2, variance 1 / (4 n p (1 - p))."""
    x = np.repeat([0, 1], [30, 70])[:, None]
    for loss in LOSSES[:2]:  # one parameter for one frequency: every loss has this minimum and this error
        found = fit_family(x, ising(1), loss)
        assert float(found.parameters) == pytest.approx(math.log(7 / 3) / 2, rel=1e-9)
        assert float(found.standard_error) == pytest.approx(1 / (2 * math.sqrt(100 * 0.3 * 0.7)), rel=1e-7)


def test_intervals_cover() -> None:
    family, theta, trials, n = ising(3), drawn(6, 2), 120, 500
    p, states = law(family, theta, 3).probabilities.flatten().numpy(), all_sequences(3, 2)
    draw, held = np.random.default_rng(3), torch.zeros(6)
    for _ in range(trials):
        counts = torch.from_numpy(draw.multinomial(n, p))
        low, high = fit_family(states.repeat_interleave(counts, 0), family).interval().T
        held += (low < theta) & (theta < high)
    low, high = stats.binom.ppf(0.0005, trials, 0.94), stats.binom.ppf(0.9995, trials, 0.96)
    assert low <= float(held.min()) and float(held.max()) <= high


def test_what_is_kept_and_what_is_computed_again_are_one_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    x = law(ising(4), drawn(10, 4), 4).sample(300, seed=0)
    whole = fit_family(x, ising(4))
    monkeypatch.setattr("scorefield.discrete.family_terms._KEPT", 0)
    monkeypatch.setattr("scorefield.discrete.family_terms._NUMBERS", 80 * 7)  # parts of seven sequences
    parts = fit_family(x, ising(4))
    assert torch.allclose(whole.parameters, parts.parameters, atol=1e-9)
    assert torch.allclose(whole.covariance, parts.covariance, atol=1e-9)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_slopes_and_curvatures_are_those_of_automatic_differentiation(loss: TokenLoss) -> None:
    family, theta = three_values(), drawn(4, 6)
    x, w = all_sequences(3, 3)[::2], torch.rand(14, generator=torch.Generator().manual_seed(0)).double()
    terms = Terms(x, w, family, loss, 3)

    def mean(theta: Tensor) -> Tensor:
        return w @ loss(lambda z: -family.statistics(z) @ theta, x, 3)

    value, slope = terms.slope(theta)
    assert float(value) == pytest.approx(float(mean(theta)), rel=1e-12)
    assert torch.allclose(slope, torch.func.grad(mean)(theta), atol=1e-10)
    assert torch.allclose(terms.curvature(theta), torch.func.hessian(mean)(theta), atol=1e-9)
    each = torch.func.jacfwd(lambda theta: loss(lambda z: -family.statistics(z) @ theta, x, 3))(theta)
    assert torch.allclose(terms.spread(theta), (w.square()[:, None] * each).T @ each, atol=1e-9)


def test_frames_booleans_and_the_table() -> None:
    x = law(ising(2), drawn(3, 5), 2).sample(400, seed=0)
    one, two = fit_family(x, ising(2)), fit_family(pd.DataFrame(x.numpy() == 1), ising(2))
    assert torch.equal(one.parameters, two.parameters)
    head, _, *rows = one.summary().splitlines()
    assert head.startswith("Ising, 400 samples, ratio matching;")
    assert [row.split()[0] for row in rows] == ["h0", "h1", "J0,1"]


def test_the_criterion_finds_that_spins_are_tied() -> None:
    apart = Family("apart", lambda x: 2.0 * x.double() - 1, Tokens(2), ("h0", "h1", "h2"), lambda theta: theta)
    theta = torch.tensor([0.2, -0.3, 0.1, 0.5, 0.0, -0.4]).double()
    x = law(ising(3), theta, 3).sample(1000, seed=0)
    assert fit_family(x, ising(3)).criterion < fit_family(x, apart).criterion


PAIRS = torch.tensor(list(itertools.product((0, 1), repeat=2)) * 3)


def squared(energy: discrete.TokenEnergy, x: Tensor, size: int) -> Tensor:
    return discrete.pseudo_likelihood(energy, x, size) ** 2


def further(energy: discrete.TokenEnergy, x: Tensor, size: int) -> Tensor:
    return energy(1 - x)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "spins": (lambda: fit_family(2 * PAIRS - 1, ising(2)), "the token -1 in row 0, place 0; tokens are 0 to 1"),
    "a half": (lambda: fit_family([[0.0, 1.0], [0.5, 1.0]], ising(2)), "row 1, place 0: 0.5 is no token"),
    "NaN": (lambda: fit_family([[0.0, math.nan]], ising(2)), "row 0, place 1: nan is no token"),
    "words": (lambda: fit_family([["a", "b"]], ising(2)), "takes numbers, got values of type"),
    "one number": (lambda: fit_family([0, 1], ising(2)), r"shape \(n, L\)"),
    "a hole": (
        lambda: fit_family(pd.DataFrame({"u": [0, 1], "v": pd.array([1, None], dtype="Int64")}), ising(2)),
        r"row 1, place 1 \('v'\): nan is no token",
    ),
    "too many columns": (lambda: fit_family(PAIRS, ising(3)), "one of 3 column.*the data have 2"),
    "another loss": (lambda: fit_family(PAIRS, ising(2), squared), "a sum over places"),
    "other sequences": (lambda: fit_family(PAIRS, ising(2), further), "neighbours.x, size. alone"),
    "a copy, by name": (
        lambda: fit_family(pd.DataFrame(PAIRS[:, [0, 0]].numpy(), columns=["u", "v"]), ising(2)),
        r"J0,1 \(place 0 \('u'\), place 1 \('v'\)\) has no finite estimate",
    ),
    "a copy": (lambda: fit_family(PAIRS[:, [0, 0]], ising(2)), "no finite estimate.*separation|singular"),
    "constant": (lambda: fit_family(PAIRS * torch.tensor([1, 0]), ising(2)), "no finite estimate|singular"),
    "all one": (lambda: fit_family(torch.ones(9, 1), ising(1)), "h0 .place 0. has no finite estimate"),
    "another support": (lambda: fit_family(PAIRS, families.normal(2)), "objectives.families.fit"),
    "the other fit": (lambda: families.fit(PAIRS, ising(2)), "int64|discrete.fit_family"),
    "d": (lambda: ising(0), "d"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_errors_name_what_is_wrong(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        make()
