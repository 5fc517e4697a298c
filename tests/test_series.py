"""Series and volumes: fitted, drawn, reported; forecasts beside the exact conditionals of Gaussian processes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from scorefield import data
from scorefield.analytic import Gaussian
from scorefield.denoiser import EDM_F, Denoiser
from scorefield.metrics import crps
from scorefield.records import GridCodec, TrainedModel
from scorefield.records.forecast import forecast
from tables import ExactNetwork

LENGTH = 24
LAG = (torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)).abs().double()
KERNELS = {
    "AR(1)": 0.9**LAG,
    "Matern 3/2": (1 + math.sqrt(3) * LAG / 6) * torch.exp(-math.sqrt(3) * LAG / 6),
    "seasonal": 0.95**LAG * torch.cos(2 * math.pi * LAG / 12),
}
PARTS = {
    "the future": slice(LENGTH // 2, None),
    "a gap": slice(8, 14),
    "every third": slice(1, None, 3),
}


class Flat(nn.Module):
    """A network for points `(n, d)` as one for `(n, 1, d)`."""

    def __init__(self, of: nn.Module) -> None:
        super().__init__()
        self.of = of
        self.dummy = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x: Tensor, level_feature: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.of(x.flatten(1), level_feature).reshape(x.shape)


def exact_run(covariance: Tensor) -> TrainedModel:
    """The run that a perfect training on a Gaussian process would leave, at 10 + 3 z."""
    law = Gaussian(torch.zeros(len(covariance)), covariance.float())
    model = Denoiser(Flat(ExactNetwork(law, EDM_F, 1.0)), EDM_F, sigma_min=0.002, sigma_max=80.0).eval()
    codec = GridCodec((LENGTH,), mean=(10.0,), std=(3.0,), channel_axis=False)
    return TrainedModel(model, codec, mean=torch.zeros(1, LENGTH).double(), covariance=covariance)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("part", PARTS)
def test_forecasts_of_gaussian_processes_are_exact(kernel: str, part: str) -> None:
    """Mean and covariance of the draws are those of the conditional law, to their standard errors."""
    covariance, n = KERNELS[kernel] + 1e-6 * torch.eye(LENGTH), 1500
    truth = Gaussian(torch.zeros(LENGTH).double(), covariance).sample(2, seed=3).double()
    known = 10 + 3 * truth.numpy()
    known[:, PARTS[part]] = np.nan
    found = forecast(exact_run(covariance), known, n, seed=1)
    assert np.array_equal(found.draws[:, 0][~np.isnan(known)], known[~np.isnan(known)])
    asked = torch.isnan(torch.from_numpy(known[0]))
    a, b, c = covariance[asked][:, asked], covariance[asked][:, ~asked], covariance[~asked][:, ~asked]
    slope = torch.linalg.solve(c, b.T).T
    left = a - slope @ b.T
    deviation = left.diagonal().clamp(min=0).sqrt()
    for i in range(2):
        z = torch.from_numpy((found.draws[i] - 10) / 3)[:, asked]
        away = (z.mean(0) - slope @ truth[i, ~asked]) / (deviation / math.sqrt(n))
        assert float(away.abs().max()) < 4.5
        spread = z.std(0) / deviation
        assert float((spread - 1).abs().max()) < 4.5 / math.sqrt(2 * n)
        correlated = torch.corrcoef(z.T) - left / deviation[:, None] / deviation
        assert float(correlated.abs().max()) < 4.5 / math.sqrt(n)


def test_series_that_are_centred_by_what_is_known_are_forecast() -> None:
    """Their covariance is singular: rounding is not taken for an observation of what cannot vary."""
    centre = torch.eye(LENGTH).double()
    centre[:, :12] -= 1 / 12
    windows = (Gaussian(torch.zeros(LENGTH).double(), KERNELS["AR(1)"]).sample(500, seed=2) @ centre.T).float()
    measured = torch.cov(windows.double().T)  # as a fit measures it, rounding included
    inexact = exact_run(centre @ KERNELS["AR(1)"] @ centre.T + 1e-2 * torch.eye(LENGTH))  # as networks are
    found = forecast(replace(inexact, covariance=measured), 10 + 3 * windows[:3, :12].numpy(), 50)
    assert np.abs(found.draws - 10).max() < 3 * 8


def test_scores_of_exact_forecasts_are_those_of_the_normal_law() -> None:
    """The CRPS of N(m, s^2) against its own draws is s / sqrt(pi) in the mean; 90 % intervals hold 90 %."""
    covariance = KERNELS["AR(1)"]
    truth = 10 + 3 * Gaussian(torch.zeros(LENGTH).double(), covariance).sample(150, seed=5).numpy()
    found = forecast(exact_run(covariance), truth[:, :12], 60)
    score, held = found.scores(truth)
    deviation = 3 * np.sqrt(1 - 0.81 ** np.arange(1, 13))
    assert score == pytest.approx(float(deviation.mean()) / math.sqrt(math.pi), rel=0.08)
    assert held == pytest.approx(0.9, abs=0.04)


def test_the_score_of_draws_is_fair() -> None:
    """Its mean over draws of a normal law is that of the law, however few they are."""
    draw = torch.Generator().manual_seed(0)
    few = crps(torch.randn(3, 20_000, generator=draw).double(), torch.zeros(20_000))
    exact = 2 / math.sqrt(2 * math.pi) - 1 / math.sqrt(math.pi)  # E|X| - E|X - X'| / 2
    assert float(few.mean()) == pytest.approx(exact, abs=4 * float(few.std()) / math.sqrt(20_000))
    with pytest.raises(ValueError, match="n >= 2"):
        crps(torch.zeros(1, 2), torch.zeros(2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seasonal series of two channels in a .npy file and of one in a table; volumes."""
    folder, draw = tmp_path_factory.mktemp("series"), np.random.default_rng(0)
    phase = draw.uniform(0, 2 * np.pi, (150, 1))
    waves = 5 + 2 * np.sin(phase + np.arange(12) * np.pi / 6) + 0.3 * draw.normal(size=(150, 12))
    np.save(folder / "both.npy", np.stack([waves, -100 * waves], 2))
    pd.DataFrame(waves).add_prefix("t").to_csv(folder / "waves.csv", index=False)
    np.save(folder / "volumes.npy", draw.normal(size=(120, 4, 3, 5)).astype(np.float32))
    return folder


def test_series_from_fit_to_forecast(scorefield, folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ("--records", "series", "--steps", 4, "--size", "small", "--seed", 1)
    assert scorefield("fit", folder / "both.npy", "-o", run, *words)[0] == 0
    # what the records are, a run knows itself
    assert scorefield("fit", folder / "both.npy", "-o", run, "--resume", "--steps", 6, "--size", "small")[0] == 0
    model = TrainedModel.load(run)
    assert model.codec.shape == (2, 12) and model.info["data"]["kind"] == "series"
    np.testing.assert_allclose(model.codec.std, np.load(folder / "both.npy").std((0, 1)), rtol=0.1)
    assert scorefield("sample", run, "-n", 3, "-o", tmp_path / "new.npy", "--steps", 4)[0] == 0
    assert np.load(tmp_path / "new.npy").shape == (3, 12, 2)
    code, _, err = scorefield("sample", run, "-n", 3, "-o", tmp_path / "new.png")
    assert code == 2 and "are written as .npy or .npz" in err
    code, out, _ = scorefield("evaluate", run, folder / "both.npy", "-n", 40, "--report", tmp_path / "r.html")
    assert code == 0 and "C2ST" in out
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "How good are the new series?" in page and "How series remember" in page
    out = tmp_path / "f.csv"
    words = ("--known", 10, "-n", 4, "-o", out, "--steps", 3, "--picture", tmp_path / "f.png")
    code, said, _ = scorefield("forecast", run, folder / "both.npy", *words)
    assert (tmp_path / "f.png").read_bytes()[:4] == b"\x89PNG"
    assert code == 0 and "CRPS" in said and "90% intervals hold" in said
    table = pd.read_csv(out)
    assert list(table) == ["series", "step", "channel", "mean", "median", "low", "high", "actual"]
    assert len(table) == 150 * 2 * 2 and set(table["step"]) == {11, 12}
    assert (table["low"] <= table["median"]).all() and (table["median"] <= table["high"]).all()


def test_rows_of_a_table_may_be_series(scorefield, folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ("--records", "series", "--steps", 3, "--size", "small")
    assert scorefield("fit", folder / "waves.csv", "-o", run, *words)[0] == 0
    assert scorefield("sample", run, "-n", 2, "-o", tmp_path / "new.csv", "--steps", 3)[0] == 0
    assert pd.read_csv(tmp_path / "new.csv").shape == (2, 12)
    holes = pd.read_csv(folder / "waves.csv").head(2)
    holes.iloc[0, 3] = np.nan
    holes.to_csv(tmp_path / "holes.csv", index=False)
    out = tmp_path / "f.npz"
    assert scorefield("forecast", run, tmp_path / "holes.csv", "-n", 5, "-o", out, "--steps", 3)[0] == 0
    found = np.load(out)
    assert found["draws"].shape == (2, 5, 12) and np.isnan(found["known"]).sum() == 1
    assert len(np.unique(found["draws"][0, :, 3])) == 5 and (found["draws"][1] == holes.to_numpy()[1]).all()
    for source, message in (
        (folder / "waves.csv", "every value of every series is known"),
        (folder / "both.npy", "give an array (m, 1 to 12), got (150, 12, 2)"),
    ):
        code, _, err = scorefield("forecast", run, source, "-o", out)
        assert code == 2 and message in err and err.count("\n") == 1
    code, _, err = scorefield("restore", run, "x.png", "--operator", "crop", "--noise", 0, "-o", tmp_path / "y")
    assert code == 2 and "restore answers for runs of images" in err


def test_volumes_from_fit_to_report(scorefield, folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ("--records", "volumes", "--steps", 2, "--size", "small")
    assert scorefield("fit", folder / "volumes.npy", "-o", run, *words)[0] == 0
    assert scorefield("sample", run, "-n", 2, "-o", tmp_path / "new.npz", "--steps", 2)[0] == 0
    new = np.load(tmp_path / "new.npz")["x"]
    assert new.shape == (2, 4, 3, 5) and new.dtype == np.float32
    words = ("-n", 10, "--steps", 2, "--report", tmp_path / "r.html")
    assert scorefield("evaluate", run, folder / "volumes.npy", *words)[0] == 0
    assert "slice 3" in (tmp_path / "r.html").read_text(encoding="utf-8")
    code, _, err = scorefield("forecast", run, folder / "volumes.npy", "-o", tmp_path / "f.csv")
    assert code == 2 and "forecast answers for runs of series" in err


def test_what_are_no_series(folder: Path, tmp_path: Path) -> None:
    for source, kind, message in (
        (np.zeros((30, 4, 4, 4)), "series", "series come as"),
        (np.zeros((30, 4)), "volume", "volumes come as"),
        (np.zeros((30, 0)), "series", "series come as"),
        (folder / "waves.csv", "volume", "holds no volumes"),
        ("digits", "series", "holds no series"),
        (np.zeros((3, 4)), "series", "has 3 series; at least 20"),
    ):
        with pytest.raises(data.DataError, match=message):
            data.load(source, grid=kind)
    bad = np.random.default_rng(0).normal(size=(30, 4, 2))
    bad[2, 1, 0] = np.inf
    with pytest.raises(data.DataError, match="record 3 holds an infinite value at place 2, 1"):
        data.load(bad, grid="series")
