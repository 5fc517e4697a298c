"""
A sampler of your own
=====================

A sampler is a table of numbers: a two-step method in fifteen lines, and a test that its error falls as it should.

Row `k` of a `Plan` says how much of every estimate so far makes the next state. Whatever is written so is run,
stored as JSON, split, continued and checked by the library.
"""

import matplotlib.pyplot as plt
import torch

from scorefield import levels, plans, run
from scorefield.analytic import GaussianMixture
from scorefield.plans import Plan

# %%
# DDIM goes to the next level by `alpha' x0 + sigma' eps` with the estimates at hand. This one looks ahead: it
# continues `x0` linearly in `log sigma` from the last two estimates to the middle of the step, and then steps
# likewise. As `alpha x0 + sigma eps` is the state, and the state is a combination of earlier estimates,
# everything is a row of numbers. (It is DPM-Solver++ of second order, Lu and others 2022, so the library has
# it: ``plans.dpmpp`` lies on the same line below.)


def looking_ahead(lv):
    n = len(lv) - 1
    P, E = torch.zeros(n, n), torch.zeros(n, n)
    sigma, h = lv.sigma, (-lv.sigma.log()).diff()
    for k in range(n):
        q = sigma[k + 1] / sigma[k]
        if k:  # x' = q x + (1 - q) x0, with x from the row before
            P[k, :k], E[k, :k] = q * P[k - 1, :k], q * E[k - 1, :k]
        else:  # the state at the start is known by its estimate alone
            P[k, k], E[k, k] = q, sigma[k + 1]
        ahead = h[k] / (2 * h[k - 1]) if 0 < k < n - 1 else 0.0  # the last step goes to the data, where log sigma ends
        P[k, k] += (1 - q) * (1 + ahead)
        if k:
            P[k, k - 1] -= (1 - q) * ahead
    return Plan(lv, P, E, torch.zeros(n), name="looking ahead", order=2)


print(looking_ahead(levels.karras(4, sigma_max=10.0, sigma_min=0.1)).table())

# %%
# The point-mass law: where all data are one point, any sampler must be exact. Then the order, on a mixture.

lv = levels.log_uniform(10, sigma_max=50.0, sigma_min=0.05)
point = GaussianMixture(torch.ones(1), torch.tensor([[3.0]]), torch.zeros(1, 1, 1))
ends = run(looking_ahead(lv), point, 50.0 * torch.ones(1, 1).double())
print("a single point at 3 comes out as", float(ends))

law = GaussianMixture(torch.tensor([0.3, 0.7]), torch.tensor([[-1.0], [1.0]]), torch.full((2, 1, 1), 0.1))
start = 50.0 * torch.linspace(-2, 2, 200).double()[:, None]
truth = run(plans.adams(levels.log_uniform(2000, sigma_max=50.0, sigma_min=0.01), order=4), law, start)
counts = (10, 20, 40, 80, 160)
errors = {"looking ahead": [], "ddim": [], "dpmpp, order 2": []}
for n in counts:
    lv = levels.log_uniform(n, sigma_max=50.0, sigma_min=0.01)
    made = looking_ahead(lv), plans.ddim(lv), plans.dpmpp(lv, order=2)
    for plan, found in zip(made, errors.values(), strict=True):
        found.append(float((run(plan, law, start) - truth).square().mean().sqrt()))
for name, found in errors.items():
    print(f"{name}: halving the step divides the error by {found[-2] / found[-1]:.1f}")

# %%
# The table as a picture, and the errors.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", width_ratios=(1, 1.3))
table = looking_ahead(levels.karras(12, sigma_max=50.0, sigma_min=0.01))
size = float(table.P.abs().max())
image = axes[0].imshow(table.P, cmap="RdBu", vmin=-size, vmax=size)
axes[0].set(title="P: weight of each estimate of x0", xlabel="estimate", ylabel="row")
figure.colorbar(image, ax=axes[0])
for (name, found), mark, size in zip(errors.items(), "osD", (11, 6, 4), strict=True):
    axes[1].loglog(counts, found, marker=mark, ms=size, label=name)
for order, top in ((1, 0.3), (2, 0.3)):
    axes[1].loglog(counts, [top * (counts[0] / n) ** order for n in counts], color="#bbbbbb", lw=1, ls=":")
axes[1].set(xlabel="evaluations", ylabel="RMS error at the end", title="dotted: falling as 1/n and 1/n²")
axes[1].legend(frameon=False)
plt.show()
