"""
Is this sample from that law?
=============================

A kernel Stein test holds tumour sizes against a normal law and a log-normal one, without a normalising constant.

The test needs the score of the law and nothing else. Each law is fitted to one half of the tumours and tested
with the other half.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_breast_cancer

from scorefield.metrics import stein_test
from scorefield.objectives import families

radius = torch.tensor(load_breast_cancer(as_frame=True).data["worst radius"].to_numpy())
fitted, tested = radius[::2], radius[1::2]

# %%
# The normal law is fitted by score matching, in closed form, to the radius and to its logarithm.

laws, results = {}, {}
for name, change in {"radius": lambda r: r, "log radius": torch.log}.items():
    found = families.fit(change(fitted), families.normal())
    mean, variance = change(fitted).mean(), change(fitted).var()
    results[name] = stein_test(lambda z, m=mean, v=variance: (m - z) / v, change(tested)[:, None])
    laws[name] = (change(tested), mean, variance)
    print(f"{name}: p = {results[name].p_value:.3f}", found, sep="\n")

# %%
# How small a p-value the test gives when the law is right, and when it is not: 60 samples of each kind.

normal = torch.distributions.Normal(0.0, 1.0)
student = torch.distributions.StudentT(5.0)
torch.manual_seed(0)
p_values = {
    "normal samples": [stein_test(lambda z: -z, normal.sample((200, 1)), bootstraps=199).p_value for _ in range(60)],
    "Student t, 5 degrees": [
        stein_test(lambda z: -z, student.sample((200, 1)), bootstraps=199).p_value for _ in range(60)
    ],
}

figure, axes = plt.subplots(1, 3, figsize=(10, 3.3), layout="constrained")
for axis, (name, (x, mean, variance)) in zip(axes, laws.items(), strict=False):
    grid = torch.linspace(float(x.min()), float(x.max()), 200)
    axis.hist(x, bins=30, density=True, color="#56b4e9", label="tumours not fitted")
    axis.plot(
        grid,
        (-((grid - mean) ** 2) / (2 * variance)).exp() / (2 * np.pi * variance).sqrt(),
        color="#d55e00",
        label="normal law",
    )
    axis.set(title=f"{name}: p = {results[name].p_value:.3f}", xlabel=name, ylabel="density")
    axis.legend(frameon=False, fontsize=8)
for (name, values), style in zip(p_values.items(), ("-", "--"), strict=True):
    axes[2].plot(np.sort(values), (np.arange(60) + 1) / 60, style, color="#333333", label=name)
axes[2].plot([0, 1], [0, 1], color="#bbbbbb", lw=1)
axes[2].set(title="200 points against N(0, 1)", xlabel="p-value", ylabel="share of samples below")
axes[2].legend(frameon=False, fontsize=8)
plt.show()
