"""
A schedule of your own
======================

A schedule is a function from time to a noise level; here one of three lines is trained on, and sampled on.

Its drift, its diffusion and its velocities follow by differentiation, and the network belongs to no schedule:
it is told `sigma / alpha`, so what was trained on one schedule is sampled on another.
"""

import math

import matplotlib.pyplot as plt
import torch

from scorefield import Denoiser, Settings, data, levels, plans, run, schedules, train
from scorefield.metrics import sliced_wasserstein
from scorefield.nets import ResidualMLP

# %%
# Noise that grows as the square of a sine: slow at both ends.


def slow_ends(t):
    angle = (math.pi / 2) * torch.sin(math.pi / 2 * t) ** 2
    return torch.cos(angle), torch.sin(angle)


own = schedules.Custom(slow_ends, start=0.02, end=0.98)
print(own(0.5), "drift", float(own.drift(0.5)), "diffusion", float(own.diffusion(0.5)))

# %%
# Trained on uniform times of that schedule.

toy = data.load("moons").records
x = torch.from_numpy(toy).float()
mean, spread = x.mean(0), x.std()
x = (x - mean) / spread
low, high = (float(own(t).sigma / own(t).alpha) for t in (own.t_min, own.t_max))
model = Denoiser(ResidualMLP(2, width=64, depth=2), sigma_min=low, sigma_max=high)
settings = Settings(steps=800, batch=256)
for progress in train(model, x, settings=settings, training_levels=levels.UniformTime(own)):
    pass
print(f"loss {progress.loss:.3f} after {progress.step} steps")

# %%
# Sampled on it and on two others: 40 Euler steps in each one's own time, and a plan that knows no time.

fresh = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:2000]]
ways = {
    "this schedule, Euler": plans.euler(own, 40),
    "straight lines, Euler": plans.euler(schedules.RectifiedFlow(), 40, t_min=low / (1 + low), t_max=high / (1 + high)),
    "no schedule, default plan": plans.default(15, sigma_min=low, sigma_max=high),
}
figure, axes = plt.subplots(1, 4, figsize=(11, 2.7), layout="constrained")
t = torch.linspace(own.t_min, own.t_max, 200)
axes[0].plot(t, own(t).alpha, label="alpha")
axes[0].plot(t, own(t).sigma, label="sigma")
axes[0].set(title="the schedule", xlabel="time")
axes[0].legend(frameon=False, fontsize=8)
for axis, (name, plan) in zip(axes[1:], ways.items(), strict=True):
    new = run(plan, model, plan.start(2000, (2,), seed=0, std=1.0))
    distance = float(sliced_wasserstein(new, fresh))
    axis.scatter(*(new * spread + mean).T, s=1.5, alpha=0.6)
    axis.set(
        title=f"{name}\n{plan.evaluations} evaluations, distance {distance:.3f}", aspect="equal", xticks=[], yticks=[]
    )
    print(f"{name}: sliced Wasserstein distance {distance:.3f}")
plt.show()
