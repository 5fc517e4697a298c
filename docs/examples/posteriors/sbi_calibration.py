"""
A posterior from a simulator, and whether it holds
==================================================

From 3,000 simulated epidemics the posterior of two rates is learned, and new simulations tell whether it is calibrated.

Nothing is known of the simulator but what it draws. Parameters of new simulations are ranked among draws from
their posteriors: if these are right, all ranks are equally frequent (simulation-based calibration, Talts and
others 2018).
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

from scorefield.posterior import OutsideWarning, PosteriorEstimator, box, prove

PEOPLE, DAYS = 1000, np.arange(5, 60, 6)


def simulate(theta, seed):
    """How many of 1,000 are reported ill on ten days: infection and recovery at rates theta, reports by chance."""
    rng = np.random.default_rng(seed)
    ill, well, seen = np.full(len(theta), 5.0), np.full(len(theta), PEOPLE - 5.0), []
    for day in range(DAYS[-1] + 1):
        new = rng.binomial(well.astype(int), 1 - np.exp(-theta[:, 0] * ill / PEOPLE))
        gone = rng.binomial(ill.astype(int), 1 - np.exp(-theta[:, 1]))
        well, ill = well - new, ill + new - gone
        if day in DAYS:
            seen.append(rng.binomial(ill.astype(int), 0.5))
    return np.sqrt(np.stack(seen, 1))  # square roots of counts spread evenly


low, high = np.array([0.1, 0.05]), np.array([1.0, 0.3])


def draw(n, seed):
    theta = np.random.default_rng([seed, 1]).uniform(low, high, (n, 2))
    return theta, simulate(theta, seed)


theta, x = draw(3000, seed=0)
prior = box(low.tolist(), high.tolist())
estimator = PosteriorEstimator(prior, by="score", steps=600, names=("infection", "recovery"))
estimator.fit(theta, x)

# %%
# Calibration, by 250 simulations that were not fitted to. One or two of them lie at the rim of those that were,
# of which a warning would tell.

warnings.simplefilter("ignore", OutsideWarning)
new_theta, new_x = draw(250, seed=1)
proof = prove(lambda x, n, seed: estimator.sample_many(x, n, seed=seed), new_theta, new_x,
              names=["infection", "recovery"], n=99)  # fmt: skip
print(proof)

# %%
# One observation: its posterior, what it predicts, and the ranks.

truth = np.array([[0.45, 0.15]])
observed = simulate(truth, seed=7)[0]
draws = estimator.sample(observed, 2000).numpy()
predicted = simulate(draws, seed=8) ** 2

figure, axes = plt.subplots(1, 3, figsize=(11, 3.5), layout="constrained")
band = np.quantile(predicted, [0.05, 0.5, 0.95], axis=0)
axes[0].fill_between(DAYS, band[0], band[2], color="#56b4e9", alpha=0.4, label="predicted, 90 %")
axes[0].plot(DAYS, observed**2, "o", color="#333333", label="observed")
axes[0].set(xlabel="day", ylabel="reported ill", title="the observation")
axes[0].legend(frameon=False)
axes[1].scatter(*draws.T, s=3, alpha=0.3, color="#0072b2")
axes[1].plot(*truth[0], "*", ms=14, color="#d55e00", label="the truth")
axes[1].set(xlabel="infection rate", ylabel="recovery rate", title="2,000 draws of the posterior")
axes[1].legend(frameon=False)
expected = len(new_theta) / 10
axes[2].axhspan(expected - 2 * expected**0.5, expected + 2 * expected**0.5, color="#dddddd", label="even, by chance")
for one, shift in zip(proof.parameters, (-0.02, 0.02), strict=True):
    counts = np.histogram(one.levels, bins=10, range=(0, 1))[0]
    axes[2].bar(np.arange(10) / 10 + 0.05 + shift, counts, width=0.035, label=one.name)
axes[2].set(xlabel="rank of the truth among 99 draws", ylabel="simulations", title="calibration")
axes[2].set(ylim=(0, 2.2 * expected))
axes[2].legend(frameon=False, fontsize=8, loc="upper center", ncols=3)
plt.show()
