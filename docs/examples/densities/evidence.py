"""
How much mass an energy has
===========================

Annealed importance sampling finds the normalising constant of a posterior with its error, and compares two models.

The question is a Bayesian one: does the smoothness of a tumour help to tell whether it is malignant, beside its
size and texture? The marginal likelihoods of the two logistic regressions answer it.
"""

import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_breast_cancer
from torch.nn.functional import softplus

from scorefield import mcmc

table = load_breast_cancer(as_frame=True)
columns = ["mean texture", "mean area", "mean smoothness"]
X = torch.tensor(table.data[columns].to_numpy())[::3]
X = torch.cat([torch.ones(len(X), 1), (X - X.mean(0)) / X.std(0)], 1).double()
sign = (1 - 2 * torch.tensor(table.target.to_numpy()).double())[::3]  # 1: malignant
SCALE = 2.5  # of the prior of each coefficient


def regression(X):
    def base(beta):
        return (beta.square() / (2 * SCALE**2)).sum(1) + X.shape[1] * math.log(SCALE * math.sqrt(2 * math.pi))

    def energy(beta):
        return softplus(-sign * (beta @ X.T)).sum(1) + base(beta)

    return base, energy


def evidence(X):
    base, energy = regression(X)
    start = SCALE * torch.randn(150, X.shape[1], generator=torch.Generator().manual_seed(0)).double()
    rungs = mcmc.tuned_ladder(energy, start[:4], 12, seed=0, base=base, step=0.2, leaps=2, rounds=2, steps=10)
    return mcmc.annealed_importance(energy, start, rungs, base=base, seed=1, leaps=2, moves=2, resample=0.5)


with_it, without = evidence(X), evidence(X[:, :3])
print("with smoothness:   ", with_it)
print("without smoothness:", without)

# %%
# The posterior itself, by Hamiltonian Monte Carlo; chains from the prior's middle.

chains = mcmc.hmc(regression(X)[1], torch.zeros(4, 4).double(), 0.1, 300, seed=0, leaps=5, burn_in=150, adapt="dense")
print(chains)
print("R-hat", mcmc.diagnostics.rank_r_hat(chains.samples).round(decimals=3).tolist())

# %%
# Left the coefficients, right the evidence of both models.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained", width_ratios=(2, 1))
draws = chains.pooled
grid = torch.linspace(-2.5, 8, 300).double()
for k, name in enumerate(["intercept", *columns]):
    axes[0].hist(draws[:, k].numpy(), bins=40, density=True, histtype="stepfilled", alpha=0.6, label=name)
axes[0].plot(
    grid, (-(grid**2) / (2 * SCALE**2)).exp() / (SCALE * math.sqrt(2 * math.pi)), "--", color="#666666", label="prior"
)
axes[0].axvline(0, color="#bbbbbb", lw=1)
axes[0].set(xlabel="coefficient", ylabel="posterior density")
axes[0].legend(frameon=False, fontsize=8)
values = [without.log_z, with_it.log_z]
errors = [1.96 * found.standard_error for found in (without, with_it)]
axes[1].errorbar(
    [0, 1], [float(v) for v in values], yerr=[float(e) for e in errors], fmt="o", capsize=4, color="#0072b2"
)
axes[1].set(xticks=[0, 1], xticklabels=["without", "with smoothness"], xlim=(-0.6, 1.6), ylabel="log-evidence (nats)",
            title=f"log Bayes factor {float(values[1] - values[0]):.1f}")  # fmt: skip
plt.show()
