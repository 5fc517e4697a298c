"""The finite-set Stein discrepancy: unbiased, a test of the size that it says, and places that tell laws apart."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from scorefield.analytic import Gaussian, GaussianMixture
from scorefield.metrics import InverseMultiquadric, SquaredExponential, fssd_test
from scorefield.metrics.fssd import _features, _unbiased
from scorefield.metrics.stein_kernel import stein_kernel, stein_points

LAWS = {
    "normal": Gaussian(torch.zeros(1), torch.eye(1)),
    "two modes": GaussianMixture(
        torch.tensor([1.0, 3.0]),
        torch.tensor([[-2.0, 0.0], [2.0, 0.5]]),
        torch.stack([torch.eye(2), 0.4 * torch.eye(2)]),
    ),
}


def test_the_witness_averaged_over_all_places_is_the_stein_kernel() -> None:
    """With a Gaussian kernel of scale h / sqrt(2) the integral over v is the Stein kernel of scale h."""
    x = LAWS["normal"].sample(6, 0)
    points, h = stein_points(LAWS["normal"].score, x), 1.3
    v = torch.linspace(-9, 9, 401, dtype=torch.float64)[:, None]
    f = _features(points, v, SquaredExponential(), h / math.sqrt(2)).flatten(1)
    products = f @ f.T * len(v) * float(v[1] - v[0])
    k = math.sqrt(math.pi / 2) * h  # the integral of the product of two kernels, at distance 0
    torch.testing.assert_close(
        products / k, stein_kernel(points, points, SquaredExponential(), h), rtol=1e-6, atol=1e-6
    )
    pairs = [f[i] @ f[j] for i in range(6) for j in range(6) if i != j]
    torch.testing.assert_close(_unbiased(f), torch.stack(pairs).mean())


@pytest.mark.parametrize(
    ("name", "kernel"), [("normal", SquaredExponential()), ("two modes", InverseMultiquadric(1.0))]
)
def test_the_test_rejects_the_truth_as_often_as_it_says(name: str, kernel: SquaredExponential) -> None:
    found = [
        fssd_test(LAWS[name].score, LAWS[name].sample(200, 100 + k), kernel=kernel, steps=3, draws=199, seed=k)
        for k in range(80)
    ]
    values = np.array([one.value for one in found])
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(80)
    assert stats.binomtest(sum(one.p_value <= 0.05 for one in found), 80, 0.05).pvalue > 1e-3


def test_places_are_found_where_the_laws_differ() -> None:
    """The second half of a sample's spread is lost: with training few places find it more often than random ones."""

    def rate(training: float, steps: int) -> float:
        p = [
            fssd_test(LAWS["two modes"].score, narrow(LAWS["two modes"].sample(200, k)), locations=1, seed=k,
                      training=training, steps=steps).p_value
            for k in range(14)
        ]  # fmt: skip
        return float((np.array(p) <= 0.05).mean())

    def narrow(x: Tensor) -> Tensor:
        return torch.stack([x[:, 0], 1.35 * x[:, 1]], 1)

    trained, random = rate(0.3, 40), rate(0.0, 0)
    assert trained > random and trained > 0.3, (trained, random)


def test_given_places_stay_and_shapes_do_not_matter() -> None:
    law, x = LAWS["two modes"], LAWS["two modes"].sample(60, 0)
    v = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    found = fssd_test(law.score, x, locations=v, kernel=SquaredExponential(1.0))
    assert torch.equal(found.locations, v.double()) and found.scale == 1.0 and found.tested == 60
    image = fssd_test(
        lambda y: law.score(y.flatten(1)).reshape(y.shape),
        x.reshape(60, 1, 2),
        locations=v.reshape(2, 1, 2),
        kernel=SquaredExponential(1.0),
    )
    assert image.p_value == found.p_value and image.locations.shape == (2, 1, 2)
    moved = fssd_test(lambda y: law.score((y - 5) / 10) / 10, 10 * x + 5, steps=9, seed=3)
    here = fssd_test(law.score, x, steps=9, seed=3)
    assert moved.p_value == here.p_value and math.isclose(moved.scale, 10 * here.scale, rel_tol=1e-6)
    assert fssd_test(law.score, x, steps=9, seed=3) != fssd_test(law.score, x, steps=9, seed=4)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "few": (lambda: fssd_test(lambda x: -x, torch.rand(9, 1)), "cannot be split"),
    "equal": (lambda: fssd_test(lambda x: -x, torch.ones(30, 2)), "scale > 0"),
    "share": (lambda: fssd_test(lambda x: -x, torch.rand(30, 1), training=1.0), "training"),
    "places": (lambda: fssd_test(lambda x: -x, torch.rand(30, 1), locations=torch.ones(2, 3)), "points of shape"),
    "none": (lambda: fssd_test(lambda x: -x, torch.rand(30, 1), locations=0), "locations"),
    "score": (lambda: fssd_test(lambda x: x / 0, torch.rand(30, 1)), "not finite at row 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        make()
