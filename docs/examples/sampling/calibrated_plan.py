"""
Ten steps, calibrated to one model
==================================

Levels and coefficients of a sampler are fitted to one model, and ten evaluations do what takes others twenty or more.

The model is a mixture of eight narrow modes, which gives exact answers: what is left is the sampler's error
alone. It is the distance of a sample's end from the end of the converged probability flow that starts at the
same noise.
"""

import matplotlib.pyplot as plt
import torch

from scorefield import levels, plans, run
from scorefield.analytic import GaussianMixture

angle = torch.arange(8) * torch.pi / 4
centres = 2.0 * torch.stack([angle.cos(), angle.sin()], 1)
law = GaussianMixture(torch.ones(8), centres, 0.02 * torch.eye(2).expand(8, 2, 2))

found = plans.calibration(law, 10, seed=0, trajectories=128)
print(found)
print(found.plan.table().partition("\n")[0])

# %%
# The same noise through each plan. Every plan is a table, so they differ in their numbers alone.

spread = float((law.covariance.trace() / 2).sqrt())
reference = plans.default(400, scale=spread)
high = float(reference.levels.ratio[0])
noise = torch.randn(2000, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def end(plan):
    alpha, sigma = plan.levels[0]
    std = (alpha**2 * spread**2 + sigma**2) ** 0.5
    return run(plan, law, std * noise)


truth = end(reference)
others = {
    "ddim, Karras levels": lambda n: plans.ddim(levels.karras(n, sigma_max=high, sigma_min=0.01)),
    "heun, Karras levels": lambda n: plans.heun(levels.karras((n + 1) // 2, sigma_max=high, sigma_min=0.01)),
    "dpmpp, order 2": lambda n: plans.dpmpp(levels.log_uniform(n, sigma_max=high, sigma_min=0.01), order=2),
    "default": lambda n: plans.default(n, scale=spread),
}
counts = (6, 8, 10, 14, 20, 30)
errors = {name: [] for name in others}
for name, plan in others.items():
    for n in counts:
        errors[name].append(float((end(plan(n)) - truth).norm(dim=1).median()) / spread)
fitted = float((end(found.plan) - truth).norm(dim=1).median()) / spread
print(f"median error with ten evaluations: default {errors['default'][2]:.4f}, calibrated {fitted:.4f}")

# %%
# Left the errors, right where a hundred samples end with ten evaluations, joined to where they belong.

figure, axes = plt.subplots(1, 3, figsize=(10, 3.5), layout="constrained")
for (name, values), mark in zip(errors.items(), "osD^", strict=True):
    axes[0].plot(counts, values, marker=mark, ms=4, label=name)
axes[0].plot(10, fitted, "*", ms=14, color="#d55e00", label="calibrated")
axes[0].set(
    yscale="log", xlabel="evaluations of the model", ylabel="median error / standard deviation", ylim=(1e-5, 200)
)
axes[0].legend(frameon=False, fontsize=8, ncols=2)
for axis, (name, plan) in zip(
    axes[1:], {"ddim": others["ddim, Karras levels"](10), "calibrated": found.plan}.items(), strict=True
):
    ends = end(plan)[:150]
    for a, b in zip(truth[:150], ends, strict=True):
        axis.plot([a[0], b[0]], [a[1], b[1]], color="#bbbbbb", lw=0.8)
    axis.scatter(*truth[:150].T, s=8, color="#009e73", label="where the flow ends")
    axis.scatter(*ends.T, s=6, color="#d55e00", label="10 evaluations")
    axis.set(title=name, aspect="equal", xticks=[-2, 0, 2], yticks=[-2, 0, 2])
axes[1].legend(frameon=False, fontsize=8, loc="center")
plt.show()
