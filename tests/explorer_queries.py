"""Answers to the explorer's queries as the server computes them, without one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield.analytic import GaussianMixture
from scorefield.explorer.queries import QUERIES
from scorefield.explorer.queries.about import About, about
from scorefield.explorer.queries.params import read
from scorefield.explorer.session import Session

NONE = Session()
TWO: dict[str, Any] = {"weights": [1, 3], "means": [[-1, 0], [2, 1]], "covariances": [[[1, 0.3], [0.3, 0.5]]] * 2}
LAW = GaussianMixture(*(torch.tensor(TWO[name], dtype=torch.float64) for name in ("weights", "means", "covariances")))


def query(name: str, session: Session = NONE, **params: Any) -> dict[str, Any]:
    if name == "session.about":
        return about(About(), session)
    entry = QUERIES[name]
    answer = entry.call(read(entry.params, params), session)
    assert isinstance(answer, dict)
    return answer


def stream(name: str, session: Session = NONE, **params: Any) -> list[dict[str, Any]]:
    entry = QUERIES[name]
    answer = entry.call(read(entry.params, params), session)
    assert isinstance(answer, Iterator)
    return list(answer)


def same(one: Any, two: Tensor, rtol: float = 1e-6) -> None:
    np.testing.assert_allclose(np.asarray(one), two.numpy(), rtol=rtol, atol=1e-6)
