"""Checks pass what is right and catch what is wrong: exact models, models spoilt on purpose, small trained ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from scorefield import check, objectives, plans
from scorefield.analytic import Empirical, Gaussian, GaussianMixture
from scorefield.check import CheckReport, Row, exact
from scorefield.core import Estimate, Level, Levels, Model
from scorefield.data import DataError, Dataset, load
from scorefield.denoiser import Denoiser, Energy
from scorefield.nets import ResidualMLP, ScalarMLP
from scorefield.records.codec import fit_codec
from scorefield.records.fit import fit
from scorefield.records.trained import TrainedModel
from scorefield.training.checkpoint import Settings
from tables import doubles, mixture_2d


def names(rows: tuple[Row, ...]) -> set[str]:
    return {row.name.removeprefix("model: ").split(" at ")[0] for row in rows}


def failures(rows: tuple[Row, ...]) -> set[str]:
    return names(tuple(row for row in rows if not row.passed))


# ---------------------------------------------------------------------------------------------------------- library


@pytest.mark.parametrize("seed", range(6))
def test_the_laws_that_draw_hold_for_any_seed(seed: int) -> None:
    law = exact.mixture()
    report = CheckReport((*exact._exactness(law, seed), *exact._scales(law, seed), exact._streams(seed)))
    assert report.passed, str(report)


def test_the_library_passes() -> None:
    report = check.laws(seed=1)
    assert report.passed and {"order", "point mass", "end points"} <= names(report.rows), str(report)


def test_the_library_check_catches_a_wrong_sampler_and_a_wrong_objective(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong_letter(lv: Levels) -> plans.Plan:  # an order that it has not
        return replace(plans.ddim(lv), order=3)

    def leaks(lv: Levels) -> plans.Plan:
        plan = plans.ancestral(lv)
        return replace(plan, c=1.1 * plan.c)

    with monkeypatch.context() as patch:
        patch.setattr(exact, "_BUILDERS", {"heun": plans.heun, "ddim": wrong_letter, "ancestral": leaks})
        rows = exact._sampling(exact.mixture(), 0)
        assert {row.name: row.meaning.split()[-1] for row in rows if not row.passed} == {
            "point mass": "ancestral",
            "order": "ddim",
        }
    denoising = objectives.denoising
    monkeypatch.setattr(
        exact.objectives, "denoising", lambda score, x, sigma, **o: denoising(lambda y: -score(y), x, sigma, **o)
    )
    assert failures(exact._scales(exact.mixture(), 0)) == {"scale, denoising"}


def test_a_report_is_a_table_and_json() -> None:
    rows = (
        Row("one", 1e-3, 1e-2, "small"),
        Row("two", 0.5, 0.8, "large", at_least=True),
        Row("n", float("nan"), 1, ""),
    )
    report = CheckReport(rows, "A note.")
    assert not report.passed and [row.name for row in report.failed] == ["two", "n"]
    text = str(report)
    assert text.count("FAIL") == 2 and text.count("pass") == 1
    assert "2 of 3 laws fail." in text and text.endswith("A note.")
    assert str(CheckReport(rows[:1])).endswith("1 laws hold.")
    assert [row["passed"] for row in json.loads(json.dumps(report.to_json()))["laws"]] == [True, False, False]


# ------------------------------------------------------------------------------------------------------------ models

WIDE = Gaussian(torch.zeros(4, dtype=torch.float64), torch.eye(4))


def spoilt(change: Callable[[Estimate, Tensor, Level], Estimate]) -> Model:
    """The exact model of a mixture, changed."""

    def model(x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        return change(mixture_2d()(x, level), x, level)

    return model


def _eps_scaled(factor: float) -> Callable[[Estimate, Tensor, Level], Estimate]:
    def change(estimate: Estimate, x: Tensor, level: Level) -> Estimate:
        eps = factor * estimate.eps
        return Estimate((x - float(level.sigma) * eps) / float(level.alpha), eps)

    return change


def _not_a_pair(estimate: Estimate, x: Tensor, level: Level) -> Estimate:
    return Estimate(1.02 * estimate.x0, estimate.eps)


def _over_confident(estimate: Estimate, x: Tensor, level: Level) -> Estimate:
    x0 = 1.3 * estimate.x0
    return Estimate(x0, (x - float(level.alpha) * x0) / float(level.sigma))


SPOILT = {
    "pair": (_not_a_pair, "estimate identity"),
    "over-confident": (_over_confident, "calibration"),
    "eps too small": (_eps_scaled(0.7), "residual"),
    "eps of the wrong sign": (_eps_scaled(-1.0), "calibration"),
}


@pytest.mark.parametrize("law", [mixture_2d(), WIDE], ids=["mixture", "gaussian"])
@pytest.mark.parametrize("seed", [0, 1])
def test_exact_models_pass(law: Gaussian | GaussianMixture, seed: int) -> None:
    report = CheckReport(check.of_model(law, law.sample(800, seed=1), seed=seed))
    assert report.passed, str(report)


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_models_are_caught(name: str) -> None:
    change, law = SPOILT[name]
    rows = check.of_model(spoilt(change), mixture_2d().sample(800, seed=1))
    assert law in failures(rows), str(CheckReport(rows))


def test_a_model_that_only_knows_its_training_data_is_caught() -> None:
    """Exact for its 30 points, it takes new points for one of these."""
    law = GaussianMixture(torch.ones(1), torch.zeros(1, 8), torch.eye(8)[None])
    memory = Empirical(law.sample(30, seed=1).double())
    rows = check.of_model(memory, law.sample(500, seed=2).double())
    assert {"calibration", "residual"} <= failures(rows)


def test_too_few_steps_are_caught() -> None:
    law = mixture_2d()
    rows = check.of_model(law, law.sample(100, seed=1), plan=plans.default(2))
    assert failures(rows) == {"step error"}


def test_an_energy_is_held_to_its_own_differences() -> None:
    class Wrong(Energy):
        """Its energy is not the one that its score belongs to."""

        def energy(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Tensor:
            return 1.001 * super().energy(x, level, condition)

    x = WIDE.sample(64, seed=1).float()
    potential = ScalarMLP(4, width=16, depth=1)
    with torch.no_grad():
        for p in potential.parameters():
            p.add_(0.05)
    right, wrong = (kind(potential).eval() for kind in (Energy, Wrong))
    verdicts = [
        {row.name: row.passed for row in check.of_model(model, x)}["model: score and density"]
        for model in (right, wrong)
    ]
    assert verdicts == [True, False]


def test_without_data_what_needs_none_is_checked() -> None:
    model = Denoiser(ResidualMLP(3, width=16, depth=1)).eval()
    rows = check.of_model(model, None, shape=(3,))
    assert names(rows) == {"estimate identity", "step error"} and not failures(rows)
    with pytest.raises(ValueError, match="shape of one record"):
        check.of_model(model, None)


# ---------------------------------------------------------------------------------------------------- trained models


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the ring, a few seconds long."""
    folder = tmp_path_factory.mktemp("check") / "run"
    for _ in fit("ring", folder, settings=Settings(steps=400), size="small", held_share=0.3):
        pass
    return folder


ALL = {"estimate identity", "calibration", "residual", "step error", "memorisation"}


def test_a_run_is_checked_on_the_rows_that_it_held_out(run: Path) -> None:
    report = check.of_trained(TrainedModel.load(run))
    assert ALL <= names(report.rows) and not report.note
    assert names(report.failed) <= {"calibration"}, str(report)  # briefly trained, all else holds


def test_a_sample_is_held_against_a_run(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the command: draws of the run are its law, records of twice the size are not."""
    from scorefield.cli.app import app
    from scorefield.cli.models import check as _  # noqa: F401

    drawn = TrainedModel.load(run).sample(300, seed=5)
    for name, records in (("own", drawn), ("other", 1.3 * drawn)):
        np.save(tmp_path / f"{name}.npy", records)
    app(["check", str(run), "--sample", str(tmp_path / "own.npy")], result_action="return_value")
    assert "Nothing speaks against this sample being from the run's law" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        app(["check", str(run), "--sample", str(tmp_path / "other.npy")], result_action="return_value")
    assert end.value.code == 1 and "This sample is not from the run's law" in capsys.readouterr().out


def test_a_run_is_checked_on_other_records_and_without_any(run: Path) -> None:
    model = TrainedModel.load(run)
    other = load("ring")
    other = Dataset(other.records[:200] * 1.001, "table", other.columns, source="other")
    report = check.of_trained(model, other)
    assert "memorisation" not in names(report.rows) and "calibration" in names(report.rows)
    assert "not what the model was fitted to" in report.note
    lost = TrainedModel(model.model, model.codec, info={"data": {"source": "gone.csv", "records": "x"}})
    report = check.of_trained(lost)
    assert "calibration" not in names(report.rows) and "not at hand" in report.note
    with pytest.raises(DataError):
        check.of_trained(model, load("iris"))


def test_classes_reach_the_model() -> None:
    """A conditional model: its class moves the data, so that a wrong class would be wrong by far."""

    class Shift(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.config = {"classes": 2}
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x: Tensor, feature: Tensor, condition: Tensor | None = None) -> Tensor:
            ratio = feature.exp()
            r = (1 + ratio**2) ** 0.5
            means = torch.tensor([-1.0, 1.0, 0.0])[2 if condition is None else condition]
            law = Gaussian(doubles([0.0]), doubles([[0.01]]))
            mean = means[..., None].expand_as(x).double()
            x0 = mean + law(x * r - mean, Level(1.0, float(ratio))).x0
            eps = (x * r - x0) / ratio
            return (ratio * x0 - eps) / r

    labels = np.arange(400) % 2
    records = (2.0 * labels - 1 + 0.1 * np.random.default_rng(0).normal(size=400))[:, None]
    data = Dataset(records, "table", ("a",), labels, source="two")
    model = TrainedModel(Denoiser(Shift()).eval(), fit_codec(data), frequencies=(0.5, 0.5))
    rows = check.of_trained(model, data).rows
    assert "calibration" not in failures(rows), str(CheckReport(rows))
    assert "calibration" in failures(check.of_trained(model, replace(data, labels=1 - labels)).rows)
