"""
New rows under conditions
=========================

Voters who would vote for Dole and are under 40 are drawn from a model of all voters, with as many rows as one likes.

In a shell it is ``scorefield sample run -n 2000 -o new.csv --given "vote=Dole,age<40"``. The answer is checked
by the rows of the survey for which the conditions hold, as far as these few rows tell.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from statsmodels.datasets import anes96

from scorefield import ScoreDensity
from scorefield.tables.given import Between

survey = anes96.load_pandas().data
frame = pd.DataFrame(
    {
        "age": survey["age"].astype(int),
        "education": survey["educ"].astype(int),
        "income": survey["income"].astype(int),
        "leaning": survey["selfLR"].astype(int),
        "vote": survey["vote"].map({0.0: "Clinton", 1.0: "Dole"}),
    }
)
model = ScoreDensity(steps=350, seconds=None, random_state=0).fit(frame)
given = {"vote": "Dole", "age": Between(high=40, open_high=True)}
new = model.sample(2000, random_state=1, given=given)
real = frame[(frame["vote"] == "Dole") & (frame["age"] < 40)]
print(new.head().to_string(index=False))
print(f"{len(real)} of {len(frame)} voters fulfil the conditions, and {len(new)} of {len(new)} new rows")
assert (new["vote"] == "Dole").all() and (new["age"] < 40).all()

# %%
# Bars: real rows, with the standard error that their number leaves. Points: new rows. Grey: all voters.

figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
titles = {"leaning": "left (1) to right (7)", "education": "school (1) to PhD (7)", "income": "income class, in fours"}
for axis, (name, title) in zip(axes, titles.items(), strict=True):
    cut = (lambda v: (v - 1) // 4 + 1) if name == "income" else (lambda v: v)
    values = np.arange(1, 8 if name != "income" else 7)
    share = {k: np.array([(cut(rows[name]) == v).mean() for v in values]) for k, rows in
             {"all": frame, "real": real, "new": new}.items()}  # fmt: skip
    error = np.sqrt(share["real"] * (1 - share["real"]) / len(real))
    axis.bar(
        values, share["real"], yerr=error, color="#56b4e9", ecolor="#666666", capsize=3, label=f"{len(real)} real rows"
    )
    axis.plot(values, share["new"], "o", color="#d55e00", label=f"{len(new)} new rows")
    axis.step(np.append(values - 0.5, values[-1] + 0.5), np.append(share["all"], share["all"][-1]), where="post",
              color="#888888", label="all voters")  # fmt: skip
    axis.set(xlabel=title, ylabel="share" if name == "leaning" else "")
axes[0].legend(frameon=False, fontsize=8)
figure.suptitle("given: votes for Dole, younger than 40", fontsize=10)
plt.show()
