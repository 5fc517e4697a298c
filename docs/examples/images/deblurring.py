"""
Deblurring, with how sure each pixel is
=======================================

A blurred, noisy digit becomes draws that fit what was measured, with each pixel's spread, and all is checked exactly.

The prior is a normal law for each class of digits. Its posterior is known, so the draws, which ask the model
for nothing but its estimates, can be compared with it. A trained run takes its place by ``scorefield restore``,
or by ``scorefield.restore``.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from scorefield import inverse
from scorefield.analytic import GaussianMixture
from scorefield.conditioning.inverse.operators import Blur, Matrix, dense

images, label = load_digits(return_X_y=True)
x = torch.from_numpy(images).double() / 16
label = torch.from_numpy(label)
shown = torch.arange(0, 4)  # these are left out of the prior
classes = [x[4:][label[4:] == k] for k in range(10)]
prior = GaussianMixture(
    torch.tensor([float(len(c)) for c in classes]),
    torch.stack([c.mean(0) for c in classes]),
    torch.stack([c.T.cov() + 0.03**2 * torch.eye(64) for c in classes]),
)

# %%
# The measurement: a blur of 0.9 pixels, and noise of 5 % of black.

A = dense(Blur((8, 8), 0.9))
blur, noise = Matrix(A), 0.05
measured = blur(x[shown]) + noise * torch.randn(4, 64, generator=torch.Generator().manual_seed(0), dtype=x.dtype)

# %%
# Draws by the method that is the default for images, one evaluation a step, and the exact posterior beside them.


def rms(v):
    return v.square().mean().sqrt()


rows = []
for truth, y in zip(x[shown], measured, strict=True):
    draws = inverse.posterior_samples(prior, blur, y, noise**2, n=32, particles=1, jacobian=False, steps=30).x0
    exact = prior.posterior(y, A, noise**2 * torch.eye(64, dtype=x.dtype))
    mean, deviation, wanted = draws.mean(0), draws.std(0), exact.covariance.diagonal().sqrt()
    off = {"measured": y, "mean of draws": mean, "exact mean": exact.mean}
    print("RMS error:", ", ".join(f"{name} {rms(v - truth):.3f}" for name, v in off.items()), end="; ")
    print(f"spread: draws {rms(deviation):.3f}, exact {rms(wanted):.3f}")
    rows.append([y, truth, mean, deviation, wanted, *draws[:2]])

# %%
# A row for each digit.

titles = ["measured", "truth", "mean", "spread", "exact spread", "draw", "draw"]
figure, axes = plt.subplots(4, 7, figsize=(9, 5.2), layout="constrained")
for line, pictures in zip(axes, rows, strict=True):
    for axis, picture, title in zip(line, pictures, titles, strict=True):
        spread = "spread" in title
        drawn = axis.imshow(
            picture.reshape(8, 8), cmap="magma" if spread else "gray_r", vmin=0, vmax=0.3 if spread else 1
        )
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        if title == "exact spread":
            heat = drawn
for axis, title in zip(axes[0], titles, strict=True):
    axis.set_title(title)
figure.colorbar(heat, ax=axes[:, -1], label="standard deviation, black is 1", shrink=0.8)
plt.show()
