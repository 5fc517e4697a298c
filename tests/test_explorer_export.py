"""The explorer as one file: it opens without a network, is complete, and shows the library's numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from explorer_browser import control, needed, numbers, scene, shown, until
from explorer_queries import query, stream
from explorer_runs import digits_session, mixed_table_session, points_session, posterior_session
from scorefield.core import Level
from scorefield.explorer import export
from scorefield.explorer.export import Few, Scope, write
from scorefield.explorer.queries.laws import PRESETS
from scorefield.explorer.session import Session
from scorefield.tables import outliers

if TYPE_CHECKING:
    from playwright.sync_api import Page

SMALL = Scope(
    fields=("two modes", "moons"),
    sigmas=(0.3, 2.0),
    pointers=((0.0, 0.0), (1.5, 0.75)),
    cleans=((0.0, 0.0), (1.5, 0.0)),
    walks=("unequal weights",),
    step_sizes=(0.05, 0.2),
    walk_steps=40,
    walkers=100,
    samplers=("ddim", "dpmpp2", "euler"),
    targets=("two modes",),
    steps=(4, 8),
    particles=50,
    objectives=("denoising", "explicit"),
    learned=("two modes",),
    training_steps=50,
    densities=("two modes",),
    places=((0.0, 0.0), (1.5, 0.0)),
    probes=(4, 8),
    scales=(1.0, 3.0),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "page.html"
    heard: list[tuple[float, str]] = []
    size = write(path, SMALL, report=lambda share, what: heard.append((share, what.split()[-1])))
    assert size == path.stat().st_size < 1e6
    assert heard == [(k / 5, name) for k, name in enumerate(("Field", "Langevin", "Diffusion", "Learn", "Density"))]
    return path


@pytest.fixture
def alone(page: Page, file: Path) -> Iterator[str]:
    """The file's address, on a page that sends no request."""
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    yield file.as_uri()
    assert all(url.startswith(("data:", "blob:", file.as_uri())) for url in requested)


def test_nothing_is_left_to_be_fetched(file: Path) -> None:
    html = file.read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', re.sub(r"<script.*?</script>", "", html, flags=re.S))
    assert "default-src 'none'" in html and "http://" not in re.sub(r"http://www.w3.org/[\w/]*", "", html)


def test_a_recording_is_the_same_every_time(tmp_path: Path) -> None:
    one = replace(
        SMALL, fields=SMALL.fields[:1], sigmas=(0.3,), cleans=SMALL.cleans[:1], step_sizes=SMALL.step_sizes[:1],
        walk_steps=10, samplers=("euler",), steps=(4,), objectives=("denoising",), probes=(4,), places=((0.0, 0.0),),
    )  # fmt: skip
    for name in ("one", "other"):
        write(tmp_path / name, one)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_the_command_writes_the_file_or_says_why_not(
    scorefield: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: Path
) -> None:
    monkeypatch.setattr(export, "write", lambda path, session, report: path.write_bytes(file.read_bytes()))
    code, out, _ = scorefield("explore", "--export", tmp_path / "page.html")
    assert code == 0 and "page.html, 0." in out and (tmp_path / "page.html").read_bytes() == file.read_bytes()
    (tmp_path / "file").write_text("kept")
    refused = [
        (tmp_path,),
        (tmp_path / "nowhere" / "page.html",),
        (tmp_path / "file" / "page.html",),
        (tmp_path / ("a" * 300),),
        (Path("/proc/page.html"),),
    ]
    computed = "nothing is computed for a file that is refused"
    monkeypatch.setattr(export, "write", lambda path, session, report: pytest.fail(computed))
    for words in refused:
        code, out, err = scorefield("explore", "--export", *words)
        assert code == 2 and out == "" and err.count("\n") == 1 and "--export" in err
    assert (tmp_path / "file").read_text() == "kept" and not list(tmp_path.glob("a" * 9 + "*"))


@needed
def test_the_fields_numbers_are_the_librarys(page: Page, alone: str) -> None:
    scene(page, alone, "field", "sigma=2&preset=moons&at=1.4,0.8&clean=1.4,0.1")
    law, x, level = PRESETS["moons"], torch.tensor([[1.5, 0.75]], dtype=torch.float64), Level(1.0, 2.0)
    assert numbers(shown(page, "x")) == [1.5, 0.75]  # the nearest point that was recorded
    assert numbers(shown(page, "log_density")) == pytest.approx([float(law.log_density(x, level))], rel=1e-4)
    assert numbers(shown(page, "score")) == pytest.approx(law.score(x, level)[0].tolist(), rel=1e-3, abs=1e-3)
    assert numbers(shown(page, "x0")) == pytest.approx(law(x, level).x0[0].tolist(), rel=1e-3, abs=1e-3)
    control(page, "sigma").focus()
    page.keyboard.press("Home")
    score = law.score(x, Level(1.0, 0.3))[0].tolist()
    until(lambda: numbers(shown(page, "score")) == pytest.approx(score, rel=1e-3, abs=1e-3))
    assert "sigma=0.3" in page.evaluate("new Promise((done) => setTimeout(() => done(location.hash), 300))")


@needed
def test_the_chains_are_the_librarys(page: Page, alone: str) -> None:
    for state, how in (("", {"start": "first mode"}), ("mode=annealed&step=0.2", {"annealed": True, "step": 0.2})):
        scene(page, alone, "langevin", state, choice=None if state else 1)
        control(page, "run").click()
        until(lambda: shown(page, "step") == "40")
        params = {"mixture": "unequal weights", "n": 100, "sigma": 0.1, "step": 0.05, "steps": 40, **how}
        *_, last = stream("langevin.run", **params)
        assert numbers(shown(page, "w1")) == pytest.approx([last["sliced_wasserstein"]], rel=1e-3)
        assert numbers(shown(page, "weights")) == pytest.approx(last["mode_weights"], abs=0.006)


@needed
def test_the_samplers_are_the_librarys(page: Page, alone: str) -> None:
    scene(page, alone, "diffusion", "a=euler&steps=4")
    for schedule in ("vp", "rectified flow"):
        control(page, "schedule").select_option(schedule)
        result = query("diffusion.sample", mixture="two modes", plan="euler", schedule=schedule, steps=4, n=50)
        until(lambda r=result: numbers(shown(page, "rms")) == pytest.approx([r["error"]["rms"]], rel=1e-3))
    control(page, "forwards").click()
    until(lambda: "forward" in page.locator("figcaption").first.inner_text())


FEW = Few(images=2, levels=(0.3, 1.0), labels=1, guidances=(1.0,), columns=2, settings=2, rows=1, observations=3)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Session]]:
    """A page of a run of each kind, and its session."""
    folder = tmp_path_factory.mktemp("runs")
    made = {"images": digits_session(), "table": mixed_table_session(folder), "posterior": posterior_session(folder)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outliers, "_EXPECTED", 4)
        patch.setattr(outliers, "_TOLERANCE", 0.1)
        for name, session in made.items():
            write(folder / f"{name}.html", session=session, few=FEW)
    return {name: (folder / f"{name}.html", session) for name, session in made.items()}


def test_a_run_without_a_scene_of_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leave the run out"):
        write(tmp_path / "page.html", session=points_session())


@needed
def test_a_runs_page_shows_the_librarys_numbers_at_every_stop(
    page: Page, pages: dict[str, tuple[Path, Session]]
) -> None:
    for name, (path, session) in pages.items():
        scene(page, path.as_uri(), name)
        assert page.locator("#menu a").all_inner_texts() == [name.capitalize()]
        for slider in page.locator(".side input[type=range]:visible").all():
            slider.focus()
            for key in ("Home", "ArrowRight"):
                page.keyboard.press(key)
                looked_at(page, name)
        if name == "images":
            control(page, "half").click()
            wanted = query("images.restore", session, index=1, runs=[32, 32], n=8, steps=30)
            until(lambda w=wanted: numbers(shown(page, "away")) == pytest.approx([w["error"]], rel=1e-2))  # type: ignore[misc]
        elif name == "posterior":
            x = query("posterior.held", session, index=1)["x"]
            wanted = query("posterior.draw", session, x=x, n=1000)["laws"][0]["median"]
            until(lambda w=wanted: numbers(shown(page, "law0"))[:1] == pytest.approx([w], rel=1e-2))  # type: ignore[misc]
        else:
            control(page, "clear").click()
            control(page, "set1").check()
            value = control(page, "cell1").input_value()
            wanted = query("table.whatif", session, given={"1": value}, n=500)["laws"][3]["median"]
            until(lambda w=wanted: w in shown(page, "law3"))  # type: ignore[misc]
        until(lambda: page.locator("[data-stale]").count() == 0)


@needed
def test_every_value_of_every_control_was_recorded(page: Page, alone: str) -> None:
    """A page that lacks an answer shows it as trouble."""
    for name in ("field", "langevin", "diffusion", "learn", "density"):
        scene(page, alone, name)
        for place in range(page.locator("select:visible").count()):
            select = page.locator("select:visible").nth(place)
            for value in select.locator("option").evaluate_all("all => all.map((one) => one.value)"):
                if select.is_enabled():
                    select.select_option(value)
                    looked_at(page, name)
        for slider in page.locator(".side input[type=range]:visible").all():
            slider.focus()
            page.keyboard.press("Home")
            for _ in range(int(slider.get_attribute("max") or 0)):
                page.keyboard.press("ArrowRight")
                looked_at(page, name)


STARTS = {"langevin": "run", "learn": "train"}


def looked_at(page: Page, name: str) -> None:
    if name in STARTS:
        control(page, STARTS[name]).click()
    page.wait_for_timeout(80)
    assert page.locator(".trouble:visible").count() == 0


@needed
def test_a_page_within_a_page_shows_its_scene_alone(page: Page, file: Path, tmp_path: Path) -> None:
    """As the lessons embed it: neither the menu nor a question that holds the controls back."""
    outer = tmp_path / "lesson.html"
    inner = f"{file.as_uri()}#/learn?preset=two%20modes&objective=explicit"
    outer.write_text(f'<iframe style="width: 700px; height: 600px" src="{inner}"></iframe>', encoding="utf-8")
    page.goto(outer.as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("[data-name=train]").wait_for()
    assert frame.locator("[data-name=train]").is_enabled()
    assert not frame.locator(".question, .bar, .intro h1").filter(visible=True).count()
