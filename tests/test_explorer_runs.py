"""What a page may request of a trained run: its numbers are the library's own, and what does not fit is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from explorer_queries import query, same, stream
from explorer_runs import table_session
from scorefield import langevin, log_density
from scorefield.conditioning.editing import Route, interpolate, partial_noise
from scorefield.conditioning.inverse.operators import Mask
from scorefield.core import Level
from scorefield.data import load
from scorefield.denoiser import at
from scorefield.explorer.queries.diffusion import SCHEDULES
from scorefield.explorer.queries.laws import PRESETS, noised
from scorefield.explorer.session import Session
from scorefield.records.held import Parts
from scorefield.records.restore import measure, restore
from scorefield.records.trained import TrainedModel


@pytest.fixture(scope="module")
def table() -> Session:
    return table_session()


def test_a_run_of_points_has_a_field(points: Session) -> None:
    run = points.run
    assert isinstance(run, TrainedModel)
    r = query("field.grid", points, run=True, sigma=0.5, n=6, arrows=3, landscape=True)
    nodes = torch.as_tensor(r["at"]).reshape(-1, 2)
    with torch.no_grad():
        same(r["score"], at(run.model, Level(1.0, 0.5))(nodes).reshape(3, 3, 2), 1e-4)
    assert r["log_density"].shape == (6, 6) and np.isfinite(r["log_density"]).all()
    assert query("field.grid", points, run=True)["log_density"] is None
    assert query("field.cloud", points, run=True, clean=[0, 0], count=10)["points"].shape == (10, 2)
    p = query("field.point", points, run=True, x=[0.3, 0.4], count=10)
    assert p["log_density"] is None and max(p["residuals"].values()) < 1e-5
    d = query("density.point", points, run=True, x=[0.3, 0.4])
    direct = log_density(run.model, torch.tensor([[0.3, 0.4]], dtype=torch.float64))
    assert d["value"] == pytest.approx(float(direct.value)) and d["exact"] is None
    assert query("density.latent", points, run=True, x=[0.3, 0.4])["error"] < 1e-2
    with pytest.raises(ValueError, match="trained for sigma"):
        query("field.grid", points, run=True, sigma=500)
    with pytest.raises(ValueError, match="images"):
        query("images.sample", points)


@pytest.mark.parametrize("kind", ["points", "table"])
def test_chains_and_samplers_take_a_run(kind: str, request: pytest.FixtureRequest) -> None:
    session: Session = request.getfixturevalue(kind)
    model: Any = session.run.model  # type: ignore[union-attr]
    assert query("session.about", session)["kind"] == "points"
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
    few, more = (query("diffusion.sample", session, run=True, plan="unipc", steps=k, n=20) for k in (20, 40))
    assert few["error"]["rms"] > 3 * more["error"]["rms"]  # of order 2 and more
    for schedule in SCHEDULES:  # also where a schedule's own last times lie below what the model was trained for
        r = query("diffusion.sample", session, run=True, plan="euler", schedule=schedule, steps=20, n=10)
        assert r["evaluations"] == 20 and np.isfinite(r["unit"]).all()
        assert query("diffusion.paths", session, run=True, schedule=schedule, n=8)["apart"] < 0.05


def test_a_table_of_two_numbers_is_a_run_of_points(table: Session, digits: Session) -> None:
    model: Any = table.run.model  # type: ignore[union-attr]
    x = torch.tensor([[0.3, 0.4]], dtype=torch.float64)
    d = query("density.point", table, run=True, x=[0.3, 0.4], tolerance=1e-3)
    assert d["value"] == pytest.approx(float(log_density(model, x, tolerance=1e-3).value))
    assert query("field.grid", table, run=True, landscape=True, n=5)["log_density"].shape == (5, 5)
    with pytest.raises(ValueError, match="points of the plane"):
        query("langevin.run", digits, run=True)
    with pytest.raises(ValueError, match="model of a table"):
        query("images.sample", table)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedules_paths_end_at_the_same_points(schedule: str) -> None:
    one, other = (query("diffusion.paths", mixture="moons", schedule=s, n=20) for s in (schedule, "vp"))
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
    r = query("images.sample", digits, n=3, steps=5, seed=2)
    assert r["states"].shape == (6, 3, 8, 8) and r["guesses"].shape == (5, 3, 8, 8) and r["top"] == 16
    drawn = run.sample(3, steps=5, seed=2)
    np.testing.assert_array_equal(np.clip(np.rint(r["states"][-1]), 0, 16), drawn)
    query("images.sample", digits, n=1, steps=3, label=4, guidance=2.0)
    with pytest.raises(ValueError, match="10 classes"):
        query("images.sample", digits, label=10)
    with pytest.raises(ValueError, match="plane"):
        query("field.grid", digits, run=True)


def test_a_held_out_image_at_every_level(digits: Session) -> None:
    run = digits.run
    assert isinstance(run, TrainedModel)
    r, one = query("images.levels", digits, index=4, count=5), query("images.denoise", digits, index=4, sigma=20.0)
    assert r["noisy"].shape == r["denoised"].shape == (5, 8, 8) and (np.diff(np.log(r["sigma"])) > 0).all()
    np.testing.assert_allclose(r["denoised"][-1], one["denoised"], atol=1e-4)
    assert r["error"][-1] == pytest.approx(one["error"], rel=1e-4)
    with pytest.raises(ValueError, match="high"):
        query("images.levels", digits, low=2, high=1)


def test_views_of_a_held_out_image_are_the_librarys(digits: Session) -> None:
    run = digits.run
    assert isinstance(run, TrainedModel)
    dataset = load("digits")
    held = Parts.of(dataset, 0.1, 3).held
    about = query("images.about", digits)
    assert about["held"] == len(held) and held.labels is not None
    np.testing.assert_array_equal(about["labels"], held.labels)
    r = query("images.denoise", digits, index=5, sigma=0.7, seed=1)
    noisy = run.add_noise(held.records[5:6], 0.7, 1)
    np.testing.assert_allclose(r["denoised"], run.denoise(noisy, 0.7)[0], rtol=1e-5, atol=1e-4)
    assert r["label"] == held.labels[5] and (r["clean"] == held.records[5]).all()
    a, b = (run.codec.encode(held.records[k : k + 1]) for k in (2, 7))
    with torch.no_grad():
        between = interpolate(run.model, a, b, torch.linspace(0, 1, 3), Route(10))
        back = partial_noise(run.model, a, 0.5, evaluations=6, seed=4)
    r = query("images.interpolate", digits, i=2, j=7, count=3, steps=10)
    np.testing.assert_allclose(r["frames"], run.codec.decode_floats(between[:, 0]), rtol=1e-4, atol=1e-3)
    r = query("images.interpolate", digits, i=2, j=7, count=3, through="pixels")
    np.testing.assert_allclose(r["frames"][1], (held.records[2] + held.records[7]) / 2, atol=1e-4)
    r = query("images.partial", digits, index=2, sigma=0.5, count=2, steps=6, seed=4)
    np.testing.assert_allclose(r["frames"][:1], run.codec.decode_floats(back), rtol=1e-4, atol=1e-3)
    with pytest.raises(ValueError, match="held out"):
        query("images.denoise", digits, index=500)


def test_a_hole_is_filled_as_the_library_does(digits: Session) -> None:
    run = digits.run
    assert isinstance(run, TrainedModel)
    hidden = np.zeros((8, 8), dtype=bool)
    hidden[2:4, 3:7] = True
    r = query("images.restore", digits, index=5, runs=[19, 4, 4, 4, 33], n=3, steps=5, seed=1)
    clean = Parts.of(load("digits"), 0.1, 3).held.records[5]
    mask = Mask(torch.from_numpy(~hidden)[None])
    found = restore(run, mask, measure(mask, clean, 0.0), 0.0, 3, steps=5, seed=1)
    np.testing.assert_allclose(r["draws"], found.draws, atol=1e-4)
    np.testing.assert_allclose(r["deviation"], found.deviation, atol=1e-4)
    assert r["hidden"] == 8 and r["error"] == pytest.approx(np.sqrt(np.mean((found.mean - clean)[hidden] ** 2)))
    assert r["spread"] == pytest.approx(np.sqrt(np.mean(found.deviation[hidden] ** 2)))
    np.testing.assert_allclose(r["draws"][:, ~hidden], np.broadcast_to(clean[~hidden], (3, 56)), atol=1e-3)
    for runs, what in (([20, 4], "64 pixels"), ([64], "hide some"), ([0, 64], "leave some")):
        with pytest.raises(ValueError, match=what):
            query("images.restore", digits, runs=runs)
