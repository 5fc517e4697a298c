"""
Data that end at an edge
========================

Where a density does not vanish at the end of its support, score matching is biased; told the support it is right.

Integration by parts leaves a term at the edge. A weight that is zero there removes it, and what is linear in
its parameters is solved in closed form, with standard errors, without any normalising constant.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import stats
from sklearn.datasets import load_breast_cancer

from scorefield.objectives import families

# %%
# A normal law of which only the positive part is seen. Its parameters, from more and more points, in both ways.

mean, sd = 0.5, 1.0
whole = torch.from_numpy(stats.truncnorm.rvs((0 - mean) / sd, np.inf, mean, sd, size=20_000, random_state=0))
counts = (200, 600, 2000, 6000, 20_000)
ways = {"edge told": families.truncated_normal(low=0.0), "edge ignored": families.normal()}
found = {name: [families.fit(whole[:n], family) for n in counts] for name, family in ways.items()}
for name, fits in found.items():
    print(f"{name:12}", fits[-1])

# %%
# A gamma law of tumour areas: three lines, with errors that hold even where the family is only roughly right.

area = load_breast_cancer(as_frame=True).data["mean area"] / 100
gamma = families.fit(area, families.gamma())
print(gamma.summary())
shape, rate = (float(v) for v in gamma.parameters)
by_likelihood = stats.gamma.fit(area, floc=0)
print(f"by maximum likelihood: shape {by_likelihood[0]:.2f}, rate {1 / by_likelihood[2]:.3f}")

# %%
# Left: the density that was truncated, and what 20,000 points say of it in both ways. Middle: the mean as
# points grow in number, with 95 % intervals. Right: the tumours.

figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.4), layout="constrained")
grid = np.linspace(-2.5, 4, 300)
axes[0].hist(whole, bins=60, density=True, color="#dddddd")
axes[0].plot(grid, stats.norm.pdf(grid, mean, sd) / stats.norm.sf(0, mean, sd), color="#333333", label="truth")
for (name, fits), style in zip(found.items(), ("-", "--"), strict=True):
    m, v = (float(p) for p in fits[-1].parameters)
    mass = stats.norm.sf(0, m, v**0.5) if name == "edge told" else 1.0
    axes[0].plot(grid, stats.norm.pdf(grid, m, v**0.5) / mass, style, label=name)
    values = torch.stack([fit.parameters[0] for fit in fits])
    errors = 1.96 * torch.stack([fit.standard_error[0] for fit in fits])
    axes[1].errorbar(counts, values, yerr=errors, fmt="o" + style, capsize=3, label=name)
axes[0].set(xlabel="x", ylabel="density")
axes[0].legend(frameon=False, fontsize=8)
axes[1].axhline(mean, color="#333333", lw=1)
axes[1].set(xscale="log", xlabel="points", ylabel="mean before truncation")
axes[1].legend(frameon=False, fontsize=8)
grid = np.linspace(0.1, 25, 300)
axes[2].hist(area, bins=50, density=True, color="#dddddd")
axes[2].plot(grid, stats.gamma.pdf(grid, shape, scale=1 / rate), label="score matching")
axes[2].plot(grid, stats.gamma.pdf(grid, *by_likelihood), "--", label="maximum likelihood")
axes[2].set(xlabel="area of a tumour / 100", ylabel="density")
axes[2].legend(frameon=False, fontsize=8)
plt.show()
