"""
Outliers that no single column shows
====================================

Twenty tumours get the area of another one: every value is ordinary, what goes with what is wrong, and they are found.

The law of whole rows is learned from the table itself, mistakes included. A row is strange where its density is
low, and for each such row the most surprising column is named.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score, roc_curve

from scorefield import ScoreDensity
from scorefield.tables.outliers import outliers

columns = ["mean radius", "mean texture", "mean area", "mean smoothness", "mean concavity"]
frame = load_breast_cancer(as_frame=True).data[columns]
rng = np.random.default_rng(0)
wrong = rng.choice(len(frame), 20, replace=False)
frame.loc[wrong, "mean area"] = np.roll(frame.loc[wrong, "mean area"], 7)

density = ScoreDensity(steps=350, seconds=None, random_state=0).fit(frame)
found = outliers(density.table_, frame, share=0.05)
print(found[["row", "log_density", "column", "surprise"]].head(8).round(1).to_string(index=False))
right = found["row"].sub(1).isin(wrong)
print(
    f"of the {len(found)} least likely rows {right.sum()} are among the 20; column named: "
    f"{(found['column'][right] == 'mean area').sum()} times the area"
)

# %%
# Two simpler ways beside it: the farthest value of a row in any column, and the distance under one normal law.

strange = np.isin(np.arange(len(frame)), wrong)
z = (frame - frame.mean()) / frame.std()
scores = {
    "row's density": -density.score_samples(frame),
    "normal law": np.einsum("ij,jk,ik->i", z, np.linalg.inv(z.cov()), z),
    "any column": z.abs().max(axis=1),
}
figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
axes[0].scatter(frame["mean radius"], frame["mean area"], s=6, color="#bbbbbb", label="tumours")
listed = found["row"].to_numpy() - 1
axes[0].scatter(
    *frame.loc[wrong, ["mean radius", "mean area"]].T.to_numpy(), s=22, color="#d55e00", label="exchanged area"
)
axes[0].scatter(
    *frame.iloc[listed][["mean radius", "mean area"]].T.to_numpy(),
    s=90, facecolors="none", edgecolors="#0072b2", label="5 % least likely",
)  # fmt: skip
axes[0].set(xlabel="mean radius", ylabel="mean area")
axes[0].legend(frameon=False)
for name, score in scores.items():
    false, true, _ = roc_curve(strange, score)
    axes[1].plot(false, true, label=f"{name}: area {roc_auc_score(strange, score):.2f}")
axes[1].set(xlabel="share of good rows listed", ylabel="share of exchanged rows found")
axes[1].legend(frameon=False, loc="lower right")
plt.show()
