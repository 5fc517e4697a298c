"""What a page may request: its numbers are the library's own, identities hold, faults are named in a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from explorer_queries import LAW, NONE, TWO, query, same, stream
from scorefield import langevin, log_density, metrics, objectives
from scorefield.analytic import Empirical
from scorefield.conditioning.editing import Route, invert
from scorefield.core import Level
from scorefield.explorer.queries import QUERIES
from scorefield.explorer.queries.diffusion import PLANS, SCHEDULES
from scorefield.explorer.queries.laws import PRESETS, noised
from scorefield.explorer.queries.params import read

# ------------------------------------------------------------------------------------------------------------ field


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_offered_as_they_are_taken(name: str) -> None:
    given = next(p["mixture"] for p in query("field.presets")["presets"] if p["name"] == name)
    assert len(given["weights"]) <= 16
    by_value, by_name = (query("field.grid", mixture=m, n=5) for m in (given, name))
    same(by_value["log_density"], torch.as_tensor(by_name["log_density"]))


def test_a_grid_holds_density_and_score() -> None:
    r = query("field.grid", mixture=TWO, sigma=0.7, x_range=[-3, 3], y_range=[-2, 4], n=7, arrows=3)
    nodes = torch.tensor([[x, y] for y in r["y"].tolist() for x in r["x"].tolist()], dtype=torch.float64)
    level = Level(1.0, 0.7)
    same(r["log_density"], LAW.log_density(nodes, level).reshape(7, 7), 1e-4)
    same(r["score"], LAW.score(torch.as_tensor(r["at"]).double().reshape(-1, 2), level).reshape(3, 3, 2), 1e-4)
    assert r["max"] == pytest.approx(float(r["log_density"].max()))
    assert r["longest"] == pytest.approx(float(np.linalg.norm(r["score"], axis=2).max()), rel=1e-5)


def test_points_make_a_law_of_their_own() -> None:
    points = [[0.0, 0.0], [1.0, 2.0]]
    r = query("field.grid", points=points, sigma=0.5, n=4)
    nodes = torch.tensor([[x, y] for y in r["y"].tolist() for x in r["x"].tolist()])
    same(r["log_density"], Empirical(torch.tensor(points)).log_density(nodes, Level(1.0, 0.5)).reshape(4, 4), 1e-4)
    with pytest.raises(ValueError, match="sigma = 0"):
        query("field.grid", points=points, sigma=0)


@pytest.mark.parametrize("source", [{"mixture": TWO}, {"points": [[0, 0], [1, 1]]}])
def test_the_identities_at_a_point(source: dict[str, Any]) -> None:
    r = query("field.point", **source, sigma=0.8, x=[0.5, -0.2], count=50, seed=3)
    assert max(r["residuals"].values()) < 1e-13
    x0, eps, score = (np.array(r[name]) for name in ("x0", "eps", "score"))
    np.testing.assert_allclose(x0 + 0.8 * eps, [0.5, -0.2], atol=1e-12)
    np.testing.assert_allclose(score, -eps / 0.8, atol=1e-12)
    cloud = query(
        "field.cloud", **source, sigma=0.8, clean=[1, 1], count=50
    )  # the score that belongs to one clean point is linear in the noisy one
    np.testing.assert_allclose(cloud["conditional"], (np.array([1, 1]) - cloud["points"]) / 0.64, atol=1e-4)


def test_the_marginal_score_is_the_mean_over_the_clean_points_that_it_may_come_from() -> None:
    r = query("field.point", mixture=TWO, sigma=0.8, x=[0.5, -0.2], count=5000)
    mean, error = np.array(r["candidates"]["mean"]), np.array(r["candidates"]["standard_error"])
    assert (np.abs(mean - r["score"]) < 4.5 * error).all() and (error < 0.05).all()


# -------------------------------------------------------------------------------------------------------- langevin


def test_chains_are_the_librarys_and_do_not_depend_on_the_pauses() -> None:
    settings: dict[str, Any] = {"mixture": TWO, "n": 64, "step": 0.05, "sigma": 0.3, "steps": 10, "seed": 5}
    often, once = (stream("langevin.run", **settings, every=k) for k in (3, 10))
    assert [part["step"] for part in often] == [0, 3, 6, 9, 10]
    same(often[-1]["positions"], torch.as_tensor(once[-1]["positions"]))
    start = stream("langevin.run", **settings)[0]["positions"]
    level = Level(1.0, 0.3)
    chains = langevin.unadjusted(lambda x: LAW.score(x, level), torch.as_tensor(start).double(), 0.05, 10, seed=5)
    same(once[-1]["positions"], chains.state, 1e-4)
    x = chains.state
    assert once[-1]["sliced_wasserstein"] == pytest.approx(
        metrics.sliced_wasserstein(x, LAW.sample(64, 6, level), projections=16), abs=1e-5
    )
    same(once[-1]["mean"], x.mean(0), 1e-4)
    same(once[-1]["exact"]["covariance"], LAW.covariance + 0.09 * torch.eye(2))
    assert sum(once[-1]["mode_weights"]) == pytest.approx(1)


def test_adjusted_chains_keep_the_exact_law_at_a_step_at_which_others_do_not() -> None:
    settings: dict[str, Any] = {"mixture": "correlated", "n": 2000, "step": 0.35, "steps": 100, "every": 100}
    kept, biased = (stream("langevin.run", **settings, adjusted=a)[-1] for a in (True, False))
    across = [(r["positions"] @ np.array([1, -1]) / np.sqrt(2)).var() for r in (kept, biased)]
    error = 4.5 * np.sqrt(2 / 2000)
    assert across == [  # the law's variance there is 0.4, the unadjusted chains' 0.4 / (1 - step / 0.8)
        pytest.approx(0.4, rel=error),
        pytest.approx(0.4 / (1 - 0.35 / 0.8), rel=error),
    ]
    assert 0.1 < kept["acceptance"] < 1 and biased["acceptance"] is None  # unadjusted chains reject nothing


def test_one_level_does_not_cross_and_annealing_does() -> None:
    one = stream("langevin.run", start="first mode", n=500, step=0.05, every=100)[-1]
    many = stream("langevin.run", annealed=True, n=500, step=0.2, steps=400, every=100)[-1]
    assert one["mode_weights"][0] > 0.9 and abs(many["mode_weights"][0] - 0.5) < 0.1
    assert many["sigma"] == pytest.approx(0.01)


def test_a_step_too_large_ends_in_a_word() -> None:
    last = stream("langevin.run", n=10, step=50.0)[-1]
    assert "too large" in last["diverged"] and np.isfinite(last["positions"]).all()


def test_the_noised_mixture_is_the_law_of_noised_data() -> None:
    x = LAW.sample(20, 0)
    for level in (Level(1.0, 0.7), Level(0.4, 0.9)):
        same(noised(LAW, level).log_density(x), LAW.log_density(x, level))


# ------------------------------------------------------------------------------------------------------- diffusion


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_way_up_has_the_schedules_levels(schedule: str) -> None:
    r = query("diffusion.forward", mixture=TWO, schedule=schedule, n=4000, times=3)
    level = SCHEDULES[schedule](torch.as_tensor(r["time"]))
    same(r["alpha"], torch.as_tensor(level.alpha).expand(3))
    same(r["sigma"], torch.as_tensor(level.sigma))
    spread = np.sqrt(r["alpha"] ** 2 * float(LAW.covariance[0, 0]) + r["sigma"] ** 2)
    np.testing.assert_allclose(r["positions"][:, :, 0].std(1), spread, rtol=4.5 / np.sqrt(8000))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("plan", PLANS)
def test_every_plan_runs_on_every_schedule(plan: str, schedule: str) -> None:
    r = query("diffusion.sample", mixture=TWO, plan=plan, schedule=schedule, grid="schedule", steps=9, n=40, seed=2)
    k = r["evaluations"]
    assert k in (8, 9) and r["trajectory"].shape == r["unit"].shape == (k + 1, 40, 2) and len(r["c"]) == k
    assert (r["error"] is None) == r["stochastic"]
    if r["stochastic"]:
        return
    x = torch.as_tensor(r["trajectory"][-2]).double()  # the last row, by hand, where it uses its own estimate alone
    if not r["P"][-1, :-1].any() and not r["E"][-1, :-1].any():
        estimate = LAW(x, Level(float(r["alpha"][-2]), float(r["sigma"][-2])))
        same(r["trajectory"][-1], r["P"][-1, -1] * estimate.x0 + r["E"][-1, -1] * estimate.eps, 1e-4)


def test_the_error_is_the_distance_from_the_exact_ends() -> None:
    r = query("diffusion.sample", mixture=TWO, plan="ddim", steps=20, n=100)
    each = ((r["trajectory"][-1] - r["ends"]) ** 2).mean(1) / (r["ends"] ** 2).mean()
    assert r["error"]["rms"] == pytest.approx(float(np.sqrt(each.mean())), rel=1e-4)
    few, more = (query("diffusion.sample", plan="ddim", steps=k)["error"]["median"] for k in (40, 80))
    assert 1.5 < few / more < 2.7  # order 1


def test_plans_on_one_grid_start_from_one_noise() -> None:
    starts = [query("diffusion.sample", plan=p, n=5, seed=4)["trajectory"][0] for p in ("ddim", "ancestral", "heun")]
    for other in starts[1:]:
        np.testing.assert_array_equal(starts[0], other)


def test_plans_are_listed() -> None:
    assert [p["name"] for p in query("diffusion.plans")["plans"]] == list(PLANS)


# ----------------------------------------------------------------------------------------------------------- learn

OBJECTIVES = ["explicit", "implicit", "sliced", "finite-difference sliced", "denoising", "multi-level"]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_learning_nears_the_exact_field_and_the_floor(objective: str) -> None:
    first, *_, last = stream("learn.train", objective=objective, steps=60, every=20, width=32, sigma=0.7, n=5)
    assert first["step"] == 0 and first["loss"] is None and last["step"] == 60
    assert last["rms"] < 0.6 * first["rms"] and last["milliseconds"] > 0
    assert last["loss"] > last["floor"] - max(0.5, 0.2 * abs(last["floor"]))
    two = PRESETS["two modes"]
    sigma = 0.7 if objective in ("denoising", "multi-level") else 0.0
    assert first["sigma"] == sigma
    at = torch.as_tensor(first["at"]).double().reshape(-1, 2)
    same(first["exact"], two.score(at, Level(1.0, sigma)).reshape(5, 5, 2), 1e-5)
    np.testing.assert_allclose(last["error"], np.linalg.norm(last["learned"] - first["exact"], axis=2), atol=1e-4)


def test_the_floor_of_denoising_is_the_librarys() -> None:
    first = next(iter(stream("learn.train", objective="denoising", sigma=0.4, steps=1, every=1)))
    assert first["floor"] == objectives.denoising_floor(PRESETS["two modes"], 0.4, 8192, 0).value


def test_training_is_determined_by_its_seed() -> None:
    one, two, other = (stream("learn.train", steps=4, every=2, seed=s)[-1]["loss"] for s in (1, 1, 2))
    assert one == two != other


def test_the_cost_of_the_exact_trace_grows_with_the_dimension() -> None:
    low, high = stream("learn.cost", dimensions=[2, 100], width=32)
    assert high["implicit"] > 3 * high["denoising"] and low["dimension"] == 2


@pytest.mark.parametrize("name", ["langevin.run", "learn.train", "learn.cost"])
def test_streams_can_be_closed_midway(name: str) -> None:
    entry = QUERIES[name]
    answer = entry.call(read(entry.params, {}), NONE)
    assert next(answer)  # type: ignore[arg-type]
    answer.close()  # type: ignore[union-attr]
    assert list(answer) == []


# --------------------------------------------------------------------------------------------------------- density


def test_the_density_of_a_point_is_the_librarys() -> None:
    x = torch.tensor([[0.4, 0.9]], dtype=torch.float64)
    r = query("density.point", mixture=TWO, x=[0.4, 0.9], divergence="hutchinson", probes=8, seed=2)
    direct = log_density(LAW, x, divergence="hutchinson", probes=8, seed=2)
    assert r["value"] == pytest.approx(float(direct.value), abs=1e-12)
    assert r["interval"] == pytest.approx(direct.interval[0].tolist())
    assert r["evaluations"] == int(direct.evaluations)
    exact = query("density.point", mixture=TWO, x=[0.4, 0.9], sigma=0.5)
    assert exact["exact"] == pytest.approx(float(LAW.log_density(x, Level(1.0, 0.5))))
    assert abs(exact["value"] - exact["exact"]) < 1e-4 and exact["standard_error"] == 0


def test_a_point_goes_to_its_latent_and_back() -> None:
    r = query("density.latent", mixture=TWO, x=[0.4, 0.9], steps=60)
    x = torch.tensor([[0.4, 0.9]], dtype=torch.float64)
    same(r["latent"], invert(LAW, x, Route(60))[0])
    same(r["path"][-1], torch.tensor(r["latent"]), 1e-5)
    assert r["error"] == pytest.approx(float(np.linalg.norm(np.array(r["back"]) - [0.4, 0.9]))) and r["error"] < 1e-3


def test_guidance_of_one_is_the_class_itself() -> None:
    one, none, more = (query("density.guidance", label=1, scale=s, n=2000) for s in (1, 0, 4))
    assert np.allclose(one["mean"], one["exact"]["mean"], atol=0.06) and one["mode_weights"][1] > 0.999
    assert abs(none["mode_weights"][1] - 0.5) < 0.06
    assert more["mean"][0] > one["mean"][0] + 0.1  # beyond the class, away from the other
