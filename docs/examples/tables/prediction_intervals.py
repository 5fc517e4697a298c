"""
Quantiles that widen with income
================================

What a household spends on food given its income: a whole law at each income, whose intervals widen as the data do.

These 235 Belgian households (Engel 1857) are the classic example of quantile regression, which is drawn beside
it. Here the quantiles come from one law, so they cannot cross.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import KFold
from statsmodels.datasets import engel
from statsmodels.regression.quantile_regression import QuantReg

from scorefield import ScoreRegressor

frame = engel.load_pandas().data
X, y = frame[["income"]], frame["foodexp"]

# %%
# Do 90 % intervals hold 90 % of households that the model has not seen?

inside = []
for train, test in KFold(3, shuffle=True, random_state=0).split(X):
    part = ScoreRegressor(steps=150, seconds=None, random_state=0).fit(X.iloc[train], y.iloc[train])
    low, high = part.predict_interval(X.iloc[test]).T
    inside += list((low <= y.iloc[test]) & (y.iloc[test] <= high))
error = np.sqrt(0.9 * 0.1 / len(inside))
print(f"90 % intervals hold {np.mean(inside):.0%} of {len(inside)} households not fitted;")
print(f"by chance {0.9 - 2 * error:.0%} to {0.9 + 2 * error:.0%}")

# %%
# Fitted to all of them.

model = ScoreRegressor(steps=350, seconds=None, random_state=0).fit(X, y)
grid = pd.DataFrame({"income": np.linspace(400, 2500, 80)})
levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
quantiles = model.predict_quantiles(grid, levels)

figure, axis = plt.subplots(figsize=(7, 4.2), layout="constrained")
axis.fill_between(grid["income"], quantiles[:, 0], quantiles[:, 4], color="#56b4e9", alpha=0.3, label="90 % interval")
axis.fill_between(grid["income"], quantiles[:, 1], quantiles[:, 3], color="#56b4e9", alpha=0.5, label="50 % interval")
axis.plot(grid["income"], quantiles[:, 2], color="#0072b2", label="median")
design = np.column_stack([np.ones(len(X)), X])
for q in (0.05, 0.95):
    line = QuantReg(y, design).fit(q=q).params
    axis.plot(grid["income"], line.iloc[0] + line.iloc[1] * grid["income"], "--", color="#666666", lw=1,
              label="linear quantile regression, 5 and 95 %" if q == 0.05 else None)  # fmt: skip
axis.scatter(X, y, s=8, color="#333333", zorder=3)
axis.set(xlabel="income (francs a year)", ylabel="spent on food", xlim=(400, 2500), ylim=(200, 2000))
axis.legend(frameon=False)
plt.show()
