"""k-diffusion's samplers, over all of its grids.

Only its module `sampling` is measured. The package's own first line loads its training code, and with it libraries that
sampling does not use; where they are missing, the module is loaded, unchanged, without that line.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from peers.problems import Counted, Sampler
from scorefield import Level

Grid = Callable[[int, float], Tensor]
"""From the number of levels and the greatest to the levels, and 0."""


def _sampling() -> ModuleType:
    try:
        return importlib.import_module("k_diffusion.sampling")
    except Exception:  # whatever a training library lacks
        for name in [name for name in sys.modules if name.split(".")[0] in ("k_diffusion", "torchvision")]:
            del sys.modules[name]
        found = importlib.util.find_spec("k_diffusion")
        if found is None or found.submodule_search_locations is None:
            raise
        package = ModuleType("k_diffusion")
        package.__path__ = list(found.submodule_search_locations)
        pictures = {name: ModuleType(name) for name in ("torchvision", "torchvision.transforms")}
        pictures["torchvision.transforms"].functional = ModuleType("functional")  # type: ignore[attr-defined]
        sys.modules.update({"k_diffusion": package, **pictures})
        try:
            return importlib.import_module("k_diffusion.sampling")
        finally:
            for name in pictures:
                del sys.modules[name]


sampling = _sampling()


def grids(wide: bool = False) -> dict[str, Grid]:
    made: dict[str, Grid] = {"vp": lambda n, high: _vp(n, high)}
    for least in (0.002, 0.01, 0.03, 0.06) if wide else (0.002, 0.01, 0.03):
        for rho in (3.0, 5.0, 7.0, 10.0) if wide else (5.0, 7.0):
            made[f"karras({rho:g}) to {least:g}"] = lambda n, high, least=least, rho=rho: sampling.get_sigmas_karras(
                n, least, high, rho
            )
        made[f"exponential to {least:g}"] = lambda n, high, least=least: sampling.get_sigmas_exponential(n, least, high)
        for rho in (0.7, 1.5) if wide else ():
            made[f"polyexponential({rho:g}) to {least:g}"] = lambda n, high, least=least, rho=rho: (
                sampling.get_sigmas_polyexponential(n, least, high, rho)
            )
    return made


def _vp(n: int, high: float) -> Tensor:
    """Its VP grid with the constants that make it start at `high`."""
    beta_min = 0.1
    beta_d = 2 * (torch.log1p(torch.tensor(high, dtype=torch.float64) ** 2).item() - beta_min)
    return sampling.get_sigmas_vp(n, beta_d, beta_min)


def denoiser(model: Counted) -> Callable[..., Tensor]:
    """A model as k-diffusion's denoiser; every sample of a batch has one sigma."""
    return lambda x, sigma, **extra: model(x, Level(1.0, sigma[0])).x0


def _run(make: Callable[..., Tensor], grid: Grid, each: int, model: Counted, x: Tensor, n: int, high: float) -> Tensor:
    sigmas = grid((n + each - 1) // each, high).to(x.dtype)
    return make(denoiser(model), x * (sigmas[0] / high), sigmas, disable=True)


def _fast(least: float, model: Counted, x: Tensor, n: int, high: float) -> Tensor:
    return sampling.sample_dpm_fast(denoiser(model), x, least, high, n, disable=True)


def _silent(*_: Any) -> float:
    return 0.0  # with eta = 0 the noise is multiplied by 0; this saves making it


def deterministic(wide: bool = False) -> Iterator[Sampler]:
    quiet = {"eta": 0.0, "noise_sampler": _silent}
    makers: dict[str, tuple[Callable[..., Tensor], int]] = {
        "Euler": (sampling.sample_euler, 1),
        "Heun": (sampling.sample_heun, 2),
        "DPM2": (sampling.sample_dpm_2, 2),
        **{f"LMS{k}": (partial(sampling.sample_lms, order=k), 1) for k in (2, 3, 4)},
        "DPM++ 2S": (partial(sampling.sample_dpmpp_2s_ancestral, **quiet), 2),
        "DPM++ 2M": (sampling.sample_dpmpp_2m, 1),
        "DPM++ 2M, heun": (partial(sampling.sample_dpmpp_2m_sde, solver_type="heun", **quiet), 1),
        "DPM++ 3M": (partial(sampling.sample_dpmpp_3m_sde, **quiet), 1),
    }
    for grid_name, grid in grids(wide).items():
        for name, (make, each) in makers.items():
            yield Sampler(f"{name}, {grid_name}", partial(_run, make, grid, each))
    for least in (0.002, 0.01, 0.03):
        yield Sampler(f"DPM fast to {least:g}", partial(_fast, least))


def stochastic() -> Iterator[Sampler]:
    fresh = {"noise_sampler": lambda x: lambda *_: torch.randn_like(x)}
    makers: dict[str, tuple[Callable[..., Tensor], int]] = {
        "Euler ancestral": (sampling.sample_euler_ancestral, 1),
        "DPM++ 2S ancestral": (sampling.sample_dpmpp_2s_ancestral, 2),
        "DPM++ SDE": (sampling.sample_dpmpp_sde, 2),
        "DPM++ 2M SDE": (sampling.sample_dpmpp_2m_sde, 1),
        "DPM++ 2M SDE, heun": (partial(sampling.sample_dpmpp_2m_sde, solver_type="heun"), 1),
        "DPM++ 3M SDE": (sampling.sample_dpmpp_3m_sde, 1),
        "Heun, churn 10": (partial(sampling.sample_heun, s_churn=10.0), 2),
    }

    def drawn(make: Callable[..., Tensor], denoise: Callable[..., Tensor], x: Tensor, sigmas: Tensor, **extra: Any):
        """Plain normal noise in place of the Brownian tree: the same law, and sooner."""
        if "noise_sampler" in _names(make):
            extra["noise_sampler"] = fresh["noise_sampler"](x)
        return make(denoise, x, sigmas, **extra)

    for grid_name in ("karras(7) to 0.01", "exponential to 0.01", "exponential to 0.03"):
        grid = grids()[grid_name]
        for name, (make, each) in makers.items():
            yield Sampler(f"{name}, {grid_name}", partial(_run, partial(drawn, make), grid, each))


def _names(make: Callable[..., Tensor]) -> tuple[str, ...]:
    import inspect

    return tuple(inspect.signature(make).parameters)


def loop(net: Callable[[Tensor, Tensor], Tensor], kind: str) -> Callable[[Tensor, int], Tensor]:
    """A sampler round a bare network of (x, log ratio), by the cheapest denoiser: `(x, evaluations) -> samples`."""
    make = {
        "Euler": sampling.sample_euler,
        "DPM++ 2M": sampling.sample_dpmpp_2m,
        "DPM++ 2M SDE": sampling.sample_dpmpp_2m_sde,
    }[kind]

    def denoise(x: Tensor, sigma: Tensor, **extra: object) -> Tensor:
        return x - sigma[0] * net(x, sigma[0].log())

    return lambda x, n: make(denoise, x, sampling.get_sigmas_karras(n, 0.002, 80.0), disable=True)


def log_likelihood(model: Counted, x: Tensor, least: float, high: float, tolerance: float) -> Tensor:
    """Its log-likelihood: one Hutchinson probe from torch's global generator."""
    value, _ = sampling.log_likelihood(denoiser(model), x, least, high, atol=tolerance, rtol=tolerance)
    return value
