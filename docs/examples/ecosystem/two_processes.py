"""
Two processes, one training
===========================

``torchrun`` starts two processes that train one model together, and their losses are those of one process.

A step's batch, its noise levels and its noise are functions of the seed, the step and the place in the batch,
so it does not matter who computes them. On a cluster the command is the same with more processes.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from scorefield import TrainedModel

folder = Path(tempfile.mkdtemp())
words = ["-m", "scorefield", "fit", "moons", "--size", "small", "--steps", "300", "--batch", "128"]
torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def start(words):
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


start([*words, "-o", "one"])
start([*torchrun, *words, "-o", "two"])  # in a shell: torchrun --nproc-per-node 2 -m scorefield fit ...

# %%
# The losses on held-out points at each step where they were measured, from the runs' folders.


def losses(run):
    training = json.loads((folder / run / "model.json").read_text(encoding="utf-8"))["info"]["training"]
    return [(found["step"], found["mean"]) for found in training["evaluations"]]


one, two = losses("one"), losses("two")
away = max(abs(a - b) for (_, a), (_, b) in zip(one, two, strict=True))
print(f"{len(one)} held-out losses, of one and of two processes: apart by at most {away:.1e}")

# %%
# The losses, and draws of the model that two processes made.

points = TrainedModel.load(folder / "two").sample(2000, steps=15)
figure, axes = plt.subplots(1, 2, figsize=(8, 3.3), layout="constrained")
axes[0].plot(*zip(*one, strict=True), "-", lw=4, color="#bbbbbb", label="one process")
axes[0].plot(*zip(*two, strict=True), "o--", label="two processes")
axes[0].set(xlabel="step", ylabel="held-out loss")
axes[0].legend(frameon=False)
axes[1].scatter(*points.T, s=2, alpha=0.5)
axes[1].set(title="drawn from the run of two processes", aspect="equal")
plt.show()
