"""
Filling a hole, and what may have been there
============================================

The lower half of a digit is covered; draws fill it in, each a possible picture, and say which digits it may have been.

A cover leaves several answers, and a single "best" picture would hide that. The prior is again a normal law for each
class of digits, so that the probability of each class given the upper half is known exactly, and the draws can be
held against it. A trained run takes the prior's place by ``scorefield restore``, or ``scorefield.restore``; the
explorer's scene *Images* does it under the mouse.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from scorefield import inverse
from scorefield.analytic import GaussianMixture
from scorefield.conditioning.inverse.operators import Mask

images, label = load_digits(return_X_y=True)
x = torch.from_numpy(images).double() / 16
label = torch.from_numpy(label)
shown = torch.tensor([7, 368, 238, 31])  # these are left out of the prior
kept = torch.ones(len(x), dtype=torch.bool)
kept[shown] = False
classes = [x[kept & (label == k)] for k in range(10)]
prior = GaussianMixture(
    torch.tensor([float(len(c)) for c in classes]),
    torch.stack([c.mean(0) for c in classes]),
    torch.stack([c.T.cov() + 0.05**2 * torch.eye(64) for c in classes]),
)

# %%
# The measurement: the pixels of the upper half, with noise of 5 % of black. What is not observed is not in it.

upper = torch.arange(64) < 32
cover, noise = Mask(upper), 0.05
generator = torch.Generator().manual_seed(0)
measured = x[shown][:, upper] + noise * torch.randn(len(shown), 32, generator=generator, dtype=x.dtype)

# %%
# 64 particles are weighted against each other, so that each class gets its share. The class of a draw is the one under
# which the prior finds it likeliest.


def class_of(pictures):
    each = [torch.distributions.MultivariateNormal(m, C) for m, C in zip(prior.means, prior.covariances, strict=True)]
    return torch.stack([law.log_prob(pictures) for law in each], 1).add(prior.weights.log()).argmax(1)


rows = []
for k, y in zip(shown, measured, strict=True):
    draws = inverse.posterior_samples(prior, cover, y, noise**2, n=64, particles=64, steps=20).x0
    share = torch.bincount(class_of(draws), minlength=10) / len(draws)
    exact = prior.posterior(y, torch.eye(64, dtype=x.dtype)[upper], noise**2 * torch.eye(32, dtype=x.dtype)).weights
    told = [f"{c}: {share[c]:.2f} ({exact[c]:.2f})" for c in exact.argsort(descending=True)[:3]]
    print(f"a {label[k]}; share of the draws (exact probability):", ", ".join(told))
    rows.append((k, draws, share, exact))

# %%
# A row for each digit: what is seen, what it was, six draws, and the classes, of the draws and exactly.

figure, axes = plt.subplots(4, 9, figsize=(10, 4.8), layout="constrained", width_ratios=[1] * 8 + [2.2])
for line, (k, draws, share, exact) in zip(axes, rows, strict=True):
    seen = torch.where(upper, x[k], torch.nan)
    for axis, picture in zip(line[:8], (seen, x[k], *draws[::11]), strict=True):
        axis.set_facecolor("#bbccdd")  # of what is covered
        axis.imshow(picture.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    places = torch.arange(10)
    line[8].bar(places - 0.2, share, 0.4, label="draws")
    line[8].bar(places + 0.2, exact, 0.4, label="exact")
    line[8].set(ylim=(0, 1), xticks=places, yticks=[0, 1])
    line[8].tick_params(labelsize=7)
for axis, title in zip(axes[0], ("seen", "truth", *["draw"] * 6, "probability of each digit"), strict=True):
    axis.set_title(title)
axes[0, 8].legend(frameon=False, fontsize=7, loc="upper left")
plt.show()
