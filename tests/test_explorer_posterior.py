"""The scene of a posterior: its numbers are the model's own, and the page shows those of the observation on screen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import torch

from explorer_browser import Held, control, needed, numbers, scene, serving, shown, until
from explorer_queries import NONE, query
from explorer_runs import posterior_session
from scorefield.explorer.session import Session
from scorefield.posterior import TrainedPosterior
from scorefield.posterior.trained import OutsideWarning

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return posterior_session(tmp_path_factory.mktemp("posterior"))


@pytest.fixture(scope="module")
def run(session: Session) -> TrainedPosterior:
    assert isinstance(session.run, TrainedPosterior)
    return session.run


@pytest.fixture(scope="module")
def address(session: Session) -> Iterator[str]:
    with serving(session) as found:
        yield found


def test_the_page_is_told_what_was_simulated(session: Session, run: TrainedPosterior) -> None:
    told = query("posterior.about", session)
    assert query("session.about", session)["kind"] == "posterior"
    assert [one["name"] for one in told["parameters"]] == ["drift", "rate"]
    assert [one["name"] for one in told["observed"]] == ["low", "mid", "high"]
    held = pd.read_parquet(session.folder / "held.parquet")  # type: ignore[operator]
    assert told["held"] == len(held) == 22
    for places, axes in ((told["theta"], told["parameters"]), (told["x"], told["observed"])):
        low, high = (np.array([one[end] for one in axes]) for end in ("low", "high"))
        np.testing.assert_allclose(low + places * (high - low), held[[one["name"] for one in axes]].to_numpy())
        assert places.min() >= 0 and places.max() <= 1
    assert query("posterior.held", session, index=3)["x"] == held.iloc[3, 2:].tolist()


def test_draws_and_their_laws_are_the_models(session: Session, run: TrainedPosterior) -> None:
    x, told = (0.3, -0.2, 0.5), query("posterior.about", session)
    r, theta = query("posterior.draw", session, x=list(x), n=64, seed=2), run.sample(torch.tensor(x), 64, seed=2)
    low, high = (np.array([one[end] for one in told["parameters"]]) for end in ("low", "high"))
    np.testing.assert_allclose(low + r["draws"] * (high - low), theta.numpy())
    for law, values in zip(r["laws"], theta.T.numpy(), strict=True):
        assert law["median"] == np.quantile(values, 0.5, method="inverted_cdf")
        assert law["mean"] == pytest.approx(values.mean()) and law["deviation"] == pytest.approx(values.std(ddof=1))
    assert r["outside"] == []
    far = query("posterior.draw", session, x=[99.0, 0.0, 0.0], n=4)
    assert far["outside"][0].startswith("low = 99 lies at percentile 100")  # by the name that its slider has
    with pytest.warns(OutsideWarning, match="low = 99 lies at percentile 100"):
        run.sample(torch.tensor([99.0, 0.0, 0.0]), 4)


def test_what_does_not_fit_is_a_sentence(session: Session) -> None:
    with pytest.raises(ValueError, match="3 numbers"):
        query("posterior.draw", session, x=[1.0])
    with pytest.raises(ValueError, match="index must be from 0 to 21"):
        query("posterior.held", session, index=22)
    with pytest.raises(ValueError, match="no posterior"):
        query("posterior.about", NONE)
    for name in ("images.about", "table.about"):
        with pytest.raises(ValueError, match="the open run is"):
            query(name, session)
    with pytest.raises(ValueError, match="this scene needs"):
        query("field.grid", session, run=True)


def laws(session: Session, x: list[float]) -> list[list[float]]:
    """The median and the ends of the interval of each parameter that the page is to show."""
    told = query("posterior.draw", session, x=x, n=1000, steps=20, seed=0)["laws"]
    return [[law[name] for name in ("median", "low", "high")] for law in told]


def says(page: Page, wanted: list[list[float]]) -> bool:
    said = [numbers(page.locator(f"[data-value=law{k}]").inner_text())[:3] for k in (0, 1)]
    return np.shape(said) == (2, 3) and np.allclose(said, wanted, rtol=6e-3, atol=1e-3)


@needed
def test_an_observation_is_dragged_and_its_law_follows(page: Page, address: str, session: Session) -> None:
    held = Held(page)
    scene(page, address, "posterior", "row=3")
    one = query("posterior.held", session, index=3)
    until(lambda: shown(page, "law0").endswith(f"true {one['theta'][0]:.3g}".replace("-", "−")))
    wanted = laws(session, one["x"])
    until(lambda: says(page, wanted))
    until(lambda: page.locator("[data-stale]").count() == 0)
    assert (page.locator(".cloud-drawn").get_attribute("d") or "").count("M") > 500
    saved = page.evaluate("import('/static/js/record.js').then((one) => one.asSvg())")
    widths = re.findall(r'class="law-drawn"[^>]*stroke-width: ([\d.e-]+)', saved)
    assert all(0.002 < float(width) < 0.02 for width in widths) and len(widths) == 2  # of panels of side 1
    assert "vector-effect" not in saved  # few programs know it
    handle, box = page.locator(".handle"), page.locator(".plane-box")
    place = handle.bounding_box()
    assert place
    held.hold()
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.mouse.down()
    frame = box.bounding_box()
    assert frame
    page.mouse.move(frame["x"] + 0.5 * frame["width"], frame["y"] + 0.6 * frame["height"], steps=4)
    page.mouse.up()
    until(lambda: page.locator("figure[data-stale]").count() == 1)
    assert "true" not in page.locator("[data-value=law0]").inner_text() or page.locator(".card[data-stale]").count()
    held.release()
    until(lambda: page.locator("[data-stale]").count() == 0)
    x = [float(v) for v in page.evaluate("new URLSearchParams(location.hash.split('?')[1]).get('x')").split(",")]
    wanted = laws(session, x)
    until(lambda: says(page, wanted))
    assert "true" not in page.locator("[data-value=law0]").inner_text()
    handle.focus()
    page.keyboard.press("Shift+ArrowRight")
    until(lambda: f"x={x[0]}," not in page.evaluate("location.hash"))
    control(page, "x2").focus()
    page.keyboard.press("End")
    until(lambda: page.locator("[data-stale]").count() == 0)


@needed
def test_a_simulation_that_comes_late_is_greyed_or_dropped(page: Page, address: str) -> None:
    """What is shown is of another one until it comes; an observation of one's own meanwhile is kept."""
    held = Held(page)
    scene(page, address, "posterior", "row=3")
    until(lambda: "true" in shown(page, "law0") and page.locator("[data-stale]").count() == 0)
    held.hold()
    control(page, "row").focus()
    page.keyboard.press("ArrowRight")
    until(lambda: page.locator("figure[data-stale]").count() == 1)
    control(page, "x0").focus()
    page.keyboard.press("End")
    page.wait_for_timeout(300)
    held.release()
    until(lambda: "true" not in shown(page, "law0") and page.locator("[data-stale]").count() == 0)
    assert "row=" not in page.evaluate("location.hash") and "x=" in page.evaluate("location.hash")


OUTLINES = """async (places) => {
  const { Corner } = await import("/static/js/corner.js"), stack = { data: places, shape: [places.length, 1] };
  return [true, false].map((closed) => new Corner([{ name: "a", low: 0, high: 1 }], stack).law(stack, 0, closed));
}"""


@needed
def test_a_law_that_lies_beyond_its_axis_is_a_flat_line(page: Page, address: str) -> None:
    """No outline holds what is no number, of which the browser complains."""
    scene(page, address, "posterior", choice=None)
    beyond, inside = (page.evaluate(OUTLINES, places) for places in ([3.0, -2.0], [0.3, 0.4]))
    for line in [*beyond, *inside]:
        assert "NaN" not in line and "Infinity" not in line
    heights = [re.findall(r",([\d.]+)H", one[1]) for one in (beyond, inside)]
    assert set(heights[0]) == {"1.0000"} and min(heights[1]) == "0.0600"


CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8").partition("\n")[2]


@needed
def test_the_scene_fits_a_phone_and_every_text_stands_out(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        scene(page, address, "posterior", "row=1", choice=0 if scheme == "light" else None)
        shown(page, "law0")
        assert all(ratio >= 4.5 for ratio, _ in page.evaluate(CONTRAST)), page.evaluate(CONTRAST)
        until(lambda: page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0)
        names = page.locator(".corner .name")
        assert [one.text_content() for one in names.all() if one.is_visible()] == ["drift", "rate", "rate"]
        page.goto("about:blank")


@needed
def test_without_a_posterior_the_scene_says_how_to_get_one(page: Page) -> None:
    with serving(Session()) as address:
        page.goto(f"{address}#/posterior")
        until(lambda: "--parameters a,b" in page.locator("main").inner_text())
        page.goto("about:blank")  # before its server ends
