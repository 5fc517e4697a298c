"""
How a series goes on
====================

The temperature of the eastern Pacific: a model of the years before 1990 forecasts later ones, as bands and paths.

What is learned is the law of windows of 36 months, without saying which months will be known. A forecast is a
draw of the last twelve given the first 24.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from statsmodels.datasets import elnino

from scorefield import TrainedModel, fit, forecast

table = elnino.load_pandas().data
temperature = table.iloc[:, 1:].to_numpy(float).reshape(-1)
year = np.repeat(table.iloc[:, 0].to_numpy(float), 12)
windows = np.lib.stride_tricks.sliding_window_view(temperature, 36)
before = windows[year[35:] < 1990]
later = windows[year[:-35] >= 1990][::12]

folder = Path(tempfile.mkdtemp())
np.save(folder / "windows.npy", before)
for progress in fit(folder / "windows.npy", folder / "run", grid="series", size="small", settings={"steps": 100}):
    pass
model = TrainedModel.load(folder / "run")
print(f"{len(before)} windows, {progress.step} steps")

# %%
# A hundred draws for each window after 1990. Beside them: the same month of the year before, and the mean of
# that month.

found = forecast(model, later[:, :24], n=100)
crps, coverage = found.scores(later)
truth = later[:, 24:]
naive = np.abs(later[:, 12:24] - truth).mean()
print(f"90 % intervals hold {coverage:.0%} of {truth.size} months; CRPS {crps:.2f} degrees")
print(f"error of the mean {np.abs(found.mean[:, 24:] - truth).mean():.2f} degrees, of the year before {naive:.2f}")

# %%
# Three windows: ten single paths, the band that holds 90 % of all, and what came.

figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained", sharey=True)
month = np.arange(36)
for axis, k in zip(axes, np.linspace(0, len(later) - 1, 3).astype(int), strict=True):
    low, high = found.quantile(0.05)[k], found.quantile(0.95)[k]
    axis.plot(month[:24], later[k, :24], color="#333333", label="known")
    axis.fill_between(month[24:], low[24:], high[24:], color="#56b4e9", alpha=0.35, label="90 % of draws")
    axis.plot(month[24:], found.draws[k, :10, 24:].T, color="#0072b2", lw=0.6, alpha=0.7)
    axis.plot(month[24:], truth[k], "o", ms=3, color="#d55e00", label="came")
    axis.set(xlabel="month", title=f"from {year[:-35][year[:-35] >= 1990][::12][k]:.0f}")
axes[0].set(ylabel="degrees Celsius")
axes[0].legend(frameon=False, fontsize=8)
plt.show()
