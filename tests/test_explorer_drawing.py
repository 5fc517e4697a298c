"""How the explorer draws particles: stamped by the processor where WebGL is, and then the picture that WebGL draws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from explorer_browser import control, needed, scene, shown, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needed

STAMPED = """async ({ size, alpha, places, side }) => {
  const { stamp } = await import("/static/js/raster.js"), pixels = new Uint32Array(side * side).fill(0xff000000);
  stamp(pixels, side, { data: Float32Array.from(places), size, alpha, rgb: [1, 1, 1] }, 0, side);
  return Array.from(pixels, (one) => (one & 255) / 255);
}"""
"""How white each pixel of a black square becomes, the first row above."""

BOTH = """async (side) => {
  const { View } = await import("/static/js/gl.js"), { Raster } = await import("/static/js/raster.js"), found = [];
  let seed = 1;
  const random = () => { seed = (seed * 48271) % 2147483647; return seed / 2147483647; };
  const points = Float32Array.from({ length: 400 }, () => 8.4 * random() - 4.2);
  const values = Float32Array.from({ length: 1024 }, (_, k) => -((k % 32) ** 2 + (k / 32) ** 2) / 100);
  const map = { shape: [32, 32], data: values };
  for (const [kind, shown] of [[View, points], [Raster, points], [Raster, points.subarray(0, 0)]]) {
    const canvas = document.createElement("canvas"), aside = kind === View ? canvas : document.createElement("canvas");
    canvas.style.width = canvas.style.height = `${side}px`;
    document.body.append(canvas);
    const made = new kind(canvas, aside.getContext("webgl2", { alpha: false, antialias: false }), -4, 4);
    made.heat(map, -9, 0);
    made.arrows(Float32Array.of(-2, -2, 2, 1), Float32Array.of(1, 1, -2, 5), 8, 2);
    made.layer("line", { kind: "line", data: Float32Array.of(-3, 3, 3, -3), colour: "exact", alpha: 0.5 });
    made.layer("points", { kind: "point", data: shown, colour: "particle", size: 6, alpha: 0.75 });
    made.paint();
    const copy = document.createElement("canvas");
    copy.width = copy.height = canvas.width;
    const pen = copy.getContext("2d");
    pen.drawImage(canvas, 0, 0);
    found.push(Array.from(pen.getImageData(0, 0, canvas.width, canvas.width).data));
    made.close();
    canvas.remove();
  }
  return found;
}"""


@pytest.fixture
def blank(page: Page, address: str) -> Page:
    scene(page, address, "density")
    return page


@pytest.mark.parametrize(("size", "alpha"), [(2.6, 0.75), (6.0, 1.0), (5.2, 0.5)])
def test_a_point_has_the_area_and_the_place_of_its_disc(blank: Page, size: float, alpha: float) -> None:
    """Cover min(1, r + 0.3 - d) over the plane is a truncated cone's volume; phases place a point within 1/16 pixel."""
    reach = size / 2 + 0.3
    volume = alpha * math.pi / 3 * (reach**3 - max(reach - 1, 0) ** 3)
    masses = []
    for k in range(12):
        x, y = 10 + 0.37 * k % 1, 12 + 0.61 * k % 1
        white = blank.evaluate(STAMPED, {"size": size, "alpha": alpha, "places": [x, 24 - y], "side": 24})
        mass = sum(white)
        masses.append(mass)
        centre = [sum(w * (at % 24 + 0.5) for at, w in enumerate(white)) / mass]
        centre += [sum(w * (at // 24 + 0.5) for at, w in enumerate(white)) / mass]
        assert centre == pytest.approx([x, y], abs=1 / 16 + 0.06)  # of a sampled cone's edge
    assert sum(masses) / len(masses) == pytest.approx(volume, rel=0.03)


def test_points_lie_over_each_other_and_stay_in_the_picture(blank: Page) -> None:
    def white(*places: float | None) -> list[float]:
        given = {"size": 6, "alpha": 0.5, "places": list(places), "side": 16}
        return list(blank.evaluate(STAMPED, given))

    once, twice = white(8, 8), white(8, 8, 8, 8)
    assert twice == pytest.approx([1 - (1 - one) ** 2 for one in once], abs=1.5 / 255) and max(once) > 0.49
    half = white(0, 8)  # half of it is outside, and does not come in again on the other side
    assert sum(half) == pytest.approx(sum(once) / 2, rel=0.1) and not any(half[k] for k in range(256) if k % 16 > 4)
    assert not any(white(-1, 8, 8, 17, float("1e30"), 3))


def test_no_number_is_no_point(blank: Page) -> None:
    assert not any(blank.evaluate(STAMPED.replace("Float32Array.from(places)", "Float32Array.of(NaN, 3, 3, NaN)"), {
        "size": 6, "alpha": 1, "places": [], "side": 16,
    }))  # fmt: skip


def test_the_processor_draws_what_webgl_draws(blank: Page) -> None:
    """Map, contours, arrows and lines to the bit; points but for 1/16 pixel and the corners that WebGL cuts."""
    one, other, bare = blank.evaluate(BOTH, 160)
    gaps = [a - b for a, b in zip(one, other, strict=True)]
    assert len(one) == 4 * 160**2 and sum(a != b for a, b in zip(one, bare, strict=True)) > 0.1 * len(one)
    assert sum(abs(gap) <= 1 for gap in gaps) > 0.9 * len(gaps)
    assert sum(map(abs, gaps)) < len(gaps) and abs(sum(gaps)) < 0.3 * len(gaps)
    assert sum(abs(a - b) for a, b in zip(one, bare, strict=True)) > 5 * len(gaps)  # what the points change


def test_particles_of_a_scene_are_stamped_here_and_drawn_when_they_move(page: Page, address: str) -> None:
    """The tests' browser has no graphics card; the picture of a walk changes where its particles are."""
    scene(page, address, "langevin", "n=500&steps=20&preset=two modes")
    changed = """(one) => {
      const pen = one.getContext("2d");
      if (!pen) return -1;
      const now = new Uint32Array(pen.getImageData(0, 0, one.width, one.height).data.buffer), old = window.old_ ?? now;
      window.old_ = now;
      return now.reduce((count, v, k) => count + (v !== old[k]), 0);
    }"""
    canvas = page.locator("canvas.plane")
    until(lambda: page.locator(".bar-of-colours").is_visible())  # the map is there
    page.wait_for_timeout(200)
    assert canvas.evaluate(changed) == 0
    control(page, "run").click()
    until(lambda: shown(page, "step") == "20")
    assert canvas.evaluate(changed) > 500  # 500 points of 5 pixels, many over others
