"""Gains of a network's probabilities of codes: exact recovery, the ends of the range, held-out rows, storage."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield.analytic import GaussianMixture
from scorefield.tables.code_gains import GainProblem, best_gains, fit_code_gains
from scorefield.tables.denoiser import CODE_KNOTS, MaskedDenoiser
from scorefield.tables.fit import fit_frame, settings_for
from scorefield.tables.frequencies import added_rows, log_frequencies
from scorefield.tables.network import MaskedMLP
from scorefield.tables.objective import MaskedObjective
from scorefield.tables.trained import TrainedTable

F64 = torch.float64
ONES = torch.ones(3, dtype=F64)


def problem(gain: torch.Tensor, n: int = 40_000, sure: float = 1.0) -> GainProblem:
    """Codes drawn by `f exp(gain change)`, the network's change being multiplied by `sure`."""
    draw = torch.Generator().manual_seed(3)
    frequency = torch.log_softmax(torch.tensor([0.0, 1.0, -0.5, 0.3], dtype=F64), 0)
    change = torch.randn(n, 4, generator=draw, dtype=F64)
    place = torch.rand(n, generator=draw, dtype=F64)
    weights = (1 - (2 * place[:, None] - torch.arange(3)).abs()).clamp(min=0)
    law = torch.softmax(frequency + (weights @ gain)[:, None] * change, 1)
    code = torch.multinomial(law, 1, generator=draw)[:, 0]
    return GainProblem(sure * change, frequency, code, weights)


@pytest.mark.parametrize("sure", [1.0, 3.0, 10.0])
def test_a_network_that_is_too_sure_is_taken_at_its_worth(sure: float) -> None:
    """Codes by the gains (0.2, 0.6, 1) of a network that says `sure` times as much: gains over `sure` are found.

    The error is that of maximum likelihood, by the information at the solution: 4 deviations.
    """
    true = torch.tensor([0.2, 0.6, 1.0], dtype=F64)
    one = problem(true, sure=sure)
    found = best_gains([one], ONES, 1e-9)
    error = torch.linalg.inv(one.derivatives(found)[1]).diagonal().sqrt()
    assert bool(((found - true / sure).abs() < 4 * error).all())
    assert float(error.max()) < 0.05 / sure


def test_derivatives_are_those_of_the_log_likelihood() -> None:
    one = problem(ONES, n=50)
    at = torch.tensor([0.3, 0.9, 0.5], dtype=F64)
    gradient, curvature = one.derivatives(at)
    h = 1e-4
    for k in range(3):
        step = h * torch.eye(3, dtype=F64)[k]
        slope = (one.value(at + step) - one.value(at - step)) / (2 * h)
        assert slope == pytest.approx(float(gradient[k]), abs=1e-6)
        bend = (one.derivatives(at + step)[0] - one.derivatives(at - step)[0]) / (2 * h)
        torch.testing.assert_close(-bend, curvature[k], rtol=1e-6, atol=1e-6)


def test_nothing_said_and_nothing_held_out_leave_the_prior() -> None:
    quiet = GainProblem(
        torch.zeros(5, 3, dtype=F64), torch.zeros(3, dtype=F64), torch.zeros(5).long(), torch.ones(5, 3).double()
    )
    assert torch.equal(best_gains([quiet], 0.7 * ONES, 0.1), 0.7 * ONES)
    model = MaskedDenoiser(MaskedMLP(0, (3, 2), width=8, depth=1), None).eval()
    objective = MaskedObjective(0, 2, (), None)  # type: ignore[arg-type]
    assert torch.equal(fit_code_gains(model, objective, torch.zeros(0, 2)), torch.ones(CODE_KNOTS, 2).double())
    assert torch.equal(fit_code_gains(model, objective, torch.zeros(4, 2)), torch.ones(CODE_KNOTS, 2).double())


def test_the_ends_of_the_range_are_frequencies_and_network() -> None:
    network = MaskedMLP(1, (3, 2), width=8, depth=1, members=2)
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.5, generator=torch.Generator().manual_seed(p.numel()))
    frequencies = log_frequencies([torch.tensor([5, 2, 3]), torch.tensor([1, 9])])
    law = GaussianMixture(torch.ones(1), torch.zeros(1, 1), torch.eye(1)[None])
    given = torch.tensor([[0.3, math.nan, 1.0], [math.inf, math.nan, math.nan]])
    model = MaskedDenoiser(network, law, frequencies).eval()
    for found, raw in zip(model.log_codes(given), model.raw_log_codes(given), strict=True):
        torch.testing.assert_close(found, raw, rtol=1e-12, atol=1e-12)
    model.code_gains = torch.zeros(CODE_KNOTS, 2, dtype=F64)
    for found, own in zip(model.log_codes(given), frequencies.double().split((3, 2)), strict=True):
        torch.testing.assert_close(found, torch.log_softmax(own, 0).expand_as(found), rtol=1e-12, atol=1e-12)


def test_even_counts_are_taken_as_even() -> None:
    """A design has each level as often: in a half of it the rest of the counts is chance, and uniform is predicted."""
    half = torch.tensor([12, 9, 11, 10, 13, 8, 11, 12, 9, 10, 13, 12, 11, 13])
    assert float((log_frequencies([half]).exp() - 1 / 14).abs().max()) < 1e-4
    uneven = torch.tensor([300, 100, 30, 10])
    assert float((log_frequencies([uneven]).exp() - uneven / 440).abs().max()) < 0.005
    assert added_rows(torch.tensor([7])) == 1.0


def test_a_level_that_no_row_tells_is_drawn_evenly(tmp_path: Path) -> None:
    """A crossed design has each level once with each combination: after half of it, to know the one is to exclude the
    other. A network by heart loses more than 0.2 nats on new cells, less than 0.1 is left of that."""
    rng = np.random.default_rng(1)
    shapes = np.column_stack([rng.choice(4, 16), rng.choice(3, 16)])
    frame = pd.DataFrame(np.repeat(shapes, 10, 0), columns=["a", "b"]).astype(float)
    frame["level"] = np.tile(np.arange(10.0), 16)
    frame["answer"] = frame["level"] + 0.2 * frame["a"] + 0.1 * rng.standard_normal(len(frame))
    order = rng.permutation(len(frame))
    settings = settings_for(80, steps=300, seed=0)
    table = fit_frame(frame.iloc[order[:80]].reset_index(drop=True), settings=settings)
    rows = table.codec.encode(frame.iloc[order[80:]].reset_index(drop=True))
    given = rows.clone()
    given[:, : table.codec.continuous] = math.inf
    given[:, -1] = math.nan

    def mean(answer: Callable[[torch.Tensor], tuple[torch.Tensor, ...]]) -> float:
        with torch.no_grad():
            return float(answer(given)[-1].gather(1, rows[:, -1:].long()).mean())

    even = -math.log(10)
    assert mean(table.model.raw_log_codes) < even - 0.2
    assert mean(table.model.log_codes) > even - 0.1
    table.save(tmp_path / "run")
    again = TrainedTable.load(tmp_path / "run")
    assert torch.equal(again.model.code_gains, table.model.code_gains)
