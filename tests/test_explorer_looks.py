"""The explorer's page is for everybody: colours apart for every eye, keys in place of a pointer, calm on request."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import scorefield
from explorer_browser import control, needed, numbers, scene, shown, until
from explorer_queries import query
from scorefield.core import Level
from scorefield.explorer.queries.laws import PRESETS
from scorefield.explorer.session import Session

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

CSS = (Path(scorefield.__file__).parent / "explorer/page/style.css").read_text(encoding="utf-8")
EYES = {  # what is left of linear red, green and blue (Machado, Oliveira and Fernandes 2009, severity 1)
    "all": np.eye(3),
    "no long cones": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no middle cones": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "no short cones": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
APART = 20  # of CIELAB; 2.3 is what can just be told apart side by side


def variables(theme: str) -> dict[str, str]:
    light, dark = CSS.split(':root[data-theme="dark"]')
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light))
    return (
        found if theme == "light" else found | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", dark.partition("}")[0]))
    )


def lab(colour: str, eye: object) -> np.ndarray:
    v = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    linear = np.clip(np.asarray(eye) @ np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4), 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    xyz = xyz / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_are_apart_for_every_eye(theme: str, eye: str) -> None:
    found = variables(theme)
    series = {name: lab(found[name], EYES[eye]) for name in ("particle", "particle-b", "particle-c", "exact")}
    for (one, a), (other, b) in itertools.combinations(series.items(), 2):
        assert np.linalg.norm(a - b) > APART, (one, other)
    stops = [lab(found[f"map-{k}"], EYES[eye]) for k in range(6)]
    for name in ("particle", "particle-b"):  # clouds on the map
        assert min(np.linalg.norm(series[name] - stop) for stop in stops) > APART, name
    lightness = np.diff([stop[0] for stop in stops])  # the map is read by lightness alone
    assert (lightness > 4).all() or (lightness < -4).all()


# ------------------------------------------------------------------------------------------------------------ the page


@needed
def test_the_map_says_its_values_at_the_pointer_and_by_keys(page: Page, address: str) -> None:
    import torch

    scene(page, address, "field", "sigma=0.5&at=1,0.5&preset=two modes")
    shown(page, "log_density")
    law, box, reading = PRESETS["two modes"], page.locator(".plane-box"), page.locator(".reading")

    def exact(x: float, y: float) -> float:
        return float(law.log_density(torch.tensor([[x, y]], dtype=torch.float64), Level(1.0, 0.5)))

    side = box.evaluate("(one) => one.clientWidth")
    box.hover(position={"x": 0.62 * side, "y": 0.4 * side})
    until(reading.is_visible)
    x, y, value = place(reading.inner_text())
    assert (x, y) == pytest.approx((1.2, 1.0), abs=0.05) and value == pytest.approx(exact(x, y), abs=0.06)
    page.mouse.move(2, 2)
    until(lambda: not reading.is_visible())
    page.locator(".over").focus()
    page.keyboard.press("ArrowRight")
    x, y, value = place(reading.inner_text())
    assert value == pytest.approx(exact(x, y), abs=0.06)
    bar = page.locator(".bar-of-colours")
    low, high = (numbers(text)[0] for text in bar.locator("span").all_inner_texts()[1:])
    assert high - low == pytest.approx(9, abs=0.06) and "nats" in bar.inner_text()


def place(text: str) -> list[float]:
    """The two coordinates and the value of `x₁ = 1, x₂ = 2; log p ≈ 3 nats`."""
    return [numbers(part)[0] for part in re.split("[=≈]", text)[1:]]


@needed
def test_the_error_s_colours_are_named_by_a_bar(page: Page, address: str) -> None:
    scene(page, address, "learn", "steps=100&width=16")
    control(page, "train").click()
    bar = page.locator(".bar-of-colours:visible")
    until(lambda: bar.count() == 1)
    assert bar.inner_text().split("\n")[-1] == "2 and more" and "bright" not in page.locator(".picture").inner_text()
    for scheme in ("light", "dark"):  # whichever the theme: the bar goes from its first to its last colour
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        ends = [variables(scheme)[f"map-{k}"] for k in (0, 5)]
        until(lambda ends=ends: gradient(bar) == ends)  # type: ignore[misc]


def gradient(bar: Locator) -> list[str]:
    """The first and the last colour of a bar."""
    drawn = bar.locator("i").evaluate("(one) => getComputedStyle(one).backgroundImage")
    told = [tuple(map(int, part.split(","))) for part in re.findall(r"rgb\(([^)]*)\)", drawn)]
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in told[:1] + told[-1:]]


@needed
def test_a_chart_is_read_and_tabs_are_turned_by_keys(page: Page, address: str) -> None:
    scene(page, address, "diffusion", "n=200&preset=two modes&steps=4")
    shown(page, "rms")
    control(page, "tab-errors").focus()
    page.keyboard.press("ArrowRight")
    assert control(page, "tab-levels").get_attribute("aria-selected") == "true"
    chart = page.locator(".chart:visible")
    assert page.locator(".chart:visible").count() == 1
    chart.focus()
    until(lambda: chart.locator("canvas").count() == 1)
    page.keyboard.press("ArrowRight")
    values = page.locator(".values:visible")
    until(lambda: "step 0" in values.inner_text())
    drawn = query("diffusion.sample", Session(), n=200, mixture="two modes", steps=4)
    assert numbers(values.inner_text())[1] == pytest.approx(drawn["sigma"][0] / drawn["alpha"][0], rel=1e-3)
    until(lambda: "tab=levels" in page.evaluate("location.hash"))


@needed
def test_less_motion_is_stills(page: Page, address: str) -> None:
    page.emulate_media(reduced_motion="reduce")
    scene(page, address, "diffusion", "n=200&preset=two modes&steps=4")
    shown(page, "rms")
    page.evaluate(
        "() => { window.frames_ = 0; const ask = requestAnimationFrame;"
        " window.requestAnimationFrame = (what) => { frames_ += 1; return ask(what); }; }"
    )
    control(page, "play").click()
    page.wait_for_timeout(1500)
    assert 1 <= page.evaluate("frames_") <= 12  # two stills of two pictures, and no motion between them
    assert control(page, "play").inner_text() == "Pause"


@needed
def test_on_a_phone_the_picture_stays_in_sight(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for name, main in (("field", "sigma"), ("diffusion", "steps")):
        scene(page, address, name)
        control(page, main).evaluate("(one) => one.scrollIntoView({ block: 'end' })")
        picture, slider = page.locator(".plane-box").first.bounding_box(), control(page, main).bounding_box()
        assert picture and slider and picture["y"] >= 0 and picture["y"] + picture["height"] <= slider["y"] < 844
        page.goto("about:blank")


@needed
def test_a_lecture_goes_by_steps_that_are_links(page: Page, address: str) -> None:
    page.goto(f"{address}#/langevin?preset=unequal weights&n=500&steps=20&play=1&lecture=5")
    until(lambda: shown(page, "step") == "20")  # nobody was asked, and the walk began by itself
    bar = page.locator(".lecture")
    assert bar.inner_text().count("nobody crosses") == 1 and page.locator(".option").count() == 0
    page.locator("body").press("PageDown")
    until(lambda: "mode=annealed" in page.evaluate("location.hash") and "Annealed" in bar.inner_text())
    control(page, "back").click()
    until(lambda: "mode=one" in page.evaluate("location.hash"))
    link = page.evaluate("location.href")
    page.goto("about:blank")
    page.goto(link)
    until(lambda: "nobody crosses" in bar.inner_text())
    page.set_viewport_size({"width": 600, "height": 844})  # a half of a screen has all of the buttons
    assert all(page.locator(f"#{name}").is_visible() for name in ("lecture", "record", "share"))
    assert page.evaluate("document.documentElement.scrollWidth") == 600
    page.set_viewport_size({"width": 390, "height": 844})  # and from a phone the mode can be left
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.locator("#lecture").click()
    until(lambda: not bar.is_visible() and page.locator(".option").count() == 3)
    assert "lecture" not in page.evaluate("location.hash")
