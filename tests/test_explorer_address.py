"""The address of the explorer's page is its state: a link opens every control of every scene as it stood."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from explorer_browser import CHANGE, control, needed, scene, serving, until, watched
from explorer_runs import digits_session, mixed_table_session, posterior_session
from scorefield.explorer.session import Session
from scorefield.tables import outliers

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = needed

SMALL = {
    "field": "at=1,0.5",
    "langevin": "n=500&steps=20",
    "diffusion": "n=200&steps=4",
    "learn": "steps=100&width=16",
    "density": "at=1,0.5&tolerance=1e-3",
    "images": "steps=4",
    "table": "",
    "posterior": "",
}
NAMED = "(all) => all.filter((one) => one.matches('input, select') && !one.disabled && one.checkVisibility())"
NAMES = f"(all) => ({NAMED})(all).map((one) => one.dataset.name)"
SAID = "one.type === 'checkbox' ? one.checked : one.type === 'range' ? one.getAttribute('aria-valuetext') : one.value"
VALUES = f"(all) => ({NAMED})(all).map((one) => [one.dataset.name, {SAID}])"


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("runs")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())  # expectations over few rows, for speed
        patch.setattr(outliers, "_EXPECTED", 4)
        patch.setattr(outliers, "_TOLERANCE", 0.1)
        runs = {
            "images": digits_session(),
            "table": mixed_table_session(folder),
            "posterior": posterior_session(folder),
        }
        served = {name: stack.enter_context(serving(session)) for name, session in runs.items()}
        plain = stack.enter_context(serving(Session()))
        yield {name: served.get(name, plain) for name in SMALL}


def controls(page: Page, script: str) -> Any:
    return page.locator("#scene [data-name]").evaluate_all(script)


@pytest.mark.parametrize("name", SMALL)
def test_a_link_opens_every_control_as_it_stood(
    browser: Browser, page: Page, addresses: dict[str, str], name: str
) -> None:
    scene(page, addresses[name], name, SMALL[name])
    until(lambda: "" not in dict(controls(page, VALUES)).values() or name in ("images", "table"))  # by the server
    until(lambda: bool(controls(page, NAMES)))
    for which in dict.fromkeys(controls(page, NAMES)):
        if which.startswith("set"):  # changing the cell sets it
            continue
        before = control(page, which).first.evaluate("(one) => one.tagName + one.type")
        if before == "INPUTtext":
            control(page, which).fill("50")
            control(page, which).press("Enter")
        else:
            control(page, which).first.evaluate(CHANGE)
    page.wait_for_timeout(500)  # the address follows within 150 ms, computing begins within 220
    until(lambda: page.locator("[data-stale]").count() == 0 or name in ("learn", "langevin"))
    wanted, link = controls(page, VALUES), page.evaluate("location.href")
    page.goto("about:blank")
    with watched(browser) as other:
        other.goto(link)
        other.wait_for_selector(".question")
        other.locator(".option").nth(1).click()
        control(other, "commit").click()
        until(lambda: controls(other, NAMES) == [which for which, _ in wanted])
        apart: list[Any] = []

        def same() -> bool:
            apart[:] = [(a, b) for a, b in zip(wanted, controls(other, VALUES), strict=True) if a != b]
            return not apart

        try:
            until(same, 10)
        except AssertionError:
            raise AssertionError(apart) from None
        other.goto("about:blank")


def test_what_was_started_is_in_the_link(page: Page, addresses: dict[str, str]) -> None:
    for name, start in (("langevin", "run"), ("learn", "train"), ("diffusion", "forwards")):
        scene(page, addresses[name], name, SMALL[name])
        if name == "diffusion":
            until(lambda: bool(page.locator("figcaption", has_text="ddim").count()))
        control(page, start).click()
        key = "forwards=1" if name == "diffusion" else "play=1"
        until(lambda k=key: k in page.evaluate("location.hash"))  # type: ignore[misc]
        link = page.evaluate("location.href")
        page.goto("about:blank")
        page.goto(link)
        said = {"langevin": "20", "learn": "100"}.get(name)
        if said is None:
            until(lambda: "forward process" in page.locator("figcaption").first.inner_text())
        else:
            until(lambda s=said: page.locator("[data-value=step]").inner_text() == s)  # type: ignore[misc]
        page.goto("about:blank")


CONTROLS = "[...document.querySelectorAll('#scene :is(input, select, button, a[href], summary, [tabindex])')]"
REACHED = f"""() => {{
  const at = document.activeElement, all = {CONTROLS}, style = getComputedStyle(at);
  const lined = parseFloat(style.outlineWidth) > 0 && style.outlineStyle !== "none";
  return [all.indexOf(at), lined || (at.matches(".handle") && parseFloat(style.strokeWidth) > 5)];
}}"""
OPEN = f"""() => {CONTROLS}.map((one, k) => [k, one]).filter(([, one]) => !one.disabled && one.checkVisibility()
  && one.tabIndex >= 0).map(([k, one]) => [k, one.dataset.name ?? one.getAttribute("class") ?? one.tagName])"""


@pytest.mark.parametrize("name", SMALL)
def test_every_control_is_reached_by_tab_and_seen_to_be(page: Page, addresses: dict[str, str], name: str) -> None:
    scene(page, addresses[name], name, SMALL[name])
    until(lambda: bool(controls(page, NAMES)))
    page.wait_for_timeout(500)
    there, marked = set[int](), set[int]()
    page.locator("#scene").focus()
    for _ in range(80):
        page.keyboard.press("Tab")
        at, seen = page.evaluate(REACHED)
        there.add(at)
        if seen:
            marked.add(at)
        if at < 0:
            break
    wanted = dict(page.evaluate(OPEN))
    assert not [of for k, of in wanted.items() if k not in there], "not reached"
    assert not [of for k, of in wanted.items() if k not in marked], "not marked"
