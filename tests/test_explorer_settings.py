"""What stands on the explorer's page is of the settings on screen: what was computed for others is greyed or gone."""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from explorer_browser import CHANGE, Held, control, needed, numbers, scene, shown, until
from explorer_queries import query, stream
from scorefield.explorer.session import Session

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = needed


BACK = """(one, [checked, value]) => {
  if (checked !== null) one.checked = checked;
  if (value !== null) one.value = value;
  const kind = one.type === "range" ? "input" : value !== null && "change";
  if (kind) one.dispatchEvent(new Event(kind, { bubbles: true }));
}"""
"""Sets it to a value that it had."""

TEXTS = """() => [...document.querySelectorAll("dd, figcaption, .chart + .values + .hint")].map((one) => {
  const name = one.dataset.value ?? one.tagName;
  return [name, one.checkVisibility() ? one.textContent : "–", Boolean(one.closest("[data-stale]"))];
})"""
"""[[name, text, greyed]] of everything that says a result."""

SCENES = {
    "field": ("at=1,0.5&clean=0.3,0.2", ["sigma", "preset", "spread"]),
    "diffusion": ("n=200&steps=6&a=euler", ["schedule", "preset", "steps", "b"]),
    "density": (
        "preset=moons&at=1,0.5&tolerance=1e-3",
        ["probes", "scale", "class", "preset"],
    ),
    "images": ("steps=4", ["sigma", "index", "label", "other"]),
}
"""Scenes that compute as soon as a control moves: a state, and their controls."""


FIRST = {"field": "x", "diffusion": "evaluations", "density": "value", "images": "error"}


def opened(page: Page, address: str, name: str, state: str) -> None:
    """A scene with its results."""
    scene(page, address, name, state)
    shown(page, FIRST[name])
    settled(page)


def pause(page: Page) -> None:
    """Longer than the page waits with anything, by its own clock."""
    page.evaluate("() => new Promise((done) => setTimeout(done, 450))")


def settled(page: Page) -> None:
    """Every result is there, of the settings on screen."""
    pause(page)  # what is computed once the controls rest
    until(lambda: page.locator("[data-stale]").count() == 0 and "at first" not in page.locator("main").inner_text())


@pytest.mark.parametrize("name", SCENES)
def test_a_result_of_other_settings_is_greyed(page: Page, address: str, on_digits: str, name: str) -> None:
    """Whatever changes once the server has answered was greyed while its answers were kept back."""
    state, moved = SCENES[name]
    held = Held(page)
    opened(page, on_digits if name == "images" else address, name, state)
    for which in moved:
        held.hold()
        control(page, which).evaluate(CHANGE)
        pause(page)
        before = page.evaluate(TEXTS)
        assert page.locator("[data-stale]").count(), which
        held.release()
        settled(page)
        after = page.evaluate(TEXTS)
        assert len(before) == len(after)
        changed = [(old, new) for old, new in zip(before, after, strict=True) if old[1] != new[1]]
        wrong = [(old, new) for old, new in changed if re.search(r"\d", old[1]) and not old[2]]
        assert not wrong, (which, wrong)


def test_sampler_b_is_greyed_until_it_is_of_the_new_density(page: Page, address: str) -> None:
    held = Held(page)
    opened(page, address, "diffusion", "n=200&preset=two modes")
    held.hold()
    control(page, "preset").select_option("moons")
    cards, planes = page.locator("section.card[data-stale]", has_text="Sampler B"), page.locator("figure[data-stale]")
    until(lambda: cards.count() == 1 and planes.count() == 2)
    held.release()
    settled(page)


@pytest.mark.parametrize(
    ("name", "state", "start", "controls"),
    [
        ("langevin", "n=500&steps=20", "run", ["preset", "sigma", "adjusted", "n"]),
        ("learn", "steps=100&width=16", "train", ["preset", "objective", "width"]),
    ],
)
def test_a_run_of_other_settings_is_greyed(
    page: Page, address: str, name: str, state: str, start: str, controls: list[str]
) -> None:
    """A setting that is moved there and back greys the run, and shows it again."""
    scene(page, address, name, state)
    for which in controls:  # a slider's own grid need not hold the value that it began with
        control(page, which).evaluate(BACK, [None, None])
    control(page, start).click()
    until(lambda: shown(page, "step") == ("20" if name == "langevin" else "100"))
    until(lambda: control(page, start).inner_text() in ("Run", "Train"))
    card, chart = page.locator("dl.readout").locator(".."), page.locator(".card", has=page.locator(".chart")).first
    for which in controls:
        before = control(page, which).evaluate("(one) => [one.checked, one.value]")
        control(page, which).evaluate(CHANGE)
        until(lambda: all(one.get_attribute("data-stale") is not None for one in (card, chart)))
        control(page, which).evaluate(BACK, before)
        until(lambda: card.get_attribute("data-stale") is None)


LOSE = "() => { for (const one of sockets) one.close(); }"
SOCKETS = """window.sockets = [];
window.WebSocket = class extends WebSocket { constructor(...of) { super(...of); sockets.push(this); } };"""


@pytest.mark.parametrize(
    ("name", "state", "start", "rest"),
    [("langevin", "n=500&steps=500", "run", "Run"), ("learn", "steps=5000&width=16", "train", "Train")],
)
def test_a_run_ends_with_its_connection(page: Page, address: str, name: str, state: str, start: str, rest: str) -> None:
    page.add_init_script(SOCKETS)
    scene(page, address, name, state)
    control(page, start).click()
    until(lambda: shown(page, "step") != "0")
    page.evaluate(LOSE)
    until(lambda: control(page, start).inner_text() == rest)
    until(lambda: page.locator("#status").get_attribute("data-state") == "open")


@pytest.mark.parametrize("name", ["diffusion", "images"])
def test_what_was_asked_when_the_connection_was_lost_is_asked_again(
    page: Page, address: str, on_digits: str, name: str
) -> None:
    """Also what a scene asks for once, as it opens."""
    page.add_init_script(SOCKETS)
    held = Held(page)
    page.goto("about:blank")
    held.hold()
    page.goto(f"{on_digits if name == 'images' else address}#/{name}?n=200&steps=4")
    until(lambda: page.evaluate("true") and bool(held.waiting))
    held.waiting = None
    page.evaluate(LOSE)
    shown(page, FIRST[name])
    settled(page)


def test_a_picture_that_is_still_to_come_looks_like_none(page: Page, on_digits: str) -> None:
    """Black would be a picture."""
    held = Held(page)
    page.goto("about:blank")
    held.hold()
    page.goto(f"{on_digits}#/images?steps=4&hole=17.4.4.4.35")
    until(lambda: page.evaluate("true") and bool(held.waiting))
    for message in held.waiting or []:  # what the run is of; its pictures are kept back
        held.route.send(message)
    canvases = page.locator(".pictures canvas")
    until(lambda: canvases.count() > 20)
    assert page.locator(".pictures canvas.blank").count() == canvases.count()
    held.release()
    until(lambda: page.locator(".pictures canvas.blank:visible").count() == 0)


def test_a_hole_is_of_its_picture_and_of_its_noise(page: Page, on_digits: str) -> None:
    held = Held(page)
    opened(page, on_digits, "images", "steps=4&hole=17.4.4.4.35")
    shown(page, "hidden")
    settled(page)
    control(page, "seed").click()
    pause(page)
    settled(page)
    painted = page.locator(".strip", has=page.locator("canvas.hole"))
    held.hold()
    control(page, "index").evaluate(CHANGE)
    until(lambda: painted.get_attribute("data-stale") is not None)
    held.release()
    settled(page)


def pixels(of: Locator) -> Any:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(of.screenshot())).convert("RGB"), dtype=float)


def test_own_points_are_drawn_and_none_is_left_behind(page: Page, address: str) -> None:
    opened(page, address, "field", "source=points&points=-2.5,2.5;3,-3&sigma=4&at=0,0&arrows=0")
    page.mouse.move(5, 5)
    box = page.locator(".plane-box")

    def apart(x: float, y: float) -> float:
        picture = pixels(box)
        side = picture.shape[0]
        row, column = int((5 - y) / 10 * side), int((x + 5) / 10 * side)
        return float(np.abs(picture[row, column] - picture[row, column + 14]).max())

    assert apart(-2.5, 2.5) > 60 and apart(3, -3) > 60 > 30 > apart(-2.5, -2.5)
    assert "2 points" in page.locator(".side").inner_text()
    control(page, "clear").click()
    until(lambda: apart(-2.5, 2.5) < 30 and apart(3, -3) < 30)
    assert shown_now(page, "log_density") == "–" and page.locator(".over .mark").count() == 0
    box.click(position={"x": 100, "y": 100})
    until(lambda: "1 point " in page.locator(".side").inner_text())


def shown_now(page: Page, key: str) -> str:
    return page.locator(f"[data-value={key}]").first.inner_text()


def test_points_of_a_file_are_in_the_link(page: Page, address: str) -> None:
    scene(page, address, "field", "sigma=1&at=1,0.5")
    page.locator("input[type=file]").set_input_files({"name": "a.csv", "mimeType": "text/csv", "buffer": b"1,0.5\n"})
    until(lambda: "source=points" in page.evaluate("location.hash") and "points=1" in page.evaluate("location.hash"))
    link = page.evaluate("location.href")
    page.goto("about:blank")
    page.goto(link)
    assert numbers(shown(page, "log_density")) == pytest.approx([-math.log(2 * math.pi)], abs=1e-3)


WATCH = """() => {
  const [first, interval] = ["evaluations", "interval"].map((key) => document.querySelector(`[data-value=${key}]`));
  const say = () => seen(`${first.textContent}|${interval.textContent}`);
  new MutationObserver(say).observe(first, { childList: true, characterData: true, subtree: true });
}"""


def test_a_first_answer_has_no_interval(page: Page, address: str) -> None:
    held = Held(page)
    opened(page, address, "density", "preset=moons&at=1.2,0.8")
    low, high = numbers(shown(page, "interval"))
    assert low < numbers(shown(page, "exact"))[0] < high
    seen: list[str] = []
    page.expose_function("seen", lambda text: seen.append(text))
    page.evaluate(WATCH)
    held.hold()
    control(page, "tolerance").evaluate(CHANGE)
    pause(page)
    held.release()
    settled(page)
    first = [text for text in seen if "at first" in text]
    assert first and not any(numbers(text.split("|")[1]) for text in first)
    control(page, "divergence").select_option("exact")
    until(lambda: "the trace is exact" in shown_now(page, "interval"))
    control(page, "divergence").select_option("hutch++")
    settled(page)
    assert page.locator(".trouble:visible").count() == 0  # it needs 6 probes, and the slider begins there


def test_acceptance_is_said_of_adjusted_chains_alone(page: Page, address: str) -> None:
    one = stream("langevin.run", Session(), n=50, steps=4, every=2, sigma=0.3)
    assert [part["acceptance"] for part in one] == [None] * 3
    for state, what in (("", "not applicable"), ("&mode=annealed", "not applicable"), ("&adjusted=1", "0.")):
        scene(page, address, "langevin", f"n=500&steps=20{state}", choice=None if state else 1)
        control(page, "run").click()
        until(lambda: shown(page, "step") == "20")
        assert shown_now(page, "acceptance").startswith(what)
        page.goto("about:blank")


MOVE = "(one, part) => { one.value = part; one.dispatchEvent(new Event('input', { bubbles: true })); }"


def test_samplers_are_compared_at_equal_noise_levels(page: Page, address: str) -> None:
    """Two samplers of different levels, and one of inner evaluations, at every place of the clock."""
    opened(page, address, "diffusion", "n=200&steps=9&a=heun&b=euler&schedule=vp")
    common = {"n": 200, "steps": 9, "schedule": "vp", "mixture": "moons"}
    ends = [query("diffusion.sample", Session(), plan=plan, **common) for plan in ("heun", "euler")]
    tops = [float(r["sigma"][0] / r["alpha"][0]) for r in ends]
    captions = page.locator("figure.stage figcaption")
    for part in (0.97, 0.8, 0.5, 0.25, 0.11):
        control(page, "time").evaluate(MOVE, part)
        level = math.tan((1 - float(control(page, "time").input_value())) * math.pi / 2)
        told = [numbers(captions.nth(k).inner_text().split("σ/α =")[1])[0] for k in (0, 1)]
        assert told == pytest.approx([min(level, top) for top in tops], rel=6e-3)
    control(page, "forwards").click()
    until(lambda: "forward process" in captions.first.inner_text())
    until(lambda: control(page, "play").inner_text() == "Play")  # it has played the whole way
    told = [numbers(captions.nth(k).inner_text().split("σ/α =")[1])[0] for k in (0, 1)]
    assert told[1] == pytest.approx(tops[1], rel=6e-3) and told[0] > 80
    control(page, "forwards").click()
    assert "heun" in captions.first.inner_text()


def test_no_text_has_marks_of_a_program(page: Page, address: str) -> None:
    for name in ("field", "langevin", "diffusion", "learn", "density", "images", "table", "posterior"):
        page.goto(f"{address}#/{name}")
        page.wait_for_selector(f"#scene[data-scene={name}]")
        page.wait_for_timeout(100)
        text = page.locator("body").inner_text()
        assert "`" not in text and "p_σ" not in text, name
