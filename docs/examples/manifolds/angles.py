"""
A law of two angles
===================

Scores on a torus know that 359 degrees are next to 1: a mixture with exact heat kernels is drawn from and measured.

A ``HeatMixture`` is to a torus what a Gaussian mixture is to the plane. It answers in the place of a trained
score, so the sampler and the density are seen at work without any error of training.
"""

import math

import matplotlib.pyplot as plt
import torch

from scorefield import manifolds

torus = manifolds.Torus(2)
law = manifolds.HeatMixture(
    torus,
    torch.tensor([1.0, 2.0, 1.5]),
    torch.tensor([[0.0, 3.0], [2.0, -1.0], [3.1, 3.1]]).double(),
    torch.tensor([0.3, 0.5, 0.4]),
)
low, high = 0.02, manifolds.largest(torus)
x = manifolds.sample(torus, law, 3000, sigma_min=low, sigma_max=high, seed=0, dtype=torch.float64)
found = manifolds.log_density(torus, law, x[:50], sigma_min=low, sigma_max=high)
print(f"log-density by the probability flow, largest error of 50 points: "
      f"{(found.value - law.log_density(x[:50], low)).abs().max():.1e} nats")  # fmt: skip

# %%
# The same law through three times of noise, and draws of it. What leaves at the right comes in at the left.

side = torch.linspace(-math.pi, math.pi, 90).double()
grid = torch.stack(torch.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
figure, axes = plt.subplots(1, 4, figsize=(11, 3.1), layout="constrained", sharex=True, sharey=True)
for axis, sigma in zip(axes, (1.5, 0.6, low), strict=False):
    density = law.log_density(grid, sigma).exp().reshape(90, 90).T
    axis.pcolormesh(side, side, density, cmap="Blues", shading="auto")
    coarse = grid.reshape(90, 90, 2)[4::9, 4::9].reshape(-1, 2)
    arrows = law(coarse, sigma) if sigma != low else None
    if arrows is not None:
        axis.quiver(*coarse.T, *arrows.T, angles="xy", color="#333333", width=0.005)
    axis.set(title=f"noise {sigma:g}")
axes[3].scatter(*((x + math.pi) % (2 * math.pi) - math.pi).T, s=1.5, color="#0072b2")
axes[3].set(title="3,000 draws")
ticks = [-math.pi, 0, math.pi]
for axis in axes:
    axis.set(
        xticks=ticks,
        xticklabels=["-180°", "0", "180°"],
        yticks=ticks,
        yticklabels=["-180°", "0", "180°"],
        aspect="equal",
    )
plt.show()
