"""Networks of few evaluations: the objective's exact minimum, and what is trained, stored and drawn."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scorefield import nets, plans
from scorefield._files import FileError
from scorefield.analytic import Gaussian
from scorefield.core import Estimate, Level, Levels
from scorefield.data import load
from scorefield.denoiser import Denoiser, Energy
from scorefield.numerics.random import normal
from scorefield.objectives.batch import Draws
from scorefield.objectives.distillation import Distillation, PathDistillation, _place, secant
from scorefield.plans.distilled import few_steps
from scorefield.records import TrainedModel
from scorefield.records.codec import fit_codec
from scorefield.records.distil import DEFAULT, HELD, LEAST, MOST, compared, paths_for, prepare
from scorefield.training.checkpoint import Settings

GRIDS = {
    "variance exploding": Levels(torch.ones(4), torch.tensor([20.0, 2.0, 0.3, 0.0])),
    "variance preserving": Levels(torch.tensor([0.05, 0.6, 1.0]), torch.tensor([0.99875, 0.8, 0.0])),
    "flow": Levels(torch.tensor([0.02, 0.5, 0.9]), torch.tensor([0.98, 0.5, 0.1])),
    "one step": Levels(torch.ones(2), torch.tensor([10.0, 0.01])),
}
VARIANCES = torch.tensor([0.25, 4.0, 1.0])
LAW = Gaussian(torch.tensor([1.0, -2.0, 0.0]), torch.diag(VARIANCES))


def exact_flow(x: Tensor, start: Level, stop: Level) -> Tensor:
    """The probability flow of a diagonal Gaussian: distances from the mean go with the standard deviation."""
    (a, s), (b, t) = (
        Level(*(torch.as_tensor(v, dtype=torch.float64)[..., None] for v in one)) for one in (start, stop)
    )
    wider = ((b**2 * VARIANCES + t**2) / (a**2 * VARIANCES + s**2)).sqrt()
    return (b * LAW.mean + (x - a * LAW.mean) * wider).to(x)


def objective(grid: Levels) -> Distillation:
    return Distillation(grid, lambda x, k, condition: exact_flow(x, grid[k], grid[k + 1]), 1.3)


class Secants(nn.Module):
    """The exact minimum: at each level the secant to the next one."""

    def __init__(self, grid: Levels, bent: float = 0.0) -> None:
        super().__init__()
        self.grid, self.bent = grid, bent

    def forward(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        ratios = (self.grid.sigma / self.grid.alpha).log()[:-1]
        place = (ratios - level.log_ratio.double().reshape(-1, 1)).abs().argmin(1)
        place = place.expand(len(x))
        start, stop = (Level(self.grid.alpha[place + k], self.grid.sigma[place + k]) for k in range(2))
        return secant(x, exact_flow(x, start, stop) + self.bent, start, stop)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_the_exact_secants_have_no_loss_and_others_have_what_their_steps_are_off(grid: Levels) -> None:
    x, noise = (normal(600, (3,), seed, "x", dtype=torch.float64) for seed in range(2))
    u = (torch.arange(600).double() + 0.5) / 600
    draws, loss = Draws(noise, u, torch.arange(600)), objective(grid)
    assert float(loss(Secants(grid), x, draws).max()) < 1e-18
    found = loss(Secants(grid, bent=0.5), x, draws)
    stop = _place(grid, u) + 1
    wanted = 3 * 0.25 / ((grid.alpha[stop] * 1.3) ** 2 + grid.sigma[stop] ** 2)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=0)
    counts = _place(grid, u).bincount()
    assert len(counts) == len(grid) - 1 and int(counts.max() - counts.min()) <= 1


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_on_paths_the_loss_is_that_of_the_flow(grid: Levels) -> None:
    """State by state, where the paths go through the same noised data."""
    x, noise = (normal(300, (3,), seed, "x", dtype=torch.float64) for seed in range(2))
    u = (torch.arange(300).double() + 0.5) / 300
    draws, loss, model = Draws(noise, u, torch.arange(300)), objective(grid), Secants(grid, bent=0.5)
    place, paths = _place(grid, u), torch.full((300, len(grid), 3), torch.nan, dtype=torch.float64)
    start, stop = (Level(grid.alpha[place + k], grid.sigma[place + k]) for k in range(2))
    rows, state = torch.arange(300), start.noised(x, noise)
    paths[rows, place], paths[rows, place + 1] = state, exact_flow(state, start, stop)
    found = PathDistillation(grid, 1.3)(model, paths, draws) / len(grid)  # of one state
    torch.testing.assert_close(found, loss(model, x, draws), rtol=1e-12, atol=0)
    assert torch.equal(loss.levels(u).sigma, start.sigma)


def test_paths_are_as_many_as_the_budget_comes_back_to_and_end_at_draws(model: TrainedModel) -> None:
    settings = replace(DEFAULT, seconds=None, steps=300, batch=128)
    assert paths_for(settings, 2) == 1920 and paths_for(DEFAULT, 2) == MOST
    few = prepare(model, 3, settings=replace(DEFAULT, seconds=1e-3))  # no time: the least
    assert len(few.held) == HELD and LEAST <= len(few.x) < 2 * LEAST and few.seconds > 0
    paths = torch.cat((few.held, few.x))
    assert paths.shape[1:] == (4, 4)
    drawn = replace(model, distilled={}).sample(40, steps=24)
    np.testing.assert_allclose(model.codec.decode(paths[:40, -1]), drawn, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"condition_dropout=0\.1; distil with 0"):
        prepare(model, 3, settings=Settings(steps=5))


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_the_plan_of_exact_secants_ends_where_the_flow_does(grid: Levels) -> None:
    x = normal(50, (3,), 0, "x", dtype=torch.float64)
    found = plans.run(plans.ddim(grid), Secants(grid), x)
    torch.testing.assert_close(found, exact_flow(x, grid[0], grid[len(grid) - 1]), rtol=1e-9, atol=1e-9)


def test_a_secant_over_a_short_step_is_the_tangent() -> None:
    """Its difference from the model's estimate falls with the step's length."""
    x = 2 * normal(50, (3,), 0, "x", dtype=torch.float64)
    start = Level(1.0, 1.0)
    gaps = []
    for length in (1e-3, 1e-4):
        stop = Level(1.0, 1.0 - length)
        gaps.append(float((secant(x, exact_flow(x, start, stop), start, stop).x0 - LAW(x, start).x0).abs().max()))
    assert gaps[1] == pytest.approx(gaps[0] / 10, rel=0.05)


@pytest.mark.parametrize("steps", [1, 2, 4, 5])
def test_few_steps_of_an_exact_model_follow_its_flow(steps: int) -> None:
    """To what is left of `plans.default` with 24 evaluations, order 3, whose levels the steps share."""
    plan, loss, fine = few_steps(LAW, steps, 1.5)
    assert plan.evaluations == steps and fine.evaluations == (25 if steps == 5 else 24)
    for k in range(steps):
        start, stop = plan.levels[k], plan.levels[k + 1]
        x = start.noised(LAW.sample(200, seed=1).double(), normal(200, (3,), 2, "noise", dtype=torch.float64))
        wide = (4 * stop.alpha**2 + stop.sigma**2) ** 0.5
        assert float((loss.flow(x, k, None) - exact_flow(x, start, stop)).abs().max() / wide) < 5e-3
    grid = fine.levels.sigma.tolist()
    assert all(v in grid for v in plan.levels.sigma.tolist())


# ------------------------------------------------------------------------------------------------------- of a run


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    """An untrained network is the model of normal data, whose flow is known; its classes have one law."""
    data = load("iris")
    codec = fit_codec(data)
    network = nets.ResidualMLP(4, width=32, depth=1, classes=3)
    return TrainedModel(Denoiser(network).eval(), codec, frequencies=(0.2, 0.3, 0.5))


@pytest.fixture(scope="module")
def distilled(model: TrainedModel) -> TrainedModel:
    settings = replace(DEFAULT, seconds=None, steps=150, batch=128, learning_rate=3e-3, warmup=20)
    ready = prepare(model, 2, settings=settings)
    last = list(ready.train(settings))[-1]
    return ready.finish({"steps": last.step})  # type: ignore[return-value]


def test_two_evaluations_follow_the_flow(distilled: TrainedModel) -> None:
    found = compared(distilled, 2)
    assert found.distilled < found.plan / 3 and found.distilled < 0.05
    assert "2 evaluation(s) end 0.0" in str(found)
    assert distilled.plan(2).evaluations == 2 and distilled.plan(3).name == "default(3)"
    assert distilled.distilled[2].info == {"teacher": 24, "paths": 960, "steps": 150}


def test_it_is_kept_in_the_run_and_draws_the_same(distilled: TrainedModel, tmp_path: Path) -> None:
    distilled.save(tmp_path)
    again = TrainedModel.load(tmp_path)
    for steps in (2, 5):
        np.testing.assert_array_equal(again.sample(7, steps=steps), distilled.sample(7, steps=steps))
    assert again.distilled[2].info == distilled.distilled[2].info
    other = replace(distilled, distilled={})
    assert np.abs(other.sample(7, steps=2) - distilled.sample(7, steps=2)).max() > 1e-3
    np.testing.assert_array_equal(other.sample(7, steps=5), distilled.sample(7, steps=5))


def test_a_damaged_folder_is_refused(distilled: TrainedModel, tmp_path: Path) -> None:
    distilled.save(tmp_path)
    text = (tmp_path / "model.json").read_text()
    for old, new in (('"distilled": {', '"distilled": 3, "x": {'), ('"distilled": {"2"', '"distilled": {"5"')):
        changed = text.replace(old, new)
        if changed == text:
            changed = text.replace('"distilled": {\n', '"distilled": {\n "9": {},\n')
        (tmp_path / "model.json").write_text(changed)
        with pytest.raises(FileError):
            TrainedModel.load(tmp_path)


def test_what_it_cannot_do_is_said(distilled: TrainedModel) -> None:
    with pytest.raises(ValueError, match=r"distilled without guidance, got 2\.0"):
        distilled.sample(1, steps=2, guidance=2.0)
    for steps in (0, 13, 1.5):
        with pytest.raises(ValueError, match="from 1 to 12"):
            prepare(distilled, steps)  # type: ignore[arg-type]
    energy = replace(distilled, model=Energy(nets.ScalarMLP(4)), distilled={}, frequencies=None)
    with pytest.raises(ValueError, match="an energy cannot take long steps"):
        prepare(energy, 2)


def test_the_command_stores_a_network_and_says_how_close_it_is(scorefield, model: TrainedModel, tmp_path: Path) -> None:
    model.save(tmp_path / "run")
    code, out, err = scorefield("distil", tmp_path / "run", "--steps", 3, "--training-steps", 2, "--quiet")
    assert code == 0, err
    assert "standard deviations from the model's flow" in out and "--steps 3` takes it" in out
    assert sorted(TrainedModel.load(tmp_path / "run").distilled) == [3]
    assert "networks of 3 evaluations" in scorefield("info", tmp_path / "run")[1]
    assert scorefield("sample", tmp_path / "run", "-n", 5, "-o", tmp_path / "n.csv", "--steps", 3, "--quiet")[0] == 0
    shutil.rmtree(tmp_path / "run")
    assert scorefield("distil", tmp_path / "run", "--steps", 3)[0] == 2


def test_a_training_that_goes_on_says_what_it_drops(scorefield, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert scorefield("fit", "ring", "-o", run, "--steps", 2, "--size", "small", "--quiet")[0] == 0
    assert scorefield("distil", run, "--steps", 2, "--training-steps", 1, "--quiet")[0] == 0
    code, _, err = scorefield("fit", "ring", "-o", run, "--steps", 3, "--size", "small", "--resume", "--quiet")
    assert code == 0 and "what `scorefield distil` made for 2 evaluations" in err
    model = TrainedModel.load(run)
    assert not model.distilled and model.drawing(2) == (model.model, model.plan(2))
