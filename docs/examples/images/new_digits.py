"""
New images, class by class
==========================

A network trained for half a minute on small digits draws new ones, and guidance makes each look more like its class.

Guidance trades variety for typicality: a scale of 1 follows the data, larger ones go towards what is typical of
the class.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from scorefield import TrainedModel, data, fit

folder = tempfile.mkdtemp()
for progress in fit("digits", folder, settings={"steps": 500}):
    pass
model = TrainedModel.load(folder)
print(f"{progress.step} steps, loss {progress.loss:.3f}")

# %%
# How often a classifier of real digits sees the class that was asked for, and how much the draws of a class
# differ.

digits = data.load("digits")
classifier = KNeighborsClassifier(3).fit(digits.records.reshape(len(digits), -1), digits.labels)
wanted = np.repeat(np.arange(10), 20)
drawn = {}
for scale in (1.0, 2.0, 4.0):
    new = model.sample(200, steps=12, seed=0, condition=wanted, guidance=scale)
    right = classifier.predict(new.reshape(200, -1)) == wanted
    spread = np.mean([new[wanted == k].std(0).mean() for k in range(10)])
    drawn[scale] = new
    print(f"guidance {scale}: {right.mean():.0%} seen as the class asked for, spread {spread:.2f} grey levels")

# %%
# Real digits, and new ones: a column for each class.

real = np.stack([digits.records[digits.labels == k][:4] for k in range(10)], 1)
figure, axes = plt.subplots(1, 4, figsize=(11, 2.4), layout="constrained")
panels = {"real": real} | {
    f"new, guidance {s:g}": new.reshape(10, 20, 8, 8)[:, :4].swapaxes(0, 1) for s, new in drawn.items()
}
for axis, (title, images) in zip(axes, panels.items(), strict=True):
    sheet = np.pad(images.reshape(4, 10, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1))).swapaxes(1, 2).reshape(40, 100)
    axis.imshow(sheet, cmap="gray_r", vmin=0, vmax=16)
    axis.set(title=title, xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
plt.show()
