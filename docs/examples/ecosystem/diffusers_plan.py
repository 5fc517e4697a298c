"""
A network of diffusers, with a plan of this library
===================================================

A UNet of diffusers draws with ten evaluations: by its own DDIM scheduler, and by a plan that is fitted to this network.

This example needs ``pip install 'scorefield[diffusers]'``. The network is trained here for a moment on small
digits, as diffusers trains one; a pipeline from a folder or from the Hub is read in the same way.
"""

import matplotlib.pyplot as plt
import torch
from diffusers import DDIMScheduler, UNet2DModel
from sklearn.datasets import load_digits

from scorefield import interop, plans, run

torch.manual_seed(0)
network = UNet2DModel(
    sample_size=8, in_channels=1, out_channels=1, layers_per_block=1, block_out_channels=(32, 32),
    down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    norm_num_groups=8,
)  # fmt: skip
scheduler = DDIMScheduler(clip_sample=False)
images = torch.tensor(load_digits().images).float()[:, None] / 8 - 1
optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
falling = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, 100)
for step in range(100):
    x0 = images[torch.randint(len(images), (48,))]
    noise, t = torch.randn_like(x0), torch.randint(1000, (48,))
    loss = (network(scheduler.add_noise(x0, noise, t), t).sample - noise).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    falling.step()
print(f"loss {loss.item():.3f}")

# %%
# What the network is told of the noise is read off the scheduler: then it is a model like any other.

model = interop.from_diffusers((network.eval(), scheduler))
even = plans.unipc(interop.evenly(model.convention.times, 10))
fitted = plans.calibration(model, 10, (1, 8, 8), std=0.6, plan=even, search=False, trajectories=8)
print(fitted)


def by_diffusers(x, n):
    scheduler.set_timesteps(n)
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = scheduler.step(network(x, t).sample, t, x).prev_sample
    return x


# %%
# The same noise to its end: by many small steps, by both schedulers, and by the fitted plan inside a pipeline's
# scheduler.

start = torch.randn(24, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def end(plan):
    return run(plan, model, plan.levels.sigma[0].float() * start)


truth = end(plans.unipc(interop.evenly(model.convention.times, 100)))
ends = {
    "DDIM of diffusers": by_diffusers(start, 10),
    "UniPC plan": end(even),
    "fitted plan": end(fitted.plan),
}
pipeline_scheduler = interop.PlanScheduler.from_plan(fitted.plan, scheduler)
pipeline_scheduler.set_timesteps(10)
print(
    "the fitted plan as a scheduler of diffusers:",
    type(pipeline_scheduler).__name__,
    len(pipeline_scheduler.timesteps),
    "steps",
)

figure, axes = plt.subplots(4, 10, figsize=(9, 4.2), layout="constrained")
for row, (name, end) in zip(axes, {"100 evaluations": truth, **ends}.items(), strict=True):
    error = float((end - truth).square().mean().sqrt() / truth.square().mean().sqrt())
    for axis, image in zip(row, end[:10, 0], strict=True):
        axis.imshow(image, cmap="gray_r", vmin=-1, vmax=1)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    label = name if end is truth else f"{name}\nerror {error:.3f}"
    row[0].set_ylabel(label, rotation=0, ha="right", va="center", labelpad=8, fontsize=9)
    print(f"{name}: distance from the flow's end {error:.4f} of the images' RMS")
plt.show()
