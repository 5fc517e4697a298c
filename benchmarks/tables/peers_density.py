"""Densities of standardised rows by the peers: Gaussian, mixture, kernel density, zuko's flows."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import zuko
from numpy.typing import NDArray
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity

Floats = NDArray[np.float64]

COMPONENTS = (1, 2, 3, 5, 8, 12, 20, 32, 50, 80, 120)
ROWS_PER_COMPONENT = 10
"""Fewer components than rows over this are tried, or 12."""
BANDWIDTHS = np.geomspace(0.02, 2.0, 31)
CROSS_VALIDATED = 3000
"""Up to so many rows the bandwidth is chosen by 5-fold cross-validation, above on the validation rows."""
PATIENCE = 30
"""Passes over the data without a better validation score, after which a flow's training stops."""


@dataclass(frozen=True)
class Rows:
    """Standardised rows to fit: (n, d) for training, (m, d) for choices, and (d,) widths of the noise of a cell."""

    train: Floats
    val: Floats
    widths: Floats

    def noised(self, values: Floats, seed: int) -> Floats:
        return values + self.widths * (np.random.default_rng(seed).random(values.shape) - 0.5)


class Density(Protocol):
    def log_density(self, rows: Floats) -> Floats:
        """(n, d) to (n,)."""
        ...

    def sample(self, n: int, seed: int) -> Floats:
        """(n, d)."""
        ...

    @property
    def note(self) -> str:
        """What was chosen."""
        ...


@dataclass(frozen=True)
class Gaussian:
    mean: Floats
    covariance: Floats
    note: str = "full covariance"

    def log_density(self, rows: Floats) -> Floats:
        return multivariate_normal(self.mean, self.covariance, allow_singular=True).logpdf(rows)

    def sample(self, n: int, seed: int) -> Floats:
        return np.random.default_rng(seed).multivariate_normal(self.mean, self.covariance, n)


def gaussian(rows: Rows, seconds: float, seed: int) -> Density:
    both = np.concatenate([rows.noised(rows.train, seed), rows.noised(rows.val, seed + 1)])
    return Gaussian(both.mean(0), np.cov(both, rowvar=False) + 1e-9 * np.eye(both.shape[1]))


@dataclass(frozen=True)
class Mixture:
    model: GaussianMixture
    note: str

    def log_density(self, rows: Floats) -> Floats:
        return self.model.score_samples(rows)

    def sample(self, n: int, seed: int) -> Floats:
        model = copy.deepcopy(self.model)
        model.set_params(random_state=seed)
        return model.sample(n)[0]


def mixture(rows: Rows, seconds: float, seed: int) -> Density:
    """Components and the form of their covariances by the validation rows, then fitted to all."""
    train, val = rows.noised(rows.train, seed), rows.noised(rows.val, seed + 1)
    ends = time.monotonic() + seconds / 2
    scores: dict[tuple[str, int, float], float] = {}
    for k, form, ridge in itertools.product(COMPONENTS, ("full", "diag", "tied"), (1e-6, 1e-3)):
        if k > max(12, len(train) / ROWS_PER_COMPONENT) or (scores and time.monotonic() > ends):
            continue
        if k > 32 and (form, ridge) != ("full", 1e-6):
            continue
        model = GaussianMixture(k, covariance_type=form, reg_covar=ridge, n_init=2 if len(train) < 5000 else 1)
        scores[form, k, ridge] = model.set_params(random_state=seed).fit(train).score(val)
    form, k, ridge = max(scores, key=lambda key: scores[key])
    starts = 2 if len(train) < 5000 else 1
    best = GaussianMixture(k, covariance_type=form, reg_covar=ridge, n_init=starts, random_state=seed)
    return Mixture(best.fit(np.concatenate([train, val])), f"{k} components, {form}, ridge {ridge:g}")


@dataclass(frozen=True)
class Kernel:
    model: KernelDensity
    note: str

    def log_density(self, rows: Floats) -> Floats:
        return self.model.score_samples(rows)

    def sample(self, n: int, seed: int) -> Floats:
        return self.model.sample(n, random_state=seed)


def kernel(rows: Rows, seconds: float, seed: int) -> Density:
    """Gaussian kernels of one bandwidth on standardised columns."""
    train, val = rows.noised(rows.train, seed), rows.noised(rows.val, seed + 1)
    both = np.concatenate([train, val])
    if len(both) <= CROSS_VALIDATED:
        search = GridSearchCV(KernelDensity(), {"bandwidth": BANDWIDTHS}, cv=5).fit(both)
        width = float(search.best_params_["bandwidth"])
    else:
        few = val[:500]
        scores = [KernelDensity(bandwidth=h, rtol=1e-4).fit(train).score(few) for h in BANDWIDTHS]
        width = float(BANDWIDTHS[int(np.argmax(scores))])
    return Kernel(KernelDensity(bandwidth=width, rtol=1e-4).fit(both), f"bandwidth {width:.3f}")


@dataclass(frozen=True)
class Flow:
    model: zuko.flows.Flow
    note: str

    @torch.no_grad()
    def log_density(self, rows: Floats) -> Floats:
        parts = torch.as_tensor(rows, dtype=torch.float32).split(1000)
        return torch.cat([self.model().log_prob(x) for x in parts]).double().numpy()

    @torch.no_grad()
    def sample(self, n: int, seed: int) -> Floats:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.model().sample((n,)).double().numpy()


def trained(model: zuko.flows.Flow, rows: Rows, rate: float, seconds: float, seed: int) -> tuple[float, str]:
    """Fits by maximum likelihood with fresh noise in every pass, stops early, keeps the best: its validation score."""
    train, widths = (torch.as_tensor(a, dtype=torch.float32) for a in (rows.train, rows.widths))
    val = torch.as_tensor(
        np.concatenate([rows.noised(rows.val, seed + k) for k in range(1 if len(rows.val) > 500 else 4)]),
        dtype=torch.float32,
    )
    batch = 64 if len(train) < 2000 else 256
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-4)
    best, held, since, passes = -float("inf"), copy.deepcopy(model.state_dict()), 0, 0
    ends = time.monotonic() + seconds
    while since < PATIENCE and time.monotonic() < ends:
        noisy = train + widths * (torch.rand(train.shape) - 0.5)
        for index in torch.randperm(len(train)).split(batch):
            loss = -model().log_prob(noisy[index]).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            if time.monotonic() > ends:
                break
        with torch.no_grad():
            score = float(model().log_prob(val).mean())
        passes, since = passes + 1, since + 1
        if score > best:
            best, held, since = score, copy.deepcopy(model.state_dict()), 0
    model.load_state_dict(held)
    return best, f"{passes} passes{'' if since >= PATIENCE else ' (out of time)'}"


Make = Callable[[int], zuko.flows.Flow]


def best_flow(settings: dict[str, tuple[Make, float]], rows: Rows, seconds: float, seed: int) -> Density:
    """The setting with the better validation score, each trained for half of the time."""
    tried: list[tuple[float, Flow]] = []
    for name, (make, rate) in settings.items():
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = make(rows.train.shape[1])
            score, how = trained(model, rows, rate, seconds / len(settings), seed)
        tried.append((score, Flow(model.eval(), f"{name}, {how}")))
    return max(tried, key=lambda pair: pair[0])[1]


def maf(rows: Rows, seconds: float, seed: int) -> Density:
    """MaskedObjective autoregressive flow. Papamakarios, Pavlakou and Murray (2017)."""
    settings: dict[str, tuple[Make, float]] = {
        "3 x (64, 64)": (lambda d: zuko.flows.MAF(d, transforms=3, hidden_features=(64, 64)), 1e-3),
        "5 x (128, 128)": (lambda d: zuko.flows.MAF(d, transforms=5, hidden_features=(128, 128)), 1e-3),
    }
    return best_flow(settings, rows, seconds, seed)


def nsf(rows: Rows, seconds: float, seed: int) -> Density:
    """Neural spline flow. Durkan et al. (2019)."""
    settings: dict[str, tuple[Make, float]] = {
        "2 x (64, 64), 8 bins": (lambda d: zuko.flows.NSF(d, bins=8, transforms=2, hidden_features=(64, 64)), 1e-3),
        "3 x (128, 128), 16 bins": (
            lambda d: zuko.flows.NSF(d, bins=16, transforms=3, hidden_features=(128, 128)),
            1e-3,
        ),
    }
    return best_flow(settings, rows, seconds, seed)


Fit = Callable[[Rows, float, int], Density]
METHODS: dict[str, Fit] = {"gaussian": gaussian, "mixture": mixture, "kernel": kernel, "MAF": maf, "NSF": nsf}
