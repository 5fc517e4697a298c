"""
Deblurring, with how sure each pixel is
=======================================

A model of digits restores blurred, noisy ones: draws that fit what was measured, their mean, each pixel's spread.

The model knows digits and nothing of blur; the blur enters as an operator when an image is restored. Most of
the time goes into training a small network on 1,617 digits of 8 by 8 pixels.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np

from scorefield import TrainedModel, data, fit
from scorefield.conditioning.inverse.operators import Blur
from scorefield.records.restore import measure, restore

folder = tempfile.mkdtemp()
digits = data.load("digits")
shown, rest = np.arange(0, 12), np.arange(12, len(digits))  # these twelve are left out of the training
settings = {"steps": 450}
for progress in fit(digits.take(rest), folder, labels=False, settings=settings):
    pass
model = TrainedModel.load(folder)
print(f"{progress.step} steps, loss {progress.loss:.3f}")

# %%
# Twelve digits that the model has not seen, blurred by 0.8 pixels and with noise of one grey level of 16.

blur, noise = Blur((1, 8, 8), 0.8), 1.0
found = []
for k in shown:
    image = digits.records[k].astype(float)
    found.append(
        restore(model, blur, measure(blur, image, noise, seed=int(k)), noise, n=24, steps=30, seed=int(k), truth=image)
    )
error = [np.sqrt(np.mean((one.mean - one.truth) ** 2)) for one in found]
blurred = [np.sqrt(np.mean((one.measurement[0] - one.truth) ** 2)) for one in found]
ranks = np.concatenate([(one.draws <= one.truth).mean(0).ravel() for one in found])
print(
    f"RMS error in grey levels: measurement {np.mean(blurred):.2f}, mean of the draws {np.mean(error):.2f}, "
    f"standard deviation said {np.sqrt(np.mean([one.deviation**2 for one in found])):.2f}"
)

# %%
# A row for each of four.

titles = ["measured", "truth", "mean", "std. deviation", "draw", "draw", "draw"]
figure, axes = plt.subplots(4, 7, figsize=(9, 5.4), layout="constrained")
for row, one in zip(axes, found[:4], strict=True):
    for axis, picture in zip(
        row, [one.measurement[0], one.truth, one.mean, one.deviation, *one.draws[:3]], strict=True
    ):
        spread = picture is one.deviation
        drawn = axis.imshow(picture, cmap="magma" if spread else "gray_r", vmin=0, vmax=6 if spread else 16)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        if spread:
            heat = drawn
for axis, title in zip(axes[0], titles, strict=True):
    axis.set_title(title)
figure.colorbar(heat, ax=axes[:, -1], label="grey levels (of 16)", shrink=0.8)
plt.show()
