"""
A training loop of your own
===========================

Plain PyTorch: a batch, a loss per sample, an optimiser, averaged weights, and the result is a run like any other.

``train`` and ``scorefield fit`` do more (held-out losses, resuming, several processes), and nothing that you
could not write.
"""

import tempfile

import matplotlib.pyplot as plt
import torch

from scorefield import Denoiser, TrainedModel, fit_codec, levels, nets, objectives
from scorefield.data import load

moons = load("moons")
codec = fit_codec(moons)  # standardises, and knows the way back
x = codec.encode(moons.records)

model = Denoiser(nets.ResidualMLP(2, width=64, depth=2), sigma_max=20.0)
average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.98))
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
STEPS = 1000
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
density, weighting = levels.LogNormal(-0.9, 1.2), objectives.EDM()

losses, stages = [], {}
for step in range(STEPS + 1):
    if step in (50, 200, STEPS):
        stages[step] = TrainedModel(average.module.eval(), codec).sample(1500, steps=15)
    batch = x[torch.randint(len(x), (128,), generator=torch.Generator().manual_seed(step))]
    loss = objectives.multilevel(model, batch, density, weighting, seed=step).mean()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    average.update_parameters(model)
    losses.append(float(loss.detach()))

# %%
# What was trained, with its codec, is a run: ``scorefield sample``, ``evaluate`` and ``explore`` open its
# folder.

folder = tempfile.mkdtemp()
TrainedModel(average.module.eval(), codec).save(folder)
print(TrainedModel.load(folder).sample(3, steps=15))

# %%
# The loss, which is not zero at its best because noise cannot be guessed, and draws on the way.

figure, axes = plt.subplots(1, 4, figsize=(11, 3), layout="constrained", width_ratios=(1.3, 1, 1, 1))
axes[0].plot(losses, lw=0.5, color="#bbbbbb")
axes[0].plot([sum(losses[max(0, k - 50) : k + 1]) / len(losses[max(0, k - 50) : k + 1]) for k in range(len(losses))])
axes[0].set(xlabel="step", ylabel="loss", ylim=(0.3, 1.2))
for axis, (step, drawn) in zip(axes[1:], stages.items(), strict=True):
    axis.scatter(*drawn.T, s=1.5, alpha=0.6)
    axis.set(title=f"after {step} steps", aspect="equal", xticks=[], yticks=[])
plt.show()
