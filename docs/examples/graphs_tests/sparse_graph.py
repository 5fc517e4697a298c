"""
A sparse graph of a table's columns
===================================

Of thirteen measurements of 178 wines, a graph shows which are tied to each other directly, given all the others.

An absent edge is conditional independence. The measurements are positive, so the model is a truncated Gaussian,
whose normalising constant nobody can compute in 13 dimensions and score matching does not need.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine

from scorefield import graphs

frame = load_wine(as_frame=True).data.rename(columns={"od280/od315_of_diluted_wines": "od280/od315"})
found = graphs.ScoreGraph(frame, graphs.truncated_gaussian()).fit("tests")
print(found.summary(most=8))

# %%
# The plain correlations beside it: nearly all columns are correlated, few are tied directly.

names = list(frame.columns)
places = np.exp(1j * (np.pi / 2 - 2 * np.pi * np.arange(len(names)) / len(names)))
panels = {
    "correlations beyond 0.3": np.where(np.abs(frame.corr()) > 0.3, frame.corr(), 0.0),
    "direct ties": np.where(found.graph, found.partial, 0.0),
}

figure, axes = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
for axis, (title, strength) in zip(axes, panels.items(), strict=True):
    count = 0
    for j in range(len(names)):
        for k in range(j):
            if strength[j, k]:
                ends = places[[j, k]]
                colour = "#0072b2" if strength[j, k] > 0 else "#e69f00"
                axis.plot(ends.real, ends.imag, color=colour, lw=0.5 + 5 * abs(strength[j, k]), alpha=0.75, zorder=1)
                count += 1
    axis.scatter(places.real, places.imag, s=30, color="#333333", zorder=2)
    for name, place in zip(names, places, strict=True):
        side = "center" if abs(place.real) < 0.2 else "left" if place.real > 0 else "right"
        axis.text(1.1 * place.real, 1.1 * place.imag, name.replace("_", " "), ha=side, va="center", fontsize=8)
    axis.set(
        title=f"{title}: {count} of {len(names) * (len(names) - 1) // 2} pairs", xlim=(-2.2, 2.2), ylim=(-1.25, 1.25)
    )
    axis.axis("off")
figure.suptitle("blue: rise together, orange: one falls as the other rises", fontsize=9)
plt.show()
