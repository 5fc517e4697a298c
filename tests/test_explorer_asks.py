"""What a page may ask: its numbers are the library's own, identities hold, faults are named in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from explorer_runs import digits_session, points_session, table_session
from scorefield import langevin, log_density, metrics, objectives
from scorefield.analytic import Empirical, GaussianMixture
from scorefield.core import Level
from scorefield.data import load
from scorefield.editing import Route, interpolate, invert, partial_noise
from scorefield.explorer.asks import ASKS
from scorefield.explorer.asks.diffusion import PLANS, SCHEDULES
from scorefield.explorer.asks.laws import PRESETS, noised
from scorefield.explorer.asks.params import read
from scorefield.explorer.session import About, Session, about
from scorefield.fitting import Parts
from scorefield.model import at
from scorefield.trained import TrainedModel

NONE = Session()
TWO: dict[str, Any] = {"weights": [1, 3], "means": [[-1, 0], [2, 1]], "covariances": [[[1, 0.3], [0.3, 0.5]]] * 2}
LAW = GaussianMixture(*(torch.tensor(TWO[name], dtype=torch.float64) for name in ("weights", "means", "covariances")))


def ask(name: str, session: Session = NONE, **params: Any) -> dict[str, Any]:
    if name == "session.about":
        return about(About(), session)
    entry = ASKS[name]
    answer = entry.call(read(entry.params, params), session)
    assert isinstance(answer, dict)
    return answer


def stream(name: str, session: Session = NONE, **params: Any) -> list[dict[str, Any]]:
    entry = ASKS[name]
    answer = entry.call(read(entry.params, params), session)
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
    r = ask("field.point", **source, sigma=0.8, x=[0.5, -0.2], count=50, seed=3)
    assert max(r["residuals"].values()) < 1e-13
    x0, eps, score = (np.array(r[name]) for name in ("x0", "eps", "score"))
    np.testing.assert_allclose(x0 + 0.8 * eps, [0.5, -0.2], atol=1e-12)
    np.testing.assert_allclose(score, -eps / 0.8, atol=1e-12)
    cloud = ask(
        "field.cloud", **source, sigma=0.8, clean=[1, 1], count=50
    )  # the score that belongs to one clean point is linear in the noisy one
    np.testing.assert_allclose(cloud["conditional"], (np.array([1, 1]) - cloud["points"]) / 0.64, atol=1e-4)


def test_the_marginal_score_is_the_mean_over_the_clean_points_that_it_may_come_from() -> None:
    r = ask("field.point", mixture=TWO, sigma=0.8, x=[0.5, -0.2], count=5000)
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
    assert 0.1 < kept["acceptance"] < 1 == biased["acceptance"]


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
    r = ask("diffusion.forward", mixture=TWO, schedule=schedule, n=4000, times=3)
    level = SCHEDULES[schedule](torch.as_tensor(r["time"]))
    same(r["alpha"], torch.as_tensor(level.alpha).expand(3))
    same(r["sigma"], torch.as_tensor(level.sigma))
    spread = np.sqrt(r["alpha"] ** 2 * float(LAW.covariance[0, 0]) + r["sigma"] ** 2)
    np.testing.assert_allclose(r["positions"][:, :, 0].std(1), spread, rtol=4.5 / np.sqrt(8000))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("plan", PLANS)
def test_every_plan_runs_on_every_schedule(plan: str, schedule: str) -> None:
    r = ask("diffusion.sample", mixture=TWO, plan=plan, schedule=schedule, grid="schedule", steps=9, n=40, seed=2)
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
    r = ask("diffusion.sample", mixture=TWO, plan="ddim", steps=20, n=100)
    each = ((r["trajectory"][-1] - r["ends"]) ** 2).mean(1) / (r["ends"] ** 2).mean()
    assert r["error"]["rms"] == pytest.approx(float(np.sqrt(each.mean())), rel=1e-4)
    few, more = (ask("diffusion.sample", plan="ddim", steps=k)["error"]["median"] for k in (40, 80))
    assert 1.5 < few / more < 2.7  # order 1


def test_plans_on_one_grid_start_from_one_noise() -> None:
    starts = [ask("diffusion.sample", plan=p, n=5, seed=4)["trajectory"][0] for p in ("ddim", "ancestral", "heun")]
    for other in starts[1:]:
        np.testing.assert_array_equal(starts[0], other)


def test_plans_are_listed() -> None:
    assert [p["name"] for p in ask("diffusion.plans")["plans"]] == list(PLANS)


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
    entry = ASKS[name]
    answer = entry.call(read(entry.params, {}), NONE)
    assert next(answer)  # type: ignore[arg-type]
    answer.close()  # type: ignore[union-attr]
    assert list(answer) == []


# --------------------------------------------------------------------------------------------------------- density


def test_the_density_of_a_point_is_the_librarys() -> None:
    x = torch.tensor([[0.4, 0.9]], dtype=torch.float64)
    r = ask("density.point", mixture=TWO, x=[0.4, 0.9], divergence="hutchinson", probes=8, seed=2)
    direct = log_density(LAW, x, divergence="hutchinson", probes=8, seed=2)
    assert r["value"] == pytest.approx(float(direct.value), abs=1e-12)
    assert r["interval"] == pytest.approx(direct.interval[0].tolist())
    assert r["evaluations"] == int(direct.evaluations)
    exact = ask("density.point", mixture=TWO, x=[0.4, 0.9], sigma=0.5)
    assert exact["exact"] == pytest.approx(float(LAW.log_density(x, Level(1.0, 0.5))))
    assert abs(exact["value"] - exact["exact"]) < 1e-4 and exact["standard_error"] == 0


def test_a_point_goes_to_its_latent_and_back() -> None:
    r = ask("density.latent", mixture=TWO, x=[0.4, 0.9], steps=60)
    x = torch.tensor([[0.4, 0.9]], dtype=torch.float64)
    same(r["latent"], invert(LAW, x, Route(60))[0])
    same(r["path"][-1], torch.tensor(r["latent"]), 1e-5)
    assert r["error"] == pytest.approx(float(np.linalg.norm(np.array(r["back"]) - [0.4, 0.9]))) and r["error"] < 1e-3


def test_guidance_of_one_is_the_class_itself() -> None:
    one, none, more = (ask("density.guidance", label=1, scale=s, n=2000) for s in (1, 0, 4))
    assert np.allclose(one["mean"], one["exact"]["mean"], atol=0.06) and one["mode_weights"][1] > 0.999
    assert abs(none["mode_weights"][1] - 0.5) < 0.06
    assert more["mean"][0] > one["mean"][0] + 0.1  # beyond the class, away from the other


# ------------------------------------------------------------------------------------------------------------ runs


@pytest.fixture(scope="module")
def points() -> Session:
    return points_session()


@pytest.fixture(scope="module")
def table() -> Session:
    return table_session()


@pytest.fixture(scope="module")
def digits() -> Session:
    return digits_session()


def test_a_run_of_points_has_a_field(points: Session) -> None:
    run = points.run
    assert isinstance(run, TrainedModel)
    r = ask("field.grid", points, run=True, sigma=0.5, n=6, arrows=3, landscape=True)
    nodes = torch.as_tensor(r["at"]).reshape(-1, 2)
    with torch.no_grad():
        same(r["score"], at(run.model, Level(1.0, 0.5))(nodes).reshape(3, 3, 2), 1e-4)
    assert r["log_density"].shape == (6, 6) and np.isfinite(r["log_density"]).all()
    assert ask("field.grid", points, run=True)["log_density"] is None
    assert ask("field.cloud", points, run=True, clean=[0, 0], count=10)["points"].shape == (10, 2)
    p = ask("field.point", points, run=True, x=[0.3, 0.4], count=10)
    assert p["log_density"] is None and max(p["residuals"].values()) < 1e-5
    d = ask("density.point", points, run=True, x=[0.3, 0.4])
    direct = log_density(run.model, torch.tensor([[0.3, 0.4]], dtype=torch.float64))
    assert d["value"] == pytest.approx(float(direct.value)) and d["exact"] is None
    assert ask("density.latent", points, run=True, x=[0.3, 0.4])["error"] < 1e-2
    with pytest.raises(ValueError, match="trained for sigma"):
        ask("field.grid", points, run=True, sigma=500)
    with pytest.raises(ValueError, match="images"):
        ask("images.sample", points)


@pytest.mark.parametrize("kind", ["points", "table"])
def test_chains_and_samplers_take_a_run(kind: str, request: pytest.FixtureRequest) -> None:
    session: Session = request.getfixturevalue(kind)
    model: Any = session.run.model  # type: ignore[union-attr]
    assert ask("session.about", session)["kind"] == "points"
    settings: dict[str, Any] = {"run": True, "n": 40, "step": 0.02, "sigma": 0.3, "steps": 4, "every": 4}
    *_, last = stream("langevin.run", session, **settings)
    start = torch.as_tensor(stream("langevin.run", session, **settings)[0]["positions"])
    chains = langevin.unadjusted(at(model, Level(1.0, 0.3)), start, 0.02, 4, seed=0)
    same(last["positions"], chains.state, 1e-4)
    assert last["mode_weights"] is None and last["exact"]["mode_weights"] is None and last["sliced_wasserstein"] > 0
    assert stream("langevin.run", session, **{**settings, "steps": 40, "every": 40}, annealed=True)[-1]["step"] == 40
    for refused in ({"adjusted": True}, {"start": "first mode"}):
        with pytest.raises(ValueError, match="modes"):
            stream("langevin.run", session, **settings, **refused)
    few, more = (ask("diffusion.sample", session, run=True, plan="unipc", steps=k, n=20) for k in (20, 40))
    assert few["error"]["rms"] > 3 * more["error"]["rms"]  # of order 2 and more
    for schedule in SCHEDULES:  # also where a schedule's own last times lie below what the model was trained for
        r = ask("diffusion.sample", session, run=True, plan="euler", schedule=schedule, steps=20, n=10)
        assert r["evaluations"] == 20 and np.isfinite(r["unit"]).all()
        assert ask("diffusion.paths", session, run=True, schedule=schedule, n=8)["apart"] < 0.05


def test_a_table_of_two_numbers_is_a_run_of_points(table: Session, digits: Session) -> None:
    model: Any = table.run.model  # type: ignore[union-attr]
    x = torch.tensor([[0.3, 0.4]], dtype=torch.float64)
    d = ask("density.point", table, run=True, x=[0.3, 0.4], tolerance=1e-3)
    assert d["value"] == pytest.approx(float(log_density(model, x, tolerance=1e-3).value))
    assert ask("field.grid", table, run=True, landscape=True, n=5)["log_density"].shape == (5, 5)
    with pytest.raises(ValueError, match="points of the plane"):
        ask("langevin.run", digits, run=True)
    with pytest.raises(ValueError, match="model of a table"):
        ask("images.sample", table)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedules_paths_end_at_the_same_points(schedule: str) -> None:
    one, other = (ask("diffusion.paths", mixture="moons", schedule=s, n=20) for s in (schedule, "vp"))
    assert one["apart"] < 5e-3 and np.abs(one["ends"] - other["ends"]).max() < 0.02 * np.abs(one["ends"]).max()
    np.testing.assert_allclose(one["x"][-1], one["ends"][:, 0], atol=1e-3)
    level = Level(torch.as_tensor(one["alpha"][0]), torch.as_tensor(one["sigma"][0]))
    spread = float(noised(PRESETS["moons"], level).covariance[0, 0].sqrt())
    assert 0.4 * spread < np.std(one["x"][0]) < 1.8 * spread  # of 20 draws, far from a standard error's bound


@pytest.mark.parametrize("network", ["energy", "linear"])
def test_networks_learn_what_they_can(network: str) -> None:
    first, last = stream(
        "learn.train", network=network, mixture="correlated", objective="implicit", steps=150, every=150, rate=0.02
    )
    assert last["rms"] < 0.3 * first["rms"]  # a Gaussian's score is linear, and a gradient


def test_samples_of_images_emerge(digits: Session) -> None:
    run = digits.run
    assert isinstance(run, TrainedModel)
    r = ask("images.sample", digits, n=3, steps=5, seed=2)
    assert r["states"].shape == (6, 3, 8, 8) and r["guesses"].shape == (5, 3, 8, 8) and r["top"] == 16
    drawn = run.sample(3, steps=5, seed=2)
    np.testing.assert_array_equal(np.clip(np.rint(r["states"][-1]), 0, 16), drawn)
    ask("images.sample", digits, n=1, steps=3, label=4, guidance=2.0)
    with pytest.raises(ValueError, match="10 classes"):
        ask("images.sample", digits, label=10)
    with pytest.raises(ValueError, match="plane"):
        ask("field.grid", digits, run=True)


def test_a_held_out_image_at_every_level(digits: Session) -> None:
    run = digits.run
    assert isinstance(run, TrainedModel)
    r, one = ask("images.levels", digits, index=4, count=5), ask("images.denoise", digits, index=4, sigma=20.0)
    assert r["noisy"].shape == r["denoised"].shape == (5, 8, 8) and (np.diff(np.log(r["sigma"])) > 0).all()
    np.testing.assert_allclose(r["denoised"][-1], one["denoised"], atol=1e-4)
    assert r["error"][-1] == pytest.approx(one["error"], rel=1e-4)
    with pytest.raises(ValueError, match="high"):
        ask("images.levels", digits, low=2, high=1)


def test_views_of_a_held_out_image_are_the_librarys(digits: Session) -> None:
    run = digits.run
    assert isinstance(run, TrainedModel)
    dataset = load("digits")
    held = Parts.of(dataset, 0.1, 3).held
    about = ask("images.about", digits)
    assert about["held"] == len(held) and held.labels is not None
    np.testing.assert_array_equal(about["labels"], held.labels)
    r = ask("images.denoise", digits, index=5, sigma=0.7, seed=1)
    noisy = run.add_noise(held.records[5:6], 0.7, 1)
    np.testing.assert_allclose(r["denoised"], run.denoise(noisy, 0.7)[0], rtol=1e-5, atol=1e-4)
    assert r["label"] == held.labels[5] and (r["clean"] == held.records[5]).all()
    a, b = (run.codec.encode(held.records[k : k + 1]) for k in (2, 7))
    with torch.no_grad():
        between = interpolate(run.model, a, b, torch.linspace(0, 1, 3), Route(10))
        back = partial_noise(run.model, a, 0.5, evaluations=6, seed=4)
    r = ask("images.interpolate", digits, i=2, j=7, count=3, steps=10)
    np.testing.assert_allclose(r["frames"], run.codec.decode_floats(between[:, 0]), rtol=1e-4, atol=1e-3)
    r = ask("images.interpolate", digits, i=2, j=7, count=3, through="pixels")
    np.testing.assert_allclose(r["frames"][1], (held.records[2] + held.records[7]) / 2, atol=1e-4)
    r = ask("images.partial", digits, index=2, sigma=0.5, count=2, steps=6, seed=4)
    np.testing.assert_allclose(r["frames"][:1], run.codec.decode_floats(back), rtol=1e-4, atol=1e-3)
    with pytest.raises(ValueError, match="held out"):
        ask("images.denoise", digits, index=500)


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
    ("langevin.run", {"n": 20001}, "20000"),
    ("langevin.run", {"steps": 501}, "500"),
    ("langevin.run", {"annealed": True, "adjusted": True}, "choose one"),
    ("langevin.run", {"annealed": True, "step": 4}, "below 4"),
    ("langevin.run", {"annealed": True, "sigma": 900, "step": 0.1}, "annealing"),
    ("diffusion.sample", {"plan": "dim"}, "ddim"),
    ("diffusion.sample", {"steps": 201}, "200"),
    ("diffusion.sample", {"n": 20000, "steps": 200}, "2,000,000"),
    ("diffusion.forward", {"n": 20000, "times": 200}, "2,000,000"),
    ("diffusion.forward", {"schedule": "none"}, "vp"),
    ("learn.train", {"objective": "magic"}, "denoising"),
    ("learn.train", {"width": 300}, "256"),
    ("learn.cost", {"dimensions": [201]}, "200"),
    ("learn.cost", {"dimensions": [2] * 7}, "entries"),
    ("density.point", {"probes": 0}, "probes"),
    ("density.point", {"divergence": "hutch++", "probes": 2}, "6"),
    ("density.point", {"points": [[0, 0]], "sigma": 0}, "sigma = 0"),
    ("density.latent", {"run": True}, "no run"),
    ("density.guidance", {"label": 2}, "label"),
    ("images.sample", {}, "no run"),
    ("images.sample", {"n": 37}, "36"),
    ("images.denoise", {"index": -1}, "index"),
    ("images.interpolate", {"through": "sky"}, "latents"),
    ("images.partial", {"count": 17}, "16"),
    ("field.point", {"sigma": 0}, "sigma"),
]


@pytest.mark.parametrize(("name", "params", "says"), FAULTS)
def test_faults_are_named(name: str, params: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        entry = ASKS[name]
        answer = entry.call(read(entry.params, params), NONE)
        if isinstance(answer, Iterator):
            next(answer)
    assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ASKS)
def test_params_are_objects(name: str) -> None:
    for wrong in ([], "x", None, 3):
        with pytest.raises(ValueError, match="object"):
            read(ASKS[name].params, wrong)  # type: ignore[arg-type]
