"""The explorer's page in a real browser: every scene loads, answers its controls, and says the library's numbers."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import torch

from explorer_browser import control, needed, numbers, said, scene, until
from scorefield.core import Level

if TYPE_CHECKING:
    from playwright.sync_api import Page

MAIN = {"field": "sigma", "langevin": "run", "diffusion": "steps", "learn": "train", "density": "probes"}
"""Scenes, and the control that each locks until its question has an answer."""
SIZES = {"laptop": (1440, 900), "projector": (1024, 768), "phone": (390, 844)}

pytestmark = needed


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from scorefield.explorer import server
    from scorefield.explorer.asks import ASKS
    from scorefield.explorer.gate import Gate
    from scorefield.explorer.session import Session

    with server.bound() as listener:
        port = listener.getsockname()[1]
        running = server.server(server.application(ASKS, Session(), Gate("secret", port)))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{port}/?token=secret"
        running.should_exit = True
        thread.join(10)


@pytest.mark.parametrize("name", MAIN)
def test_scene_asks_before_its_main_control_is_unlocked(page: Page, address: str, name: str) -> None:
    scene(page, address, name, choice=None)
    assert control(page, MAIN[name]).is_disabled()
    assert control(page, "commit").is_disabled()
    page.locator(".option").first.click()
    control(page, "commit").click()
    assert control(page, MAIN[name]).is_enabled()
    control(page, "answer").click()
    assert page.locator(".formula").inner_text() and re.search(r"\(\d{4}", page.locator(".source").inner_text())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", MAIN)
def test_scene_fits_its_window(page: Page, address: str, name: str, size: str) -> None:
    page.set_viewport_size(dict(zip(("width", "height"), SIZES[size], strict=True)))
    scene(page, address, name)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_numbers_at_a_point_are_the_library_s(page: Page, address: str) -> None:
    from scorefield.explorer.asks.laws import PRESETS

    scene(page, address, "field", "sigma=0.5&at=1,0.5&preset=two modes")
    law, x, level = PRESETS["two modes"], torch.tensor([[1.0, 0.5]], dtype=torch.float64), Level(1.0, 0.5)
    assert numbers(said(page, "log_density")) == pytest.approx([float(law.log_density(x, level))], rel=1e-4)
    assert numbers(said(page, "score")) == pytest.approx(law.score(x, level)[0].tolist(), rel=1e-3, abs=1e-3)
    assert numbers(said(page, "x0")) == pytest.approx(law(x, level).x0[0].tolist(), rel=1e-3, abs=1e-3)


def test_sigma_moves_the_field_the_numbers_and_the_address(page: Page, address: str) -> None:
    scene(page, address, "field", "sigma=0.5&at=1,0.5")
    before = said(page, "log_density")
    control(page, "sigma").focus()
    page.keyboard.press("PageUp")
    until(lambda: said(page, "log_density") != before)
    until(lambda: "sigma=0.5&" not in page.evaluate("location.hash"))
    until(lambda: page.locator(".verdict").count() == 1)
    shared, value = page.evaluate("location.href"), said(page, "log_density")
    page.goto("about:blank")
    page.goto(shared)
    until(lambda: said(page, "log_density") == value)


def test_modes_move_by_keyboard_alone(page: Page, address: str) -> None:
    scene(page, address, "field", "at=1,0.5")
    before = said(page, "log_density")
    page.locator(".handle").first.focus()
    page.keyboard.press("Shift+ArrowRight")
    until(lambda: said(page, "log_density") != before)
    until(lambda: "m=" in page.evaluate("location.hash"))


def test_own_points_are_a_density(page: Page, address: str) -> None:
    scene(page, address, "field", "source=points&points=1,0.5&sigma=1&at=1,0.5")
    assert numbers(said(page, "log_density")) == pytest.approx([-1.8379], abs=1e-3)  # -log(2 pi)


def test_theme_follows_the_preference_and_the_button(page: Page, address: str) -> None:
    page.emulate_media(color_scheme="dark")
    scene(page, address, "field")
    shade = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(shade)
    page.locator("#theme").click()
    assert page.evaluate(shade) != dark


def test_langevin_says_the_exact_answer_beside_the_particles_own(page: Page, address: str) -> None:
    scene(page, address, "langevin", "preset=unequal weights&n=500&steps=20")
    control(page, "run").click()
    until(lambda: said(page, "step") == "20")
    assert numbers(said(page, "exact_weights")) == pytest.approx([0.2, 0.8])
    assert numbers(said(page, "weights"))[0] > 0.9  # all started in the first mode, and nobody crosses
    until(lambda: control(page, "run").inner_text() == "Run")


def test_steps_bring_a_sampler_nearer_to_the_exact_ode(page: Page, address: str) -> None:
    from scorefield.explorer.asks import diffusion
    from scorefield.explorer.session import Session

    asked = diffusion.Sample(mixture="two modes", plan="ddim", steps=8, n=200, schedule="ve")
    rms = diffusion.sample(asked, Session())["error"]["rms"]
    scene(page, address, "diffusion", "preset=two modes&n=200&steps=8&a=ddim")
    assert numbers(said(page, "rms"))[0] == pytest.approx(rms, rel=1e-3)
    control(page, "steps").focus()
    page.keyboard.press("End")
    until(lambda: numbers(said(page, "rms"))[0] < rms / 4)


def test_density_by_the_ode_is_the_exact_one(page: Page, address: str) -> None:
    scene(page, address, "density", "preset=two modes&divergence=exact&at=1,0.5")
    until(lambda: "first" not in said(page, "evaluations"))  # the answer that a moving slider gets
    value, exact = (numbers(said(page, key))[0] for key in ("value", "exact"))
    assert value == pytest.approx(exact, abs=1e-3)


def test_training_reaches_its_last_step(page: Page, address: str) -> None:
    scene(page, address, "learn", "steps=100&width=16")
    control(page, "train").click()
    until(lambda: said(page, "step") == "100")
    assert numbers(said(page, "loss"))[0] > 0 and len(numbers(said(page, "floor"))) == 2
