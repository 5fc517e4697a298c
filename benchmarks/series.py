"""Series: forecasts and densities beside exact answers on Gaussian processes, and beside seasonal baselines on data.

    pip install statsmodels                                  # for two series that it ships
    python benchmarks/series.py [--seconds 60] [--draws 200]

Gaussian processes have exact conditionals: the CRPS of the exact forecast and the exact log-density stand beside those
of a run trained on 3,000 draws. The real series are the sea surface temperature of the eastern Pacific (El Nino,
monthly, 1950 to 2010) and the carbon dioxide of Mauna Loa (monthly means, 1958 to 2001): a run is trained on all
windows of 36 months before a year, and forecasts 12 months from 24 after it. Written to --out.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from scorefield.analytic import Gaussian
from scorefield.data import Dataset
from scorefield.metrics import crps
from scorefield.records.fit import fit
from scorefield.records.forecast import Forecast, forecast
from scorefield.records.trained import TrainedModel

LENGTH, KNOWN = 36, 24
_DENSITIES = 40  # of the test series
_EVERY = 4  # months between real test windows
Floats = np.ndarray


def trained(windows: Floats, seconds: float) -> TrainedModel:
    with tempfile.TemporaryDirectory() as folder:
        for _ in fit(Dataset(windows, "series", source="series"), folder, settings={"seconds": seconds}):
            pass
        return TrainedModel.load(folder)


def score(draws: Floats, truth: Floats) -> tuple[float, float]:
    """CRPS and coverage of 90 % intervals of draws `(n, m, h)` of a truth `(m, h)`."""
    each = crps(torch.from_numpy(draws), torch.from_numpy(truth))
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return float(each.mean()), float(((low <= truth) & (truth <= high)).mean())


def future(found: Forecast) -> Floats:
    return np.moveaxis(found.draws[:, :, KNOWN:], 1, 0)


# --------------------------------------------------------------------------------------------- Gaussian processes


def kernels() -> dict[str, torch.Tensor]:
    lag = (torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)).abs().double()
    return {
        "AR(1), 0.9": 0.9**lag,
        "Matern 3/2, 6 steps": (1 + math.sqrt(3) * lag / 6) * torch.exp(-math.sqrt(3) * lag / 6) + 1e-4 * (lag == 0),
        "seasonal, 12 steps": 0.97**lag * torch.cos(2 * math.pi * lag / 12) + 1e-2 * (lag == 0),
    }


def processes(seconds: float, draws: int) -> list[str]:
    lines = [
        "| process | CRPS, exact | CRPS, run | coverage | log-density, exact | log-density, run |",
        "|---|---|---|---|---|---|",
    ]
    for name, covariance in kernels().items():
        law = Gaussian(torch.zeros(LENGTH).double(), covariance)
        x = law.sample(3000, seed=1).numpy()
        model = trained(x, seconds)
        test = law.sample(100, seed=2).double()
        past, rest = slice(None, KNOWN), slice(KNOWN, None)
        slope = torch.linalg.solve(covariance[past, past], covariance[past, rest]).T
        left = covariance[rest, rest] - slope @ covariance[past, rest]
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(draws, len(test), LENGTH - KNOWN, dtype=torch.float64, generator=generator)
        exact = test[:, past] @ slope.T + noise @ torch.linalg.cholesky(left).T
        best = score(exact.numpy(), test[:, rest].numpy())[0]
        ours, held = score(future(forecast(model, test[:, past].numpy(), draws)), test[:, rest].numpy())
        some = test[:_DENSITIES]
        true = torch.distributions.MultivariateNormal(torch.zeros(LENGTH).double(), covariance).log_prob(some)
        found = model.log_density(some.numpy(), evaluations=30, divergence="exact").value
        lines.append(
            f"| {name} | {best:.4f} | {ours:.4f} | {held:.1%} | {float(true.mean()):.2f} | {float(found.mean()):.2f} "
            f"± {float((found - true).std() / _DENSITIES**0.5):.2f} |"
        )
        print(lines[-1], flush=True)
    return lines


# ------------------------------------------------------------------------------------------------------ real series


def el_nino() -> tuple[Floats, Floats]:
    """Values by month, and the year of each."""
    import statsmodels.api as sm

    frame = sm.datasets.elnino.load_pandas().data
    return frame.iloc[:, 1:].to_numpy(float).reshape(-1), np.repeat(frame.iloc[:, 0].to_numpy(float), 12)


def carbon_dioxide() -> tuple[Floats, Floats]:
    import statsmodels.api as sm

    monthly = sm.datasets.co2.load_pandas().data["co2"].resample("MS").mean().interpolate()
    return monthly.to_numpy(float), monthly.index.year.to_numpy(float)


def windows(x: Floats) -> Floats:
    return np.lib.stride_tricks.sliding_window_view(x, LENGTH).copy()


def seasonal(past: Floats, training: Floats, draws: int) -> Floats:
    """Last year again, moved by the change over the year, with the errors that this had in training at each month."""
    error = training[:, KNOWN:] - _last_year(training[:, :KNOWN])
    pick = np.random.default_rng(0).integers(0, len(error), size=(draws, len(past)))
    return _last_year(past)[None] + error[pick]


def _last_year(past: Floats) -> Floats:
    rise = past[:, 12:].mean(1) - past[:, :12].mean(1)
    return past[:, 12:] + rise[:, None]


def usual_year(past: Floats, training: Floats, draws: int) -> Floats:
    """The 12 months of training windows whose last known year is nearest in its season: the usual year, drawn."""
    season = lambda w: w[:, 12:KNOWN] - w[:, 12:KNOWN].mean(1, keepdims=True)  # noqa: E731
    near = ((season(past)[:, None] - season(training)[None]) ** 2).sum(2).argsort(1)[:, :40]
    pick = np.random.default_rng(0).integers(0, near.shape[1], size=(draws, len(past)))
    chosen = training[near[np.arange(len(past)), pick]]
    level = past[:, 12:].mean(1)[None, :, None] - chosen[:, :, 12:KNOWN].mean(2, keepdims=True)
    return chosen[:, :, KNOWN:] + level


BASELINES: dict[str, Callable[[Floats, Floats, int], Floats]] = {
    "last year again": seasonal,
    "nearest years": usual_year,
}


def real(seconds: float, draws: int) -> list[str]:
    lines = ["| series | method | CRPS | coverage of 90 % |", "|---|---|---|---|"]
    for name, load, year in (("El Nino", el_nino, 1990), ("carbon dioxide", carbon_dioxide, 1988)):
        x, years = load()
        all_windows, ends = windows(x), years[LENGTH - 1 :]
        centred = all_windows - all_windows[:, :KNOWN].mean(1, keepdims=True)
        before, after = ends < year, years[KNOWN : len(years) - LENGTH + KNOWN + 1] >= year
        training, test = centred[before], centred[after][::_EVERY]
        for method, baseline in BASELINES.items():
            lines.append(_row(name, method, *score(baseline(test[:, :KNOWN], training, draws), test[:, KNOWN:])))
        model = trained(training, seconds)
        lines.append(_row(name, "scorefield", *score(future(forecast(model, test[:, :KNOWN], draws)), test[:, KNOWN:])))
        print("\n".join(lines[-3:]), flush=True)
    return lines


def _row(name: str, method: str, value: float, held: float) -> str:
    return f"| {name} | {method} | {value:.4f} | {held:.1%} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each training")
    parser.add_argument("--draws", type=int, default=200, help="of each forecast")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".md"))
    asked = parser.parse_args()
    parts = [
        "# Series, beside exact and seasonal answers",
        f"Written by `benchmarks/series.py`: windows of {LENGTH} steps of which {KNOWN} are known, {asked.seconds:g} s "
        f"of training each, {asked.draws} draws of 18 evaluations.",
        "## Gaussian processes",
        "\n".join(processes(asked.seconds, asked.draws)),
        "## Real series",
        "\n".join(real(asked.seconds, asked.draws)),
    ]
    asked.out.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
