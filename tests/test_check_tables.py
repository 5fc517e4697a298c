"""The laws of a table's model hold for an exact one, and each catches the fault that it is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield.check import CheckReport, SampleCheck, columns, of_sample, tables
from scorefield.check import runs as check_runs
from scorefield.check.columns import column_laws
from scorefield.check.report import Row
from scorefield.data import DataError
from scorefield.plans import default
from scorefield.tables import calibrate as calibrating
from scorefield.tables.calibrate import calibrate, questions
from scorefield.tables.codec import RowCodec, fit_row_codec
from scorefield.tables.denoiser import MaskedDenoiser
from scorefield.tables.held import HeldOut
from scorefield.tables.mixture import fit_mixture
from scorefield.tables.network import MaskedMLP
from scorefield.tables.trained import TrainedTable


def rows(n: int, seed: int) -> pd.DataFrame:
    """Two numbers that depend on each other, whole numbers, a point mass, a category, holes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n) + np.where(rng.random(n) < 0.4, 2.0, -2.0)
    frame = pd.DataFrame(
        {"x": x, "y": 0.5 * x + rng.normal(size=n), "count": rng.normal(100, 20, n).round().astype(int)}
    )
    frame["extra"] = np.where(rng.random(n) < 0.3, 0.0, rng.normal(50, 5, n))
    frame["kind"] = rng.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1])
    frame.loc[rng.random(n) < 0.1, "y"] = np.nan
    return frame


@pytest.fixture(scope="module")
def model() -> TrainedTable:
    """The mixture of its training rows and the frequencies of their codes: exact, and near to the law of the rows."""
    frame = rows(1500, 0)
    codec = fit_row_codec(frame)
    encoded = codec.encode(frame, seed=0)
    numbers = codec.continuous
    law = fit_mixture(encoded[:, :numbers], 3)
    log = [torch.bincount(c[c.isfinite()].long(), minlength=k).double().log() for c, k in _codes(codec, encoded)]
    network = MaskedMLP(numbers, codec.sizes, width=8, depth=1)
    return TrainedTable(MaskedDenoiser(network, law, torch.cat(log).float()).eval(), codec)


def _codes(codec: RowCodec, encoded: torch.Tensor) -> list[tuple[torch.Tensor, int]]:
    return list(zip(encoded[:, codec.continuous :].T, codec.sizes, strict=True))


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("_PAIRED", 80), ("_BARS", 6), ("_PREDICTED", 30)):
        monkeypatch.setattr(tables, name, count)
    monkeypatch.setattr(columns, "_COLUMNS", 2)
    monkeypatch.setattr(columns, "_ROWS", 1)


@pytest.fixture(scope="module")
def held() -> HeldOut:
    return HeldOut(rows(120, 1), rows(300, 2))


def by_name(found: tuple[Row, ...] | list[Row]) -> dict[str, Row]:
    return {row.name.removeprefix("table: "): row for row in found}


def test_an_exact_model_passes_all_laws(model: TrainedTable, held: HeldOut) -> None:
    found = tables.of_table(model, held, seed=1)
    assert CheckReport(found).passed, str(CheckReport(found))
    assert {
        "codec round trip",
        "density",
        "quantiles",
        "sampler and density",
        "codes",
        "intervals",
        "memorisation",
    } <= set(by_name(found))
    assert by_name(found)["density"].measured < 0.01


def test_without_rows_the_laws_that_need_none_are_held(model: TrainedTable, monkeypatch: pytest.MonkeyPatch) -> None:
    report = check_runs.of_trained(model)
    assert report.passed and "Not checked against data" in report.note
    assert {"estimate identity", "density", "sampler and density", "step error"} <= set(by_name(report.rows))
    assert not {"intervals", "codes", "codec round trip"} & set(by_name(report.rows))


def spoilt(model: TrainedTable, **change: Any) -> TrainedTable:
    """The model with other parts: `scale` multiplies E[x0], `codes` is added to the logits of the codes."""
    scale, codes = change.pop("scale", 1.0), change.pop("codes", 0.0)
    m = model.model
    law = m.law
    if scale != 1.0:
        law = type(law)(law.weights, law.means, scale * law.covariances)
    log = m.log_frequencies.clone()
    log[-1] += codes
    return replace(model, model=MaskedDenoiser(m.network, law, log).eval(), **change)


def fails(law: str, found: tuple[Row, ...] | list[Row]) -> None:
    row = by_name(found)[law]
    assert not row.passed, str(row)


def test_a_codec_that_changes_cells_is_caught(
    model: TrainedTable, held: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = RowCodec.decode
    monkeypatch.setattr(RowCodec, "decode", lambda *a, **k: decode(*a, **k).assign(kind="a"))
    fails("codec round trip", [tables._round_trip(model, held)])


def test_a_law_that_is_too_wide_or_too_narrow_is_caught(model: TrainedTable, held: HeldOut) -> None:
    for scale in (0.1, 8.0):
        encoded = model.codec.encode(held.rows, seed=0)
        bad = spoilt(model, scale=scale)
        assert not CheckReport(tuple(tables.calibration(bad, encoded, 0))).passed
    fails("intervals", tables._intervals(spoilt(model, scale=0.1), model.codec.encode(held.rows), 0))


def test_wrong_probabilities_of_codes_are_caught(model: TrainedTable, held: HeldOut) -> None:
    fails("codes", tables._of_codes(spoilt(model, codes=4.0), model.codec.encode(held.rows)))


def test_a_density_that_is_not_normalised_is_caught(
    model: TrainedTable, held: HeldOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(right: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *a, **k: (r := right(*a, **k)).__class__(r.value + 0.7, *_rest(r))

    monkeypatch.setattr(columns, "row_log_density", wrong(columns.row_log_density))
    monkeypatch.setattr(tables, "row_log_density", wrong(tables.row_log_density))
    encoded = model.codec.encode(held.rows, seed=0)
    fails("density", column_laws(model, encoded, 0))
    fails("quantiles", column_laws(model, encoded, 0))
    fails("sampler and density", [tables.agreement(model, drawn(model, 200), 0)])


def drawn(model: TrainedTable, n: int) -> torch.Tensor:
    return model.draws(torch.full((n, *model.codec.shape), torch.nan, dtype=torch.float64), 1, steps=8)[0]


def _rest(found: Any) -> tuple[Any, ...]:
    return (found.standard_error, found.interval, found.solver_error, found.evaluations)


def test_a_sampler_that_draws_from_another_law_is_caught(model: TrainedTable) -> None:
    own = drawn(model, 200)
    assert tables.agreement(model, own, 0).passed
    off = torch.where(own.isfinite(), 1.5 * own, own)
    off[:, model.layout.numbers :] = own[:, model.layout.numbers :]
    fails("sampler and density", [tables.agreement(model, off, 0)])


def test_copies_of_training_rows_are_caught(model: TrainedTable, held: HeldOut) -> None:
    copied = HeldOut(held.rows, rows(300, 2))
    own = model.codec.encode(copied.training)[:128]
    fails("memorisation", tables._memorisation(model, copied, own))


def test_a_table_of_codes_alone_is_checked_and_not_calibrated() -> None:
    frame = pd.DataFrame({"a": ["u", "v"] * 30, "b": ["x", "y", "z"] * 20})
    codec = fit_row_codec(frame)
    model = TrainedTable(MaskedDenoiser(MaskedMLP(0, codec.sizes, width=8, depth=1), None).eval(), codec)
    report = CheckReport(tables.of_table(model, HeldOut(frame)))
    assert {"codec round trip", "codes", "sampler and density"} <= set(by_name(report.rows)) and report.passed
    with pytest.raises(ValueError, match="codes are drawn without steps"):
        calibrate(model, 5)


def test_a_calibrated_plan_does_not_lose_to_the_default_on_questions_of_its_own(
    model: TrainedTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrating, "calibration", partial(calibrating.calibration, trajectories=32))
    asked = questions(model, 40, seed=3)
    numbers = model.layout.numbers
    assert asked[::2, :numbers].isfinite().sum() == 0 and asked[1::2, :numbers].isfinite().any()
    assert asked[:, numbers:].isfinite().all() and asked[:, :numbers].isnan().any(1).all()
    found = calibrate(model, 4, search=False, seed=1)
    assert found.plan.evaluations == 4 and found.median <= found.untuned_median
    stored = replace(model, plans={4: found.plan})
    assert stored.plan(4) is found.plan and stored.plan(5) == model.plan(5)
    assert len(stored.sample(5, steps=4)) == 5 and found.untuned.name == default(4).name


# ------------------------------------------------------------------------------------------------------------ samples


def complete(n: int, seed: int) -> pd.DataFrame:
    return rows(n, seed).dropna()


@pytest.mark.parametrize("seed", [5, 6])
def test_rows_of_the_law_are_not_spoken_against(model: TrainedTable, seed: int) -> None:
    found = of_sample(model, model.sample(150, seed=100 + seed), seed=seed)
    assert found.passed and found.trusted and "Nothing speaks against" in str(found), str(found)
    assert "codes are compared by draws alone" in found.note


CHANGED: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "a relation": lambda f: f.assign(y=np.random.default_rng(0).permutation(f["y"].to_numpy())),
    "a spread": lambda f: f.assign(x=1.5 * f["x"]),
    "a category": lambda f: f.assign(kind="c"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_rows_of_another_law_are_found_out(model: TrainedTable, name: str) -> None:
    found = of_sample(model, CHANGED[name](complete(400, 7)))
    assert not found.passed and str(found).startswith("This sample is not from the run's law"), str(found)
    assert found.to_json()["passed"] is False


def test_a_few_rows_say_nothing(model: TrainedTable) -> None:
    with pytest.raises(DataError, match="too few to say anything"):
        of_sample(model, complete(12, 0))


def test_a_score_that_is_not_of_the_draws_does_not_decide() -> None:
    found = SampleCheck(100, 0.002, 0.004, 0.3)
    assert found.passed and not found.trusted and "only these decide" in str(found)
    assert not replace(found, own=0.5).passed and SampleCheck(100, None, None, 0.01).p_value == 0.01
