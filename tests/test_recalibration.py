"""Laws of recalibrated intervals: increasing maps with their density, deviates of exact laws, coverage, few rows."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from scorefield import ScoreRegressor
from scorefield.analytic import GaussianMixture
from scorefield.plans import default
from scorefield.tables.calibration import Deviates, fit_maps, fit_recalibration
from scorefield.tables.codec import fit_row_codec
from scorefield.tables.denoiser import MaskedDenoiser
from scorefield.tables.impute import complete
from scorefield.tables.network import MaskedMLP
from scorefield.tables.predict import Prediction
from scorefield.tables.recalibration import KNOTS, Recalibration
from scorefield.tables.row_model import Layout
from scorefield.tables.trained import TrainedTable
from scorefield.tables.transport import backward, deviates_of, values_at

F64 = torch.float64
NAN, HIDDEN = math.nan, math.inf


def doubles(*values: object) -> Tensor:
    return torch.tensor(values, dtype=F64)


def constant(a: float, b: float, numbers: int = 2) -> Recalibration:
    """The same maps for every number and share."""
    return Recalibration(doubles(a, b).expand(KNOTS, numbers, 2))


def gaussian(correlation: float = 0.8) -> MaskedDenoiser:
    """Two correlated standard normal numbers, exactly."""
    law = GaussianMixture(doubles(1.0), torch.zeros(1, 2, dtype=F64), doubles([[1, correlation], [correlation, 1]]))
    return MaskedDenoiser(MaskedMLP(2, width=8, depth=1), law, sigma_min=1e-3, sigma_max=200.0).eval()


def bimodal() -> MaskedDenoiser:
    """Two modes of the second number, whatever the first is."""
    means = doubles([-1.0, -1.0], [1.0, 1.5])
    law = GaussianMixture(doubles(0.4, 0.6), means, doubles([[0.5, 0.1], [0.1, 0.3]]).expand(2, 2, 2))
    return MaskedDenoiser(MaskedMLP(2, width=8, depth=1), law, sigma_min=1e-3, sigma_max=200.0).eval()


LAYOUT = Layout(2, 0, (-1, -1))
MAPS = [(0.0, 0.0), (0.4, 0.0), (-0.3, 0.25), (0.2, -0.2)]


@pytest.mark.parametrize(("a", "b"), MAPS)
def test_maps_rise_have_their_inverse_and_densities_of_integral_one(a: float, b: float) -> None:
    z, at = torch.linspace(-30, 30, 60_001, dtype=F64), doubles(a, b).expand(60_001, 2)
    w = Recalibration.standard(z, at)
    assert bool((w.diff() > 0).all()) and abs(float(w[30_000])) < 1e-12
    torch.testing.assert_close(Recalibration.of_model(w, at), z)
    density = torch.exp(-z.square() / 2 + Recalibration.log_gain(z, at)) / math.sqrt(2 * math.pi)
    assert float(torch.trapezoid(density, z)) == pytest.approx(1.0, abs=1e-6)
    slope = torch.autograd.functional.jvp(lambda v: Recalibration.standard(v, at), z, torch.ones_like(z))[1]
    torch.testing.assert_close(
        density[20_000:40_001], (torch.exp(-w.square() / 2) / math.sqrt(2 * math.pi) * slope)[20_000:40_001]
    )


def test_no_maps_change_nothing() -> None:
    z, at = torch.linspace(-9, 9, 19, dtype=F64), constant(0.0, 0.0).at(torch.ones(19), 0)
    torch.testing.assert_close(Recalibration.of_model(z, at), z)
    torch.testing.assert_close(Recalibration.log_gain(z, at), torch.zeros(19, dtype=F64), atol=1e-12, rtol=0)


def test_maps_are_linear_between_shares_that_are_given_and_stand_alone_where_all_is() -> None:
    own = Recalibration(torch.tensor([0.0, 1.0, 2.0, 7.0], dtype=F64)[:, None, None].expand(KNOTS, 2, 2))
    assert own.at(doubles(0.0, 0.25, 0.5, 0.75, 1.0), 1)[:, 0].tolist() == [0.0, 0.5, 1.0, 1.5, 7.0]


@pytest.mark.parametrize("shape", [(KNOTS, 2), (2, 2, 2), (KNOTS, 2, 3)])
def test_other_parameters_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="parameters"):
        Recalibration(torch.zeros(shape, dtype=F64))


@pytest.mark.parametrize("model", [gaussian(), bimodal()], ids=["gaussian", "bimodal"])
@pytest.mark.parametrize("first", [0.7, HIDDEN], ids=["given", "hidden"])
def test_deviates_are_those_of_the_exact_conditional_and_go_back(model: MaskedDenoiser, first: float) -> None:
    law, x = model.law, torch.linspace(-2, 3, 41, dtype=F64)
    given = torch.full((41, 2), NAN, dtype=F64)
    given[:, 0] = first
    weights = law.weights
    mean, variance = law.means[:, 1], law.covariances[:, 1, 1]
    if first == 0.7:
        slope = law.covariances[:, 0, 1] / law.covariances[:, 0, 0]
        weights = weights * torch.exp(-((0.7 - law.means[:, 0]) ** 2) / (2 * law.covariances[:, 0, 0]))
        mean, variance = mean + slope * (0.7 - law.means[:, 0]), variance - slope * law.covariances[:, 0, 1]
    below = torch.special.ndtr((x[:, None] - mean) / variance.sqrt())
    exact = torch.special.ndtri((below * weights).sum(1) / weights.sum())
    found = deviates_of(model, backward(model), given, 2, 1, x)
    assert float((found - exact).abs().max()) < 0.02  # of the steps; a level of 90 % moves by 0.2 % of it
    back = values_at(model, default(40, sigma_min=1e-3, sigma_max=200.0), given, 2, 1, found[:, None])[:, 0]
    assert float((back - x).abs().max()) < 0.02


def test_maps_are_recovered_and_those_of_few_rows_stay_near_the_identity() -> None:
    count = 16_000
    w = torch.special.ndtri((torch.arange(count, dtype=F64) + 0.5) / count)
    share, number = (torch.arange(count) // 2 % 2).double(), torch.arange(count) % 2
    z = Recalibration.of_model(w, constant(0.2, 0.1).at(share, number))
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    found = fit_maps(Deviates(z[order], share, number), 2).parameters
    # a width of 4,000 values has a standard error of 1.1 %; an error in b is made up for by one in a
    reach = Recalibration.of_model(doubles(1.6449), found[3, 0])
    assert float(reach) == pytest.approx(float(Recalibration.of_model(doubles(1.6449), doubles(0.2, 0.1))), rel=0.045)
    few = fit_maps(Deviates(3 * w[order[:4]], torch.ones(4, dtype=F64), number[:4]), 2).parameters
    many = fit_maps(Deviates(3 * w, torch.ones(count, dtype=F64), number), 2).parameters
    assert bool((few[3].abs() < 0.35).all()) and float(many[3, 0, 0]) > 0.9
    assert bool((fit_maps(Deviates(z[:0], share[:0], number[:0]), 2).parameters == 0).all())


def frame(n: int, seed: int) -> pd.DataFrame:
    """Standard normal numbers of which one is 0.6 of the other, and noise of variance 0.64."""
    x, e = np.random.default_rng(seed).normal(size=(2, n))
    return pd.DataFrame({"x": x, "y": 0.6 * x + 0.8 * e})


def too_sure(held: int = 400) -> TrainedTable:
    """A model that takes the noise of y for half as wide as it is, with its recalibration by held-out rows."""
    codec = replace(fit_row_codec(frame(300, 0)), mean=(0.0, 0.0), std=(1.0, 1.0))
    law = GaussianMixture(doubles(1.0), torch.zeros(1, 2, dtype=F64), doubles([[1.0, 0.6], [0.6, 0.36 + 0.16]]))
    model = MaskedDenoiser(MaskedMLP(2, width=8, depth=1), law, sigma_min=1e-3, sigma_max=200.0).eval()
    return replace(
        table := TrainedTable(model, codec),
        recalibration=fit_recalibration(model, table.layout, codec.encode(frame(held, 1))),
    )


def test_intervals_of_a_model_that_is_too_sure_hold_what_they_say() -> None:
    table, new = too_sure(), frame(600, 2)
    rows, law = table.codec.encode(new), Prediction(table, "y")
    plain = Prediction(replace(table, recalibration=None), "y")
    for coverage in (0.5, 0.9):
        q = np.array([(1 - coverage) / 2, (1 + coverage) / 2])
        ends, before = law.quantiles(rows, q), plain.quantiles(rows, q)
        inside = np.mean((ends[:, 0] < new["y"]) & (new["y"] < ends[:, 1]))
        # the errors of 600 rows and of the width that 400 rows tell, together
        assert inside == pytest.approx(coverage, abs=4 * math.sqrt(coverage * (1 - coverage) * (1 / 600 + 1 / 400)))
        assert np.mean((before[:, 0] < new["y"]) & (new["y"] < before[:, 1])) < 0.7 * coverage
    drawn = law.draws(rows[:3], 2000, seed=0)
    levels = np.array([0.1, 0.5, 0.9])
    share = (drawn[:, None, :] < law.quantiles(rows[:3], levels)[:, :, None]).mean(2)
    assert np.abs(share - levels).max() < 4 * math.sqrt(0.25 / 2000)
    gain = law.log_gain(rows)
    exact = -np.log(0.8) - (new["y"] - 0.6 * new["x"]) ** 2 / 1.28  # and a constant that both have
    model = -np.log(0.4) - (new["y"] - 0.6 * new["x"]) ** 2 / 0.32
    assert np.mean(model + gain) == pytest.approx(exact.mean(), abs=0.05)


def test_a_hole_alone_is_filled_by_the_recalibrated_law_and_several_by_the_model() -> None:
    table = too_sure()
    alone = table.codec.encode(frame(4000, 3))
    alone[:, 1] = NAN
    filled = table.draws(alone, 1, seed=5)[0]
    spread = (filled[:, 1] - 0.6 * filled[:, 0]).std()
    assert float(spread) == pytest.approx(0.8, rel=0.15) and float(spread) > 0.6
    whole = torch.full((50, 2), NAN, dtype=F64)
    plan = table.plan(8)
    same = [complete(table.model, LAYOUT, whole, plan, recalibration=r) for r in (None, table.recalibration)]
    torch.testing.assert_close(*same, rtol=0, atol=0)


def test_it_is_stored_and_without_one_the_model_answers_itself(tmp_path: Path) -> None:
    table = too_sure(30)
    table.save(tmp_path)
    again = TrainedTable.load(tmp_path).recalibration
    assert again is not None and table.recalibration is not None
    torch.testing.assert_close(again.parameters, table.recalibration.parameters, rtol=0, atol=0)
    replace(table, recalibration=None).save(tmp_path)
    assert TrainedTable.load(tmp_path).recalibration is None
    replace(table, recalibration=constant(0.0, 0.0, 3)).save(tmp_path)
    with pytest.raises(ValueError, match="recalibration"):
        TrainedTable.load(tmp_path)


def test_without_held_rows_or_numbers_there_is_none() -> None:
    assert fit_recalibration(gaussian(), LAYOUT, torch.zeros(0, 2, dtype=F64)) is None
    assert fit_recalibration(gaussian(), Layout(0, 2, ()), torch.zeros(9, 2, dtype=F64)) is None
    assert fit_recalibration(gaussian(), LAYOUT, torch.full((9, 2), NAN, dtype=F64)) is None


def test_a_regressors_densities_integrate_to_one() -> None:
    new = frame(1, 4)
    model = ScoreRegressor.from_table(too_sure())
    y = np.linspace(-8, 8, 400)
    found = model.log_density(pd.DataFrame({"x": np.repeat(new["x"].to_numpy(), len(y))}), y)
    assert np.trapezoid(np.exp(found), y) == pytest.approx(1.0, abs=0.01)
