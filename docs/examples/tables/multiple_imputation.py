"""
Holes filled twenty times, results pooled
=========================================

A quarter of a blood value is missing, mostly of the gravely ill; a regression is pooled over twenty completed tables.

One completed table would pretend that its holes are known. Twenty differ by what is not known, and Rubin's
rules (1987) put that into the standard errors; statsmodels pools its models so.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from statsmodels.imputation.bayes_mi import MI
from statsmodels.regression.linear_model import OLS

from scorefield import ScoreImputer

# %%
# The holes are made here, so that the answer without them is known. A value is missing more often where the
# disease went on faster: at random *given what is there*, which is what imputation needs.

whole = load_diabetes(as_frame=True, scaled=False).frame[["bmi", "bp", "s5", "target"]]
rank = whole["target"].rank(pct=True)
frame = whole.copy()
frame.loc[np.random.default_rng(0).random(len(whole)) < 0.1 + 0.6 * rank**2, "s5"] = np.nan
print(
    f"{frame['s5'].isna().mean():.0%} of s5 are missing; mean of what is left {frame['s5'].mean():.2f}, "
    f"of all {whole['s5'].mean():.2f}"
)

tables = ScoreImputer(draws=20, steps=300, seconds=None, random_state=0).fit(frame).sample(frame)

# %%
# statsmodels' ``MI`` asks its imputer for one completed table after another.


class Completed:
    def __init__(self, tables):
        self.tables = iter(tables)

    def update(self):
        self.data = next(self.tables)


FORMULA = "target ~ bmi + bp + s5"
pooled = MI(
    Completed(tables), OLS, formula=FORMULA, model_args_fn=lambda table: [table], burn=0, skip=0, nrep=len(tables)
).fit()
print(pooled.summary())

# %%
# Beside it the table without holes, the complete rows alone, and holes filled by the mean of the column.

fits = {
    "no holes (the truth)": OLS.from_formula(FORMULA, whole).fit(),
    "20 tables, pooled": pooled,
    "complete rows alone": OLS.from_formula(FORMULA, frame.dropna()).fit(),
    "filled by the mean": OLS.from_formula(FORMULA, frame.fillna({"s5": frame["s5"].mean()})).fit(),
}
names = list(fits["no holes (the truth)"].params.index)
figure, axes = plt.subplots(1, 3, figsize=(10, 2.9), layout="constrained", sharey=True)
for axis, name in zip(axes, names[1:], strict=True):
    for k, (label, fit) in enumerate(fits.items()):
        value, error = (np.asarray(v)[names.index(name)] for v in (fit.params, fit.bse))
        axis.errorbar(value, -k, xerr=1.96 * error, fmt="o", color="#0072b2" if k == 1 else "#666666", capsize=3)
    axis.axvline(fits["no holes (the truth)"].params[name], color="#bbbbbb", lw=1, zorder=0)
    axis.set(title=f"coefficient of {name}", yticks=[-k for k in range(len(fits))], yticklabels=list(fits))
plt.show()
