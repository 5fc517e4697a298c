"""
Every objective on one toy
==========================

Twelve losses learn the score of the same 4,000 points in the plane, and all of them find the same field.

The law is a Gaussian mixture, so its true score is known: each title gives the error of what was learned,
relative to that score and averaged over fresh points. The first row needs derivatives of a score network in
`x`, or the truth, the second noise, the third only values of an energy.
"""

import matplotlib.pyplot as plt
import torch

from scorefield import Denoiser, Level, at, langevin, levels, objectives
from scorefield.analytic import GaussianMixture
from scorefield.nets import ResidualMLP
from scorefield.objectives import contrastive

# %%
# The law, its points, and the two networks that are trained: a field of arrows, and an energy whose slope is
# one.

corners = torch.tensor([[-1.2, -0.7], [1.2, -0.7], [0.0, 1.2]])
spreads = torch.tensor([[[0.5, 0.2], [0.2, 0.4]], [[0.5, -0.2], [-0.2, 0.4]], [[0.6, 0.0], [0.0, 0.3]]])
law = GaussianMixture(torch.tensor([0.3, 0.3, 0.4]), corners, spreads)
data = law.sample(4000, seed=0).float()
fresh = law.sample(1000, seed=1).float()


def network(outputs):
    torch.manual_seed(0)
    hidden = [torch.nn.Linear(2, 48), torch.nn.Tanh(), torch.nn.Linear(48, 48), torch.nn.Tanh()]
    return torch.nn.Sequential(*hidden, torch.nn.Linear(48, outputs))


class Energy(torch.nn.Module):
    """A number for each point: a network, within a bowl that makes the density integrable."""

    def __init__(self):
        super().__init__()
        self.inside, self.log_normaliser = network(1), torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return self.inside(x)[:, 0] + x.square().sum(1) / 8

    def score(self, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return -torch.autograd.grad(self(x).sum(), x)[0]


def train(model, loss, steps=450):
    torch.manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    falling = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, steps)
    for step in range(steps):
        x = data[torch.randint(len(data), (128,))]
        optimizer.zero_grad()
        loss(x, step).mean().backward()
        optimizer.step()
        falling.step()


# %%
# Losses of a score. Implicit, sliced and finite-difference matching see the data alone; the explicit loss is
# told the true score and is what the others equal up to a constant.

learned = {}
of_scores = {
    "explicit": lambda s, x, k: objectives.explicit(s, x, law.score),
    "implicit, exact trace": lambda s, x, k: objectives.implicit(s, x),
    "sliced": lambda s, x, k: objectives.sliced(s, x, seed=k),
    "finite differences": lambda s, x, k: objectives.finite_difference_sliced(s, x, step=0.01, seed=k),
    "implicit, one probe": lambda s, x, k: objectives.implicit(s, x, probes=1, seed=k),
    "denoising, sigma 0.3": lambda s, x, k: objectives.denoising(s, x, 0.3, seed=k),
}
for name, objective in of_scores.items():
    score = network(2)
    train(score, lambda x, k, s=score, f=objective: f(s, x, k))
    learned[name] = score

# %%
# Many noise levels at once: the model that samplers take. It learns the scores of all of them, for which it gets
# more steps; here it is asked at a small one.

model = Denoiser(ResidualMLP(2, width=48, depth=2), sigma_max=20.0)
weighting, density = objectives.EDM(), levels.LogNormal(-0.5, 1.2)
train(model, lambda x, k: objectives.multilevel(model, x, density, weighting, seed=k), steps=1200)
learned["many noise levels"] = at(model.eval(), Level(1.0, 0.1))

# %%
# Losses of an energy, without derivatives in x: comparisons with noise, with neighbours, with the model's own
# draws.

noise = torch.distributions.MultivariateNormal(data.mean(0), 1.5 * data.T.cov())


def negatives(energy, start, k):
    return langevin.adjusted(energy, start, 0.15, 4, seed=k, burn_in=3).state


of_energies = {
    "noise contrast": lambda e, x, k: objectives.noise_contrastive(
        e, x, noise.sample((5, len(x))), noise.log_prob, e.log_normaliser
    ),
    "conditional noise contrast": lambda e, x, k: objectives.conditional_noise_contrastive(
        e, x, contrastive.perturbed(x, 0.7, 5, seed=k)
    ),
    "probability flow": lambda e, x, k: objectives.minimum_probability_flow(
        e, x, contrastive.perturbed(x, 0.5, 5, seed=k)
    ),
    "contrastive divergence": lambda e, x, k: objectives.contrastive_divergence(e, x, negatives(e, x, k)),
}
LEVEL = Level(1.0, 0.7)


def recovery(e, x, k):
    noisy = x + LEVEL.sigma * torch.randn_like(x)
    given = contrastive.recovery_energy(e, noisy, LEVEL)
    return objectives.recovery_likelihood(e, x, noisy, LEVEL, negatives(given, noisy, k)[None])


of_energies["recovery likelihood"] = recovery
for name, objective in of_energies.items():
    energy = Energy()
    train(energy, lambda x, k, e=energy, f=objective: f(e, x, k), steps=250)
    learned[name] = energy.score

# %%
# The learned fields over the true density. Denoising at one level learns the score of the data *with that noise
# on them*, so part of what it is off by is that noise.

side = torch.linspace(-3, 3, 13)
grid = torch.cartesian_prod(side, side)
fine = torch.linspace(-3.2, 3.2, 120)
density = law.log_density(torch.cartesian_prod(fine, fine)).exp().reshape(120, 120).T
near = law.log_density(grid) > -8

figure, axes = plt.subplots(3, 4, figsize=(10, 7.8), layout="constrained", sharex=True, sharey=True)
for axis, (name, score) in zip(axes.flat, learned.items(), strict=True):
    with torch.no_grad():
        error = (score(fresh) - law.score(fresh)).square().sum() / law.score(fresh).square().sum()
        arrows = score(grid[near])
    print(f"{name:28} {float(error) ** 0.5:.2f}")
    axis.contourf(fine, fine, density, levels=8, cmap="Blues")
    axis.quiver(*grid[near].T, *arrows.T, angles="xy", scale=60, width=0.006, color="#333333")
    axis.set(title=f"{name}\nerror {float(error) ** 0.5:.2f}", aspect="equal", xticks=[-2, 0, 2], yticks=[-2, 0, 2])
plt.show()
