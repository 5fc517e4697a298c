"""The scene of a table: its numbers are the model's own, cells that are set stay, the page shows what is answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
import torch

from explorer_queries import query
from explorer_runs import mixed_table_session, points_session
from scorefield.data.sources import frame as source_frame
from scorefield.explorer.queries.table_axes import Axis, cell
from scorefield.explorer.session import Session
from scorefield.tables import outliers
from scorefield.tables.held import held_out
from scorefield.tables.measures import modelled
from scorefield.tables.outliers import expected, surprises
from scorefield.tables.trained import TrainedTable

if TYPE_CHECKING:
    from playwright.sync_api import Page

COLUMNS = ["town", "area", "rooms", "price", "garden", "sold"]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return mixed_table_session(tmp_path_factory.mktemp("explored"))


@pytest.fixture(scope="module")
def run(session: Session) -> TrainedTable:
    assert isinstance(session.run, TrainedTable)
    return session.run


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expectations over few rows, for speed."""
    monkeypatch.setattr(outliers, "_EXPECTED", 6)
    monkeypatch.setattr(outliers, "_TOLERANCE", 0.1)


def test_the_page_is_told_the_columns_and_the_rows(session: Session, run: TrainedTable) -> None:
    about = query("session.about", session)
    assert about["kind"] == "table" and about["columns"] == 6
    told = query("table.about", session)
    assert [c["name"] for c in told["columns"]] == COLUMNS and told["more"] == 0
    assert told["columns"][0]["choices"] == ["Bern", "Lyon", "Wien"] and told["columns"][1]["choices"] is None
    assert [c["density"] for c in told["columns"]] == [False, True, True, True, True, True]
    for column in told["columns"]:
        assert len(column["ticks"]) >= 2 and all(0 <= t["at"] <= 1 and t["text"] for t in column["ticks"]), column
    places = told["rows"]
    assert places.shape == (160, 6) and told["held"] == len(held_out(run).rows)
    assert np.isnan(places[:, 0]).sum() == 18  # holes
    shown = places[:, [0, 1, 2, 3, 5]]
    assert np.nanmin(shown) >= 0 and np.nanmax(shown) <= 1


def test_an_axis_goes_both_ways(run: TrainedTable) -> None:
    table = source_frame(run.info["data"]["source"])
    for column in modelled(run.codec)[1:]:
        values = (
            table[column.name].astype("datetime64[s]").astype("int64")
            if column.holds == "times"
            else table[column.name]
        )
        values = values.to_numpy(dtype=float)
        axis = Axis.of(column, values)
        u = np.linspace(0.05, 0.95, 7)
        assert np.allclose(axis.places(axis.values(u)), u)
        back = axis.series(u)
        assert len(back) == 7 and (column.holds != "times" or str(back.dtype) == column.dtype)


def test_set_cells_stay_and_the_rest_is_drawn_given_them(session: Session, run: TrainedTable) -> None:
    free = query("table.whatif", session, n=400)
    assert free["draws"].shape == (400, 6) and len(free["laws"]) == 6
    bern = query("table.whatif", session, given={"0": "Bern", "1": "60"}, n=400)
    assert bern["laws"][0]["shares"].tolist() == [1.0, 0.0, 0.0]
    assert np.ptp(bern["draws"][:, 1]) == 0 and np.ptp(bern["draws"][:, 2]) > 0
    expected_row = run.codec.encode(
        pd.DataFrame([{**dict.fromkeys(COLUMNS), "town": "Bern", "area": 60.0}]).astype(
            {"area": float, "rooms": float, "price": float, "garden": float, "sold": "datetime64[us]"}
        )
    )
    drawn = run.codec.decode(run.draws(expected_row, 400, steps=12, seed=0)[:, 0])
    assert bern["laws"][3]["median"] == f"{drawn['price'].quantile(0.5, interpolation='lower'):,.6g}"
    again = query("table.whatif", session, given={"0": "Bern", "1": "60"}, n=400)
    np.testing.assert_array_equal(again["draws"], bern["draws"])


def test_a_rows_cells_go_back_and_forth_and_its_surprises_are_the_models(session: Session, run: TrainedTable) -> None:
    told = query("table.row", session, index=3)
    assert told["held"]
    held = held_out(run).rows
    row = held.iloc[[3]]
    assert told["given"]["1"] == f"{row['area'].iloc[0]:.12g}" and told["given"]["5"] == str(row["sold"].iloc[0].date())
    found = query("table.surprises", session, given=told["given"])
    density = run.log_density(row, tolerance=1e-2)
    assert found["log_density"] == pytest.approx(float(density.value[0]), abs=1e-9)
    mine = surprises(run, row, expected(run))
    for k, column in enumerate(modelled(run.codec)):
        assert found["surprise"][k] == pytest.approx(float(mine[column.name].iloc[0]), abs=1e-9)
    assert found["percentile"] == pytest.approx(float(run.percentile(density.value)[0]))
    odd = query("table.surprises", session, given={**told["given"], "3": "900000"})
    assert odd["surprise"][3] == max(odd["surprise"]) > found["surprise"][3] + 3
    some = query("table.surprises", session, given={"0": "Bern"})
    assert some["percentile"] is None and some["surprise"][1:] == [None] * 5


def test_the_density_of_a_pair_is_the_models(session: Session, run: TrainedTable) -> None:
    found = query("table.density", session, x=1, y=3, n=6, given={"0": "Lyon", "1": "50"})  # x and y are not given
    assert found["log_density"].shape == (6, 6) and found["max"] == found["log_density"].max()
    axes = {
        k: Axis.of(modelled(run.codec)[k], source_frame(run.info["data"]["source"]).iloc[:, k].to_numpy())
        for k in (1, 3)
    }
    u = (np.arange(6) + 0.5) / 6
    frame = run.codec.decode(torch.full((1, *run.codec.shape), torch.nan, dtype=torch.float64))
    frame["town"], frame["area"] = "Lyon", axes[1].series(u[2:3])
    frame["price"] = axes[3].series(u[4:5])
    value, town = (
        run.log_density(one, draws=1, evaluations=64).value for one in (frame, frame.assign(area=np.nan, price=np.nan))
    )
    jacobian = sum(
        np.log(axis.values(place)) if axis.log else 0.0 for axis, place in zip(axes.values(), (u[2], u[4]), strict=True)
    )
    assert found["log_density"][4, 2] == pytest.approx(float(value[0] - town[0]) + float(jacobian), abs=0.1)
    quick = query("table.density", session, x=1, y=5, n=8, network=False)
    assert np.isfinite(quick["log_density"]).all()
    with pytest.raises(ValueError, match="codes"):
        query("table.density", session, x=0, y=1)
    with pytest.raises(ValueError, match="two of the columns"):
        query("table.density", session, x=1, y=1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"0": "Rome"}, "'town' has no value 'Rome'"),
        ({"1": "wide"}, "'area' holds numbers, got 'wide'"),
        ({"1": "1e999"}, "finite"),
        ({"5": "yesterday"}, "2024-01-31"),
        ({"6": "1"}, "columns 0 to 5"),
        ({"-1": "1"}, "column's number"),
        ({"1": "9" * 300}, "at most 200 characters"),
    ],
)
def test_cells_that_are_none_are_refused_in_a_sentence(session: Session, given: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        query("table.whatif", session, given=given)


def test_other_runs_and_rows_are_refused(session: Session) -> None:
    for other in (Session(), points_session()):
        with pytest.raises(ValueError, match="not one of a table"):
            query("table.about", other)
    with pytest.raises(ValueError, match="from 0 to 159"):
        query("table.row", session, index=160)


def test_without_its_file_a_run_shows_what_it_draws(run: TrainedTable) -> None:
    alone = Session(TrainedTable(run.model, run.codec), "alone")
    told = query("table.about", alone)
    assert told["rows"].shape == (0, 6) and told["held"] == 0 and all(c["ticks"] for c in told["columns"])
    assert query("table.surprises", alone, given={"1": "60"})["percentile"] is None
    with pytest.raises(ValueError, match="not at hand"):
        query("table.row", alone, index=0)


def test_texts_are_read_as_the_column_has_them(run: TrainedTable) -> None:
    schema = run.codec.schema
    assert cell(schema["price"], "12,500") == 12500.0
    assert cell(schema["sold"], "2021-02-03") == pd.Timestamp("2021-02-03")
    assert cell(schema["town"], "Wien") == "Wien"


# ------------------------------------------------------------------------------------------------------------ the page

from explorer_browser import Held, control, needed, scene, serving, shown, until  # noqa: E402


@pytest.fixture(scope="module")
def address(session: Session) -> Iterator[str]:
    with serving(session) as found:
        yield found


@needed
def test_the_page_sets_cells_and_shows_what_goes_with_them(page: Page, address: str, session: Session) -> None:
    want: dict[str, Any] = query("table.whatif", session, given={"0": "Bern"}, n=500)["laws"][3]
    scene(page, address, "table", "x=1&y=3&heat=0", choice=None)
    page.wait_for_selector("[data-name=cell0]")
    assert control(page, "cell0").is_disabled() and control(page, "take").is_disabled()
    page.locator(".option").nth(1).click()
    control(page, "commit").click()
    control(page, "cell0").select_option("Bern")
    text = f"{want['median']}, 90 % from {want['low']} to {want['high']}"
    page.wait_for_function("want => document.querySelector('[data-value=law3]').textContent === want", arg=text)
    assert control(page, "set0").is_checked() and not control(page, "set3").is_checked()
    until(lambda: "given=" in page.url)
    for width, height in ((1440, 900), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        until(lambda: page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0)


@needed
def test_a_row_that_comes_late_is_greyed_or_dropped(page: Page, address: str) -> None:
    """What is shown is of other cells until the row comes; cells that were set meanwhile are kept."""
    held = Held(page)
    scene(page, address, "table", "x=1&y=3&heat=0&given=" + quote('{"0":"Bern"}'))
    shown(page, "law3")
    until(lambda: page.locator("[data-stale]").count() == 0)
    held.hold()
    control(page, "take").click()
    until(lambda: page.locator(".cell[data-stale]").count() == len(COLUMNS))
    control(page, "cell0").select_option("Wien", force=True)
    page.wait_for_timeout(300)
    held.release()
    until(lambda: page.locator("[data-stale]").count() == 0)
    assert control(page, "cell0").input_value() == "Wien" and not control(page, "set3").is_checked()


def worst(found: dict[str, Any]) -> str:
    return COLUMNS[int(np.argmax([-np.inf if nats is None else nats for nats in found["surprise"]]))]


@needed
def test_a_row_is_taken_and_judged_by_the_keyboard(page: Page, address: str, session: Session) -> None:
    given = query("table.row", session, index=2)["given"]
    asked = (given, {**given, "3": "900000"})
    found, odd = (query("table.surprises", session, given=one) for one in asked)  # before the server computes too
    scene(page, address, "table", "x=1&y=3&row=2&heat=0")
    control(page, "take").focus()
    page.keyboard.press("Enter")
    until(lambda: control(page, "cell1").input_value() == given["1"])
    until(lambda: shown(page, "most") == worst(found))
    assert shown(page, "held") == "held out" and shown(page, "percentile").endswith("%")
    control(page, "cell3").fill("900000")
    page.keyboard.press("Enter")
    until(lambda: "+" in control(page, "cell3").locator("xpath=..").inner_text() and shown(page, "most") == worst(odd))


@needed
def test_a_cell_that_is_none_is_said_to_be_on_the_page(browser: Any, address: str) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        scene(page, address, "table")
        control(page, "cell1").fill("wide")
        page.keyboard.press("Enter")
        until(lambda: "'area' holds numbers, got 'wide'" in page.locator(".trouble").inner_text())


@needed
def test_the_scene_says_what_it_needs_without_a_table(page: Page) -> None:
    with serving(Session()) as address:
        page.goto(f"{address}#/table")
        page.wait_for_selector("pre")
        assert "scorefield explore run" in page.locator("pre").inner_text()
        page.goto("about:blank")  # before the server ends, which the page would report
