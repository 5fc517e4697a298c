"""
A log-density with its error bar
================================

The log-density of a model comes with an interval, and on a law whose density is known the interval holds it.

It is the integral of a divergence along the probability flow. In many dimensions the divergence is estimated
with random probes; how far that can be off is part of the answer, and so is the error of the solver.
"""

import matplotlib.pyplot as plt
import torch

# %%
# Handwritten digits, as a mixture of ten normal laws in 64 dimensions: a model with exact answers.
from sklearn.datasets import load_digits

from scorefield import log_density
from scorefield.analytic import GaussianMixture

images, label = load_digits(return_X_y=True)
x = torch.from_numpy(images).double() / 16
classes = [x[torch.from_numpy(label) == k] for k in range(10)]
law = GaussianMixture(
    torch.tensor([float(len(c)) for c in classes]),
    torch.stack([c.mean(0) for c in classes]),
    torch.stack([c.T.cov() + 0.05**2 * torch.eye(64) for c in classes]),
)
points = law.sample(40, seed=0)
exact = law.log_density(points)

# %%
# Four answers: the exact divergence, and 4, 16 and 64 probes.

answers = {"exact divergence": log_density(law, points)}
for probes in (4, 16, 64):
    answers[f"{probes} probes"] = log_density(
        law, points, divergence="hutchinson", probes=probes, tolerance=1e-3, seed=1
    )
for name, found in answers.items():
    error = (found.value - exact).abs().mean()
    if found.standard_error.any():
        inside = ((found.interval[:, 0] <= exact) & (exact <= found.interval[:, 1])).double().mean()
        said = f"standard error {found.standard_error.mean():.2f}, 95 % intervals hold the truth in {inside:.0%}"
    else:  # nothing is random: what is left is the solver's error
        said = f"solver's error up to {found.solver_error.max():.0e}"
    print(f"{name:17} off by {error:.1e} nats; said: {said}")

# %%
# The difference from the exact log-density, for each of the 40 points.

figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained", sharey=True)
for axis, probes in zip(axes, (4, 16, 64), strict=True):
    found = answers[f"{probes} probes"]
    away, half = found.value - exact, (found.interval[:, 1] - found.interval[:, 0]) / 2
    held = away.abs() <= half
    for hold, colour in ((True, "#0072b2"), (False, "#d55e00")):
        some = held == hold
        axis.errorbar(torch.arange(40)[some], away[some], yerr=half[some], fmt="o", ms=3, lw=1, color=colour,
                      label="interval holds the truth" if hold else "does not")  # fmt: skip
    axis.axhline(0, color="#333333", lw=1)
    axis.set(title=f"{probes} probes: {int(held.sum())} of 40 hold it", xlabel="point")
axes[0].set(ylabel="log-density, minus the exact one (nats)")
axes[2].legend(frameon=False, fontsize=8, loc="upper right")
plt.show()
