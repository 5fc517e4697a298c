"""The explorer's page in a real browser: every scene loads, answers its controls, and shows the library's numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from explorer_browser import control, needed, numbers, scene, serving, shown, until
from scorefield.core import Level
from scorefield.explorer.queries import density, diffusion, images
from scorefield.explorer.queries.laws import PRESETS
from scorefield.explorer.session import Session

if TYPE_CHECKING:
    from playwright.sync_api import Page

MAIN = {"field": "sigma", "langevin": "run", "diffusion": "steps", "learn": "train", "density": "probes"}
"""Scenes, and the control that each locks until its question has an answer."""
SIZES = {"laptop": (1440, 900), "projector": (1024, 768), "phone": (390, 844)}

pytestmark = needed


@pytest.fixture(scope="module")
def on_points(points: Session) -> Iterator[str]:
    with serving(points) as found:
        yield found


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


@pytest.mark.parametrize("name", [*MAIN, "images"])
def test_scene_fits_every_window(page: Page, address: str, on_digits: str, name: str) -> None:
    scene(page, on_digits if name == "images" else address, name)
    for width, height in SIZES.values():
        page.set_viewport_size({"width": width, "height": height})
        until(lambda: page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0)  # charts follow later


def test_numbers_at_a_point_are_the_library_s(page: Page, address: str) -> None:
    scene(page, address, "field", "sigma=0.5&at=1,0.5&preset=two modes")
    law, x, level = PRESETS["two modes"], torch.tensor([[1.0, 0.5]], dtype=torch.float64), Level(1.0, 0.5)
    assert numbers(shown(page, "log_density")) == pytest.approx([float(law.log_density(x, level))], rel=1e-4)
    assert numbers(shown(page, "score")) == pytest.approx(law.score(x, level)[0].tolist(), rel=1e-3, abs=1e-3)
    assert numbers(shown(page, "x0")) == pytest.approx(law(x, level).x0[0].tolist(), rel=1e-3, abs=1e-3)


def test_sigma_moves_the_field_the_numbers_and_the_address(page: Page, address: str) -> None:
    scene(page, address, "field", "sigma=0.5&at=1,0.5")
    before = shown(page, "log_density")
    control(page, "sigma").focus()
    page.keyboard.press("PageUp")
    until(lambda: shown(page, "log_density") != before)
    until(lambda: "sigma=0.5&" not in page.evaluate("location.hash"))
    until(lambda: page.locator(".verdict").count() == 1)
    shared, value = page.evaluate("location.href"), shown(page, "log_density")
    page.goto("about:blank")
    page.goto(shared)
    until(lambda: shown(page, "log_density") == value)


def test_modes_move_by_keyboard_alone(page: Page, address: str) -> None:
    scene(page, address, "field", "at=1,0.5")
    before = shown(page, "log_density")
    page.locator(".handle").first.focus()
    page.keyboard.press("Shift+ArrowRight")
    until(lambda: shown(page, "log_density") != before)
    until(lambda: "m=" in page.evaluate("location.hash"))


def test_own_points_are_a_density(page: Page, address: str) -> None:
    scene(page, address, "field", "source=points&points=1,0.5&sigma=1&at=1,0.5")
    assert numbers(shown(page, "log_density")) == pytest.approx([-1.8379], abs=1e-3)  # -log(2 pi)


def test_points_come_from_a_file_within_limits(page: Page, address: str) -> None:
    scene(page, address, "field", "source=points&sigma=1&at=1,0.5")
    file = page.locator("input[type=file]")
    trouble = page.locator(".trouble")
    for text, word in [("a,b\n", "no line"), ("1,2\n" * 5001, "5,000"), ("x" * 2_000_001, "2 MB")]:
        file.set_input_files({"name": "points.csv", "mimeType": "text/csv", "buffer": text.encode()})
        until(lambda word=word: trouble.is_visible() and word in trouble.inner_text())  # type: ignore[misc]
    file.set_input_files({"name": "points.csv", "mimeType": "text/csv", "buffer": b"x,y\n1,0.5\n"})
    assert numbers(shown(page, "log_density")) == pytest.approx([-1.8379], abs=1e-3)
    page.locator(".over").click(position={"x": 5, "y": 5})  # a second point, far away: half of the mass
    until(lambda: numbers(shown(page, "log_density")) == pytest.approx([-1.8379 - 0.6931], abs=1e-3))


def test_a_scene_works_from_the_keyboard_alone(page: Page, address: str) -> None:
    page.goto(f"{address}#/field?at=1,0.5")
    page.wait_for_selector(".option")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the first stop: past the menu, to the scene
    reached = "((at) => at.dataset.name ?? at.type ?? at.getAttribute('class') ?? '')(document.activeElement)"

    def go(to: str, key: str = "Tab") -> None:
        for _ in range(40):
            page.keyboard.press(key)
            if to in page.evaluate(reached):
                return
        raise AssertionError(f"Tab does not reach {to}")

    go("radio")
    page.keyboard.press("Space")
    go("commit")
    page.keyboard.press("Enter")
    before = shown(page, "score")
    go("sigma")
    page.keyboard.press("ArrowRight")
    until(lambda: shown(page, "score") != before)
    before = shown(page, "x")
    go("over", "Shift+Tab")
    page.keyboard.press("Shift+ArrowUp")
    until(lambda: shown(page, "x") != before)
    page.keyboard.press("Enter")
    until(lambda: "noised cloud" in page.locator("figcaption").inner_text())


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
    until(lambda: shown(page, "step") == "20")
    assert numbers(shown(page, "exact_weights")) == pytest.approx([0.2, 0.8])
    assert numbers(shown(page, "weights"))[0] > 0.9  # all started in the first mode, and nobody crosses
    until(lambda: control(page, "run").inner_text() == "Run")


def test_steps_bring_a_sampler_nearer_to_the_exact_ode(page: Page, address: str) -> None:
    chosen = diffusion.Sample(mixture="two modes", plan="ddim", steps=8, n=200, schedule="ve")
    rms = diffusion.sample(chosen, Session())["error"]["rms"]
    scene(page, address, "diffusion", "preset=two modes&n=200&steps=8&a=ddim")
    assert numbers(shown(page, "rms"))[0] == pytest.approx(rms, rel=1e-3)
    control(page, "steps").focus()
    page.keyboard.press("End")
    until(lambda: numbers(shown(page, "rms"))[0] < rms / 4)


def test_density_by_the_ode_is_the_exact_one(page: Page, address: str) -> None:
    scene(page, address, "density", "preset=two modes&divergence=exact&at=1,0.5")
    until(lambda: "first" not in shown(page, "evaluations"))  # the answer that a moving slider gets
    value, exact = (numbers(shown(page, key))[0] for key in ("value", "exact"))
    assert value == pytest.approx(exact, abs=1e-3)


def test_training_reaches_its_last_step(page: Page, address: str) -> None:
    scene(page, address, "learn", "steps=100&width=16")
    control(page, "train").click()
    until(lambda: shown(page, "step") == "100")
    assert numbers(shown(page, "loss"))[0] > 0 and len(numbers(shown(page, "floor"))) == 2


# ------------------------------------------------------------------------------------------------------ trained runs


def test_without_a_run_the_images_say_how_to_get_one(page: Page, address: str) -> None:
    page.goto(f"{address}#/images")
    until(lambda: "scorefield explore demo/run" in page.locator("main").inner_text())


def test_images_are_brought_back_and_their_numbers_are_the_librarys(
    page: Page, on_digits: str, digits: Session
) -> None:
    page.goto(f"{on_digits}#/images?index=3&sigma=0.5")
    page.wait_for_selector(".option")
    assert control(page, "sigma").is_disabled()
    page.locator(".option").nth(1).click()
    control(page, "commit").click()
    wanted = images.denoise(images.Denoise(index=3, sigma=0.5), digits)
    until(lambda: numbers(shown(page, "error")) == pytest.approx([wanted["error"]], rel=1e-2))
    assert shown(page, "label") == str(wanted["label"]) and shown(page, "held") == "180"
    top = (
        "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data"
        ".reduce((most, value, i) => (i % 4 < 3 ? Math.max(most, value) : most), 0)"
    )
    until(lambda: all(c.evaluate(top) > 0 for c in page.locator(".pictures canvas:visible").all()))
    control(page, "sigma").focus()
    page.keyboard.press("End")
    wanted = images.denoise(images.Denoise(index=3, sigma=20.0), digits)
    until(lambda: numbers(shown(page, "error")) == pytest.approx([wanted["error"]], rel=1e-2))
    control(page, "play").click()
    until(lambda: "Step 18" not in page.locator("figcaption", has_text="Step").inner_text())


@pytest.mark.parametrize("name", ["field", "langevin", "diffusion", "density"])
def test_a_run_of_points_is_what_the_scenes_show(page: Page, on_points: str, points: Session, name: str) -> None:
    # computed before the server has work: torch's forward derivatives are not for two threads
    model: Any = points.run.model  # type: ignore[union-attr]
    level, x = Level(1.0, 0.5), torch.tensor([[0.3, 0.4]])
    with torch.no_grad():
        score = model(x, level).score(level)[0].tolist()
    value = density.point(density.Point(run=True, x=(0.3, 0.4)), points)["value"]
    rms = diffusion.sample(diffusion.Sample(run=True, plan="ddim", steps=10, n=200), points)["error"]["rms"]
    scene(page, on_points, name, "at=0.3,0.4&n=200&steps=10&divergence=exact&sigma=0.5")
    until(lambda: control(page, "preset").input_value() == "run")
    if name == "field":
        assert numbers(shown(page, "score")) == pytest.approx(score, rel=1e-2, abs=1e-3)
    elif name == "density":
        until(lambda: "first" not in shown(page, "evaluations"))
        assert numbers(shown(page, "value")) == pytest.approx([value], abs=1e-4)
    elif name == "diffusion":
        until(lambda: numbers(shown(page, "rms"))[:1] == pytest.approx([rms], rel=1e-3))
    else:
        control(page, "run").click()
        until(lambda: shown(page, "step") == "20")  # the least that its slider takes
        assert numbers(shown(page, "w1"))[0] > 0


def test_a_run_that_is_no_plane_is_named_where_the_plane_is_drawn(page: Page, on_digits: str) -> None:
    scene(page, on_digits, "field")
    until(lambda: "is a model of images of 8 × 8" in page.locator(".side").inner_text())


# ---------------------------------------------------------------------------------------------------- how it looks

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8").partition("\n")[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(page: Page, address: str, on_digits: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # colours do not fade
    for where, name in [*((address, name) for name in MAIN), (on_digits, "images")]:
        page.goto(f"{where}#/{name}")
        page.wait_for_selector(f"#scene[data-scene={name}] .question")
        before = page.evaluate(CONTRAST)
        page.locator(".option").first.click()  # a wrong answer now and then, which has a colour of its own
        control(page, "commit").click()
        control(page, "answer").click()
        for ratio, text in [*before, *page.evaluate(CONTRAST)]:
            assert ratio >= 4.5, (name, text)
