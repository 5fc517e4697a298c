"""
From a data frame to a report
=============================

A survey of 944 voters becomes a model of its rows, and a report says how far the model can be trusted.

The four commands are the whole of it: they are what one types in a shell, and here they are started by Python.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from statsmodels.datasets import anes96

survey = anes96.load_pandas().data
frame = pd.DataFrame(
    {
        "age": survey["age"].astype(int),
        "education": survey["educ"].map(
            dict(enumerate("school,some high,high school,some college,college,master,PhD".split(","), 1))
        ),
        "income": survey["income"].astype(int),
        "leaning": survey["selfLR"].astype(int),
        "news": survey["TVnews"].astype(int),
        "vote": survey["vote"].map({0.0: "Clinton", 1.0: "Dole"}),
    }
)
folder = Path(tempfile.mkdtemp())
frame.to_csv(folder / "survey.csv", index=False)


def scorefield(*words):
    done = subprocess.run([sys.executable, "-m", "scorefield", *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# %%
# Columns of whole numbers and of words need no preparation: what each one is has been detected, and ``info``
# says it.

scorefield("fit", "survey.csv", "-o", "run", "--steps", "250")
print(scorefield("info", "run").partition("\n\n")[2].partition("\n\n")[0])

# %%
# ``evaluate`` compares new rows with rows that were held out; every figure stands beside its value for real
# rows.

scorefield("sample", "run", "-n", "944", "-o", "new.csv")
print(scorefield("evaluate", "run", "survey.csv", "-n", "60", "--report", "report.html", "--json", "figures.json"))
page = (folder / "report.html").read_text(encoding="utf-8")
print(f"report.html: one file of {len(page) // 1000} kB that needs no network")

# %%
# What the report draws for every column, for three of them: real and new rows, and a pair.

new = pd.read_csv(folder / "new.csv")
figure, axes = plt.subplots(1, 4, figsize=(11, 3.2), layout="constrained")
for axis, name in zip(axes, ["leaning", "education", "age"], strict=False):
    if name == "age":
        axis.hist([frame[name], new[name]], bins=12, label=["real", "new"])
        axis.set(xlabel="age")
    else:
        order = list(range(1, 8)) if name == "leaning" else list(frame[name].value_counts().index)
        both = pd.DataFrame({"real": frame[name].value_counts(), "new": new[name].value_counts()}).reindex(order)
        both.plot.barh(ax=axis, width=0.8, legend=False)
        axis.set(ylabel="", title=name if name != "leaning" else "left (1) to right (7)")
axes[2].legend(frameon=False)
for k, (label, rows) in enumerate({"real": frame, "new": new}.items()):
    share = rows.assign(dole=rows["vote"] == "Dole").groupby("leaning")["dole"].mean()
    axes[3].plot(share.index, 100 * share, "o-" if k == 0 else "s--", label=label)
axes[3].set(xlabel="left (1) to right (7)", ylabel="per cent for Dole", title="a pair of columns")
axes[3].legend(frameon=False)
plt.show()
