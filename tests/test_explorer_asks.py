"""What a page may ask: its numbers are the library's own, identities hold, faults are named in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scorefield.analytic import Empirical, GaussianMixture
from scorefield.core import Level
from scorefield.explorer.asks import ASKS
from scorefield.explorer.asks.laws import PRESETS
from scorefield.explorer.asks.params import read
from scorefield.explorer.session import Session

NONE = Session()
TWO: dict[str, Any] = {"weights": [1, 3], "means": [[-1, 0], [2, 1]], "covariances": [[[1, 0.3], [0.3, 0.5]]] * 2}
LAW = GaussianMixture(*(torch.tensor(TWO[name], dtype=torch.float64) for name in ("weights", "means", "covariances")))


def ask(name: str, **params: Any) -> dict[str, Any]:
    entry = ASKS[name]
    answer = entry.call(read(entry.params, params), NONE)
    assert isinstance(answer, dict)
    return answer


def stream(name: str, **params: Any) -> list[dict[str, Any]]:
    entry = ASKS[name]
    answer = entry.call(read(entry.params, params), NONE)
    assert isinstance(answer, Iterator)
    return list(answer)


def same(one: Any, two: Tensor, rtol: float = 1e-6) -> None:
    np.testing.assert_allclose(np.asarray(one), two.numpy(), rtol=rtol, atol=1e-6)


# ------------------------------------------------------------------------------------------------------------ field


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_offered_as_they_are_taken(name: str) -> None:
    given = next(p["mixture"] for p in ask("field.presets")["presets"] if p["name"] == name)
    assert len(given["weights"]) <= 16
    by_value, by_name = (ask("field.grid", mixture=m, n=5) for m in (given, name))
    same(by_value["log_density"], torch.as_tensor(by_name["log_density"]))


def test_a_grid_holds_density_and_score() -> None:
    r = ask("field.grid", mixture=TWO, sigma=0.7, x_range=[-3, 3], y_range=[-2, 4], n=7, arrows=3)
    nodes = torch.tensor([[x, y] for y in r["y"].tolist() for x in r["x"].tolist()], dtype=torch.float64)
    level = Level(1.0, 0.7)
    same(r["log_density"], LAW.log_density(nodes, level).reshape(7, 7), 1e-4)
    same(r["score"], LAW.score(torch.as_tensor(r["at"]).double().reshape(-1, 2), level).reshape(3, 3, 2), 1e-4)
    assert r["max"] == pytest.approx(float(r["log_density"].max()))
    assert r["longest"] == pytest.approx(float(np.linalg.norm(r["score"], axis=2).max()), rel=1e-5)


def test_points_make_a_law_of_their_own() -> None:
    points = [[0.0, 0.0], [1.0, 2.0]]
    r = ask("field.grid", points=points, sigma=0.5, n=4)
    nodes = torch.tensor([[x, y] for y in r["y"].tolist() for x in r["x"].tolist()])
    same(r["log_density"], Empirical(torch.tensor(points)).log_density(nodes, Level(1.0, 0.5)).reshape(4, 4), 1e-4)
    with pytest.raises(ValueError, match="sigma = 0"):
        ask("field.grid", points=points, sigma=0)


@pytest.mark.parametrize("source", [{"mixture": TWO}, {"points": [[0, 0], [1, 1]]}])
def test_the_identities_at_a_point(source: dict[str, Any]) -> None:
    r = ask("field.point", **source, sigma=0.8, x=[0.5, -0.2], clean=[1, 1], count=50, seed=3)
    assert max(r["residuals"].values()) < 1e-13
    x0, eps, score = (np.array(r[name]) for name in ("x0", "eps", "score"))
    np.testing.assert_allclose(x0 + 0.8 * eps, [0.5, -0.2], atol=1e-12)
    np.testing.assert_allclose(score, -eps / 0.8, atol=1e-12)
    cloud = r["cloud"]  # the score that belongs to one clean point is linear in the noisy one
    np.testing.assert_allclose(cloud["conditional"], (np.array([1, 1]) - cloud["points"]) / 0.64, atol=1e-4)


def test_the_marginal_score_is_the_mean_over_the_clean_points_that_it_may_come_from() -> None:
    r = ask("field.point", mixture=TWO, sigma=0.8, x=[0.5, -0.2], count=5000)
    mean, error = np.array(r["candidates"]["mean"]), np.array(r["candidates"]["standard_error"])
    assert (np.abs(mean - r["score"]) < 4.5 * error).all() and (error < 0.05).all()


# ----------------------------------------------------------------------------------------------------------- faults

FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("field.grid", {"sgima": 1}, "sigma"),
    ("field.grid", {"sigma": "1"}, "number"),
    ("field.grid", {"sigma": True}, "number"),
    ("field.grid", {"sigma": float("nan")}, "finite"),
    ("field.grid", {"sigma": -1}, "from 0"),
    ("field.grid", {"n": 257}, "256"),
    ("field.grid", {"n": 2.5}, "whole"),
    ("field.grid", {"x_range": [1, 1]}, "rise"),
    ("field.grid", {"x_range": [1]}, "2 entries"),
    ("field.grid", {"points": []}, "entries"),
    ("field.grid", {"points": [[0, 0]] * 5001}, "5000"),
    ("field.grid", {"points": [[0, 1e5]]}, "10000"),
    ("field.grid", {"mixture": "nowhere"}, "two modes"),
    ("field.grid", {"mixture": 3}, "object"),
    ("field.grid", {"mixture": {"weights": [1]}}, "means"),
    ("field.grid", {"mixture": {**TWO, "weights": [1, -1]}}, "weights"),
    ("field.grid", {"mixture": {**TWO, "weights": [1]}}, "as many"),
    ("field.grid", {"mixture": {**TWO, "covariances": [[[1, 0], [0.5, 1]]] * 2}}, "symmetric"),
    ("field.grid", {"mixture": {**TWO, "covariances": [[[1, 2], [2, 1]]] * 2}}, "positive definite"),
    ("field.grid", {"mixture": {k: v * 9 for k, v in TWO.items()}}, "16"),
    ("field.grid", {"run": True}, "no run"),
    ("field.point", {"x": [0, 0, 0]}, "2 entries"),
    ("field.point", {"sigma": 0}, "sigma"),
]


@pytest.mark.parametrize(("name", "params", "says"), FAULTS)
def test_faults_are_named(name: str, params: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        ask(name, **params)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ASKS)
def test_params_are_objects(name: str) -> None:
    for wrong in ([], "x", None, 3):
        with pytest.raises(ValueError, match="object"):
            read(ASKS[name].params, wrong)  # type: ignore[arg-type]
