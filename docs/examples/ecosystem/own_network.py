"""
A network of your own
=====================

A network that knows a symmetry of the data learns from 200 points what another one needs many more for.

Any ``torch.nn.Module`` with ``forward(x, level_feature, condition=None)`` is a network; ``Denoiser`` makes a
model of it, and everything else, training, plans, densities, guidance, takes the model.
"""

import matplotlib.pyplot as plt
import torch

from scorefield import Denoiser, Level, Settings, at, plans, run, train
from scorefield.analytic import GaussianMixture
from scorefield.nets import ResidualMLP

# %%
# A law that looks the same after a quarter turn, of which 200 points are known.

turns = [torch.matrix_power(torch.tensor([[0.0, -1.0], [1.0, 0.0]]), k) for k in range(4)]
narrow = torch.tensor([[0.35, 0.25], [0.25, 0.22]])
law = GaussianMixture(
    torch.ones(4),
    torch.stack([r @ torch.tensor([1.2, 0.2]) for r in turns]),
    torch.stack([r @ narrow @ r.T for r in turns]),
)
data = law.sample(200, seed=0).float()

# %%
# The network: whatever the inner one says, averaged over quarter turns of the question and back. Its answer
# turns with x.


class Turned(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x, level_feature, condition=None):
        answers = [self.inner(x @ r.T.to(x), level_feature, condition) @ r.to(x) for r in turns]
        return torch.stack(answers).mean(0)


def trained(network):
    model = Denoiser(network, sigma_data=float(data.std()), sigma_min=0.01, sigma_max=20.0)
    for _ in train(model, data, settings=Settings(steps=400, batch=128)):
        pass
    return model.eval()


models = {
    "an MLP": trained(ResidualMLP(2, width=48, depth=2)),
    "the same, turned": trained(Turned(ResidualMLP(2, width=48, depth=2))),
}

# %%
# The error of the score at several levels, on fresh points, and samples of both.

fresh = law.sample(2000, seed=1).float()
sigmas = torch.logspace(-1.3, 0.7, 9)
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
plan = plans.default(20, sigma_min=0.01, sigma_max=20.0)
for axis, (name, model), style in zip(axes[1:], models.items(), ("o--", "s-"), strict=True):
    errors = []
    for sigma in sigmas:
        level = Level(1.0, float(sigma))
        x = fresh + sigma * torch.randn(fresh.shape, generator=torch.Generator().manual_seed(2))
        with torch.no_grad():
            off = at(model, level)(x) - at(law, level)(x)
        errors.append(float(sigma * off.square().sum(1).mean().sqrt()))
    print(f"{name}: error of sigma * score, mean over levels {sum(errors) / len(errors):.3f}")
    axes[0].loglog(sigmas, errors, style, label=name)
    new = run(plan, model, plan.start(1500, (2,), seed=0, std=1.0))
    axis.scatter(*new.T, s=2, alpha=0.5)
    axis.scatter(*data.T, s=5, color="#d55e00")
    axis.set(title=f"{name}: 1,500 draws", aspect="equal", xlim=(-3, 3), ylim=(-3, 3))
axes[0].set(xlabel="noise level", ylabel="RMS error of sigma x score")
axes[0].legend(frameon=False)
plt.show()
