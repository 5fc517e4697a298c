"""Samples of chains for ArviZ."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from scorefield._optional import package

Groups = Mapping[str, Mapping[str, np.ndarray]]


def from_dict(arviz: Any, groups: Groups) -> Any:
    """Groups of variables `(chain, draw, *shape)` as ArviZ keeps them: each an argument, since 1.0 all in one."""
    whole = "posterior" not in inspect.signature(arviz.from_dict).parameters
    return arviz.from_dict(groups) if whole else arviz.from_dict(**groups)


def inference_data(samples: Tensor, names: Sequence[str] | None, acceptance: Tensor | None) -> Any:
    """Samples `(kept, n, *shape)` as n chains of ArviZ, with the acceptance of each as an attribute of every draw."""
    arviz = package("arviz", "to_arviz", "arviz>=0.20")
    draws = samples.detach().cpu().transpose(0, 1).numpy()
    posterior = {"x": draws}
    if names is not None:
        if draws.ndim != 3 or len(set(names)) != draws.shape[2] or len(names) != draws.shape[2]:
            raise ValueError(f"names must be {draws.shape[2:]} different names of the coordinates, got {list(names)}.")
        posterior = {name: draws[:, :, j] for j, name in enumerate(names)}
    groups: dict[str, dict[str, np.ndarray]] = {"posterior": posterior}
    if acceptance is not None:
        rate = acceptance.detach().cpu().numpy()
        groups["sample_stats"] = {"acceptance_rate": np.repeat(rate[:, None], draws.shape[1], 1)}
    return from_dict(arviz, groups)
