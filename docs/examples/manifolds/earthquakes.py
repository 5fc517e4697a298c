"""
Earthquakes on the sphere
=========================

A week of earthquakes becomes a density on the globe, by diffusion on the sphere itself, and is tried on others.

Noise is Brownian motion on the sphere, so there is no map whose distortion could matter. The file of 327
earthquakes is :download:`earthquakes.csv <../../data/earthquakes.csv>` (United States Geological Survey); put
it beside the program.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from scorefield import Settings, manifolds

places = ("earthquakes.csv", "../../data/earthquakes.csv", "docs/data/earthquakes.csv")
quakes = pd.read_csv(next(place for place in places if Path(place).exists()))


def on_sphere(latitude, longitude):
    latitude, longitude = torch.deg2rad(latitude), torch.deg2rad(longitude)
    return torch.stack([latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()], -1)


x = on_sphere(*(torch.tensor(quakes[c].to_numpy()) for c in ("latitude", "longitude")))
x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
fitted, held, new = x[:180], x[180:240], x[240:]

sphere = manifolds.Sphere(2)
model = manifolds.fit(sphere, fitted, held=held, sigma_min=0.05, settings=Settings(steps=300, batch=256))
mixture = manifolds.fit_von_mises_fisher(fitted, 16, seed=0)
print(f"mean log-density of {len(new)} earthquakes not fitted, in nats per steradian:")
print(f"  the model {model.log_density(new).mean():.2f}")
print(f"  16 von Mises-Fisher laws {mixture.log_density(new).mean():.2f}")
print(f"  the same everywhere {-np.log(sphere.volume):.2f}")

# %%
# The density over a map of latitude and longitude, and what the model draws.

latitude = torch.linspace(-88, 88, 60).double()
longitude = torch.linspace(-180, 180, 120).double()
grid = on_sphere(*torch.meshgrid(latitude, longitude, indexing="ij")).reshape(-1, 3)
density = model.log_density(grid, tolerance=1e-2).reshape(60, 120)
drawn = model.sample(600, seed=1)


def degrees(points):
    return torch.atan2(points[:, 1], points[:, 0]).rad2deg(), torch.asin(points[:, 2].clamp(-1, 1)).rad2deg()


figure, axes = plt.subplots(1, 2, figsize=(11, 3.3), layout="constrained", sharey=True)
shade = axes[0].contourf(longitude, latitude, density.clamp(-10, 4), levels=14, cmap="viridis")
axes[0].scatter(*degrees(new), s=7, color="white", edgecolors="#d55e00", lw=0.8, label="not fitted")
axes[0].legend(loc="lower left", fontsize=8)
axes[0].set(title="log-density", xlabel="longitude", ylabel="latitude")
figure.colorbar(shade, ax=axes[0], label="nats per steradian")
axes[1].scatter(*degrees(x), s=7, color="#333333", label="earthquakes")
axes[1].scatter(*degrees(drawn), s=4, alpha=0.6, color="#0072b2", label="drawn")
axes[1].legend(loc="lower left", fontsize=8)
axes[1].set(title="new places", xlabel="longitude", xlim=(-180, 180))
plt.show()
