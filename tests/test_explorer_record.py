"""Recordings of the explorer's pictures: an SVG, a video, a GIF; and a hole painted in an image, which is filled."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from explorer_browser import control, needed, numbers, scene, shown, until
from explorer_queries import query
from scorefield.explorer.session import Session

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needed


def saved(page: Page, button: str) -> tuple[str, bytes]:
    """The name and the content of what a button saves."""
    with page.expect_download() as found:
        control(page, button).click()
    return found.value.suggested_filename, Path(found.value.path()).read_bytes()


def test_the_pictures_are_saved_as_svg_video_and_gif(page: Page, address: str) -> None:
    from PIL import Image

    scene(page, address, "diffusion", "n=200&steps=4&preset=two modes&time=0.4")
    shown(page, "rms")
    until(lambda: page.locator("[data-stale]").count() == 0)
    page.locator("#record").click()
    name, content = saved(page, "record-svg")
    root = ElementTree.fromstring(content)
    drawn = [one.get("d", "") for one in root.iter("{http://www.w3.org/2000/svg}path")]
    assert name == "scorefield-diffusion.svg" and [d.count("h0") for d in drawn if "h0" in d] == [200, 200]
    texts = ["".join(one.itertext()) for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any("A: ddim" in text for text in texts) and "x₁" in texts and "`" not in content.decode()
    assert not re.findall(rb"var\(--|class=\"[^\"]*\" style=\"\"", content)
    assert b"paint-order" not in content  # few programs know it: a halo is a text of its own behind the letters
    halos = [one.get("style", "") for one in root.iter("{http://www.w3.org/2000/svg}text") if one.text == "x₁"]
    assert ["stroke: none" in style for style in halos] == [False, True] * 2

    control(page, "record-gif").click()
    control(page, "play").click()
    until(lambda: control(page, "play").inner_text() == "Play")  # it has played the whole way
    name, content = saved(page, "record-gif")
    with Image.open(io.BytesIO(content)) as image:
        frames = [image.seek(k) or image.convert("RGB").tobytes() for k in range(image.n_frames)]
        assert name.endswith(".gif") and image.n_frames > 2 and len(set(frames)) > 2
        width = page.locator(".plane-box").first.bounding_box()["width"]  # type: ignore[index]
        assert image.width == pytest.approx(2 * min(480, width) + 48, abs=3)

    kind = control(page, "record-video").inner_text()
    control(page, "record-video").click()
    page.wait_for_timeout(700)
    name, content = saved(page, "record-video")
    assert (b"ftyp" in content[:16] and name.endswith(".mp4")) if "MP4" in kind else content[:4] == b"\x1aE\xdf\xa3"
    assert len(content) > 2000
    page.keyboard.press("Escape")
    assert not page.locator(".recorder").is_visible() and page.locator("#record").is_visible()


def test_a_hole_is_painted_and_filled(page: Page, on_digits: str, digits: Session) -> None:
    scene(page, on_digits, "images", "steps=2&index=3&brush=0.5")
    until(lambda: control(page, "square").is_enabled())
    control(page, "hole").scroll_into_view_if_needed()
    box = control(page, "hole").bounding_box()
    assert box
    cell = box["width"] / 8
    page.mouse.move(box["x"] + 2.5 * cell, box["y"] + 3.5 * cell)
    page.mouse.down()
    page.mouse.move(box["x"] + 5.5 * cell, box["y"] + 3.5 * cell, steps=6)
    page.mouse.up()
    until(lambda: "hole=26.4.34" in page.evaluate("location.hash"))  # row 3, columns 2 to 5
    wanted = query("images.restore", digits, index=3, runs=[26, 4, 34], n=8, steps=30)
    until(lambda: numbers(shown(page, "away")) == pytest.approx([wanted["error"]], rel=6e-3))
    until(lambda: page.locator("[data-stale]").count() == 0)
    assert numbers(shown(page, "spread")) == pytest.approx([wanted["spread"]], rel=6e-3)
    assert shown(page, "hidden") == "4" and page.locator(".trouble:visible").count() == 0
    control(page, "hole").focus()
    page.keyboard.press("ArrowDown")  # from the middle: row 5, column 4
    page.keyboard.press("Space")
    until(lambda: "hole=26.4.14.1.19" in page.evaluate("location.hash"))
    until(lambda: shown(page, "hidden") == "5")
    control(page, "whole").click()
    until(lambda: "hole" not in page.evaluate("location.hash") and not page.locator(".filling").is_visible())
    # an answer that is under way when there is no hole any more is not drawn, and the next one not asked for
    pressed = "for (const name of ['square', 'whole']) document.querySelector(`[data-name=${name}]`).click()"
    page.evaluate(pressed)
    page.wait_for_timeout(2000)
    assert not page.locator(".filling").is_visible() and page.locator(".trouble:visible").count() == 0
