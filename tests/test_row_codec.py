"""Laws of rows of mixed columns, over a table of data frames."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from torch import Tensor

from scorefield.data import DataError
from scorefield.tables.codec import RowCodec, fit_row_codec
from scorefield.tables.detection import detect
from scorefield.tables.series import as_frame
from scorefield.tables.transforms import Identity
from scorefield.tables.wall import Wall, Walls

RNG = np.random.default_rng(0)
N = 240
NORMAL = RNG.standard_normal(N)
HOLES = RNG.random(N) < 0.2


def holed(values: np.ndarray, empty: object = np.nan) -> np.ndarray:
    out = np.array(values, dtype=object if empty is None or values.dtype == object else np.float64)
    out[HOLES] = empty
    return out


def one(values: object, **kwargs: object) -> pd.DataFrame:
    return pd.DataFrame({"a": pd.Series(values, **kwargs)})


def times(count: int, unit: str = "us", zone: str | None = None, step: int = 1) -> pd.Series:
    ticks = 1_700_000_000_000_000 + RNG.integers(0, 10**12, count) * step
    series = pd.Series(ticks.astype("M8[us]")).dt.as_unit(unit)
    series[HOLES[:count]] = pd.NaT
    return series if zone is None else series.dt.tz_localize("UTC").dt.tz_convert(zone)


SPIKED = np.where(RNG.random(N) < 0.45, 0.0, np.round(np.exp(NORMAL), 2))
TEXT = np.array(["red", "green", 'a "quoted", one', ""], dtype=object)[RNG.integers(0, 4, N)]


def everything() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "float": NORMAL * 3 + 7,
            "cents": np.round(NORMAL * 30, 2),
            "spiked": SPIKED,
            "count": RNG.poisson(200, N),
            "code": RNG.integers(0, 5, N),
            "text": TEXT,
            "flag": NORMAL > 0,
            "when": times(N),
            "unit": "cm",
            "again": np.round(NORMAL * 30, 2),
            "text again": TEXT,
            "holes": holed(NORMAL**3),
        }
    )


FRAMES: dict[str, Callable[[], pd.DataFrame]] = {
    "everything": everything,
    "one column": lambda: one(NORMAL),
    "two rows": lambda: pd.DataFrame({"a": [1.5, 2.5], "b": ["x", "y"]}),
    "constant and copy": lambda: pd.DataFrame({"a": NORMAL, "b": 4, "c": NORMAL, "d": "x", "e": True, "f": pd.NaT})[
        ["a", "b", "c", "d", "e"]
    ],
    "copy with holes": lambda: pd.DataFrame({"a": holed(NORMAL), "b": holed(NORMAL), "t": TEXT, "u": TEXT}),
    "copy of another type": lambda: pd.DataFrame({"a": RNG.integers(0, 10**6, N)}).assign(b=lambda f: f.a * 1.0),
    "one value and holes": lambda: pd.DataFrame(
        {"a": NORMAL, "b": holed(np.ones(N)), "c": holed(TEXT == TEXT, None), "d": pd.Series(holed(TEXT, None))}
    ).replace({"d": dict.fromkeys(set(TEXT), "x")}),
    "heavy tails": lambda: one(np.where(RNG.random(N) < 0.02, 1e12, 1.0) * NORMAL),
    "one outlier": lambda: one(np.append(NORMAL, 1e12)),
    "cauchy": lambda: one(RNG.standard_cauchy(N)),
    "tiny values": lambda: one(NORMAL * 1e-300),
    "tiny positive values": lambda: one(np.exp(NORMAL) * 1e-300),
    "large values": lambda: one(NORMAL * 1e290),
    "tiny spread": lambda: one(1e9 + NORMAL * 1e-3),
    "minus zero": lambda: one(np.where(NORMAL < -1, -0.0, NORMAL)),
    "log-normal": lambda: one(np.exp(3 * NORMAL)),
    "negative": lambda: one(-np.exp(2 * NORMAL)),
    "share": lambda: one(RNG.beta(0.4, 0.4, N)),
    "per cent": lambda: one(np.round(100 * RNG.beta(0.4, 0.4, N)).astype(int)),
    "counts": lambda: one(RNG.geometric(0.005, N) - 1),
    "spiked": lambda: one(SPIKED),
    "two atoms": lambda: one(np.where(NORMAL > 1, 99.0, SPIKED)),
    "atoms and holes": lambda: one(holed(SPIKED)),
    "spiked counts": lambda: one(np.where(NORMAL > 0.5, 0, RNG.integers(5, 10**4, N))),
    "multiples of 0.04": lambda: one(np.round(RNG.integers(0, 500, N) * 4) / 100),
    "quarters": lambda: one(RNG.integers(-400, 400, N) / 4),
    "float32": lambda: one(NORMAL.astype(np.float32)),
    "float32 decimals": lambda: one(np.round(NORMAL, 1).astype(np.float32)),
    "int8": lambda: one(RNG.integers(-128, 128, N).astype(np.int8)),
    "uint64": lambda: one(RNG.integers(0, 10**12, N).astype(np.uint64)),
    "large integers": lambda: one(2**62 + RNG.integers(0, 10**9, N)),
    "integers with holes": lambda: one(holed(RNG.integers(0, 10**4, N))),
    "nullable integers": lambda: one(RNG.integers(0, 10**4, N), dtype="Int64").mask(pd.Series(HOLES), pd.NA),
    "nullable floats": lambda: one(NORMAL, dtype="Float64").mask(pd.Series(HOLES), pd.NA),
    "arrow": lambda: pd.DataFrame(
        {
            "a": pd.array(NORMAL, dtype="double[pyarrow]"),
            "b": pd.array(RNG.integers(0, 10**4, N), dtype="int64[pyarrow]"),
            "c": pd.array(NORMAL > 0, dtype="bool[pyarrow]"),
        }
    ),
    "objects": lambda: pd.DataFrame(
        {"a": holed(TEXT, None), "b": pd.Series([*range(N)], dtype=object), "c": holed(NORMAL > 0, None)}
    ),
    "booleans with holes": lambda: pd.DataFrame(
        {"a": pd.Series(NORMAL > 0, dtype="boolean").mask(pd.Series(HOLES)), "b": holed((NORMAL > 0).astype(object))}
    ),
    "strings": lambda: pd.DataFrame(
        {"a": pd.Series(TEXT, dtype="string").mask(pd.Series(HOLES)), "b": pd.Series(TEXT).mask(pd.Series(HOLES))}
    ),
    "categories": lambda: pd.DataFrame(
        {
            "a": pd.Categorical(TEXT, categories=["unused", *sorted(set(TEXT)), "too"]),
            "b": pd.Categorical(holed(TEXT, None), categories=sorted(set(TEXT), reverse=True), ordered=True),
            "c": pd.Categorical(RNG.integers(0, 4, N), categories=[9, 3, 2, 1, 0]),
        }
    ),
    "times": lambda: pd.DataFrame(
        {
            "a": times(N, "us", "Europe/Berlin"),
            "b": times(N, "s"),
            "c": times(N, "ns", "UTC"),
            "d": times(N).dt.normalize(),
            "e": times(N) - pd.Timestamp("2020-01-01"),
            "f": pd.Series(pd.to_datetime(["2020-01-01", "2021-07-01", None] * (N // 3))),
            "g": times(N, "us", "+05:30"),
        }
    ),
    "other names": lambda: pd.DataFrame({3: NORMAL, ("a", 1): NORMAL**2, 2.5: TEXT}),
    "numbered": lambda: pd.DataFrame(RNG.standard_normal((N, 3))).rename_axis(columns="which"),
    "nearly collinear": lambda: pd.DataFrame({"a": NORMAL, "b": NORMAL + 1e-9 * RNG.standard_normal(N)}),
}


@pytest.fixture(autouse=True)
def same_draws_in_any_order() -> None:
    """A test's draws do not depend on which tests were run before it."""
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state


@pytest.fixture(scope="module", params=FRAMES, ids=str)
def frame(request: pytest.FixtureRequest) -> pd.DataFrame:
    RNG.bit_generator.state = np.random.default_rng(2).bit_generator.state  # as below
    return FRAMES[request.param]()


def assert_returns(back: pd.DataFrame, frame: pd.DataFrame, codec: RowCodec) -> None:
    """Types, names, order, holes, codes and lattices exactly; other floats up to their rounding.

    A float goes there and back through transform, shift and scale: a few roundings at the size of the value or of the
    mean, and, after a transform, of the logarithm of the one or the other (below 700).
    """
    fine = [column for column in codec.schema if column.floating and column.lattice is None]
    names = {column.name for column in fine} | {c.name for c in codec.schema if c.of in {f.name for f in fine}}
    for column in fine:
        was, now = (f[column.name].to_numpy(dtype=float, na_value=np.nan) for f in (frame, back))
        there = ~np.isnan(was)
        size = np.abs(was[there]).max() if type(column.transform).__name__ in ("Identity", "Logit") else 1e-300
        scale = getattr(column.transform, "scale", 0.0) + abs(getattr(column.transform, "centre", 0.0))
        digits = 1e-6 if "32" in column.dtype else 3e-13
        assert (np.abs(now - was)[there] <= digits * np.maximum(np.abs(was[there]), size + scale)).all()
    for name in names:
        assert back[name].dtype == frame[name].dtype and back[name].isna().equals(frame[name].isna())
        back = back.assign(**{name: frame[name]}) if isinstance(name, str) else back
    exact = [name for name in frame.columns if name not in names or isinstance(name, str)]
    assert back.columns.equals(frame.columns)
    assert_frame_equal(back[exact], frame[exact], check_exact=True)


def test_decoding_gives_the_frame_back(frame: pd.DataFrame) -> None:
    codec = fit_row_codec(frame)
    rows = codec.encode(frame)
    assert rows.dtype == torch.float64 and rows.shape == (len(frame), *codec.shape)
    assert_returns(codec.decode(rows), frame, codec)
    assert_returns(codec.decode(codec.encode(frame, seed=1)), frame, codec)
    assert_returns(codec.decode(rows, index=frame.index[::-1]).reset_index(drop=True), frame, codec)


def test_coordinates_are_standardised_and_gated(frame: pd.DataFrame) -> None:
    codec = fit_row_codec(frame)
    c = codec.continuous
    rows = codec.encode(frame).numpy()
    assert len(codec.gates) == c and len(codec.sizes) == rows.shape[1] - c == len(codec.names_of_coordinates) - c
    for j in range(c):
        kept = rows[np.isfinite(rows[:, j]), j]
        # the mean is rounded at its own size, which may be 1e12 times the spread
        rounding = 1e-9 + 4 * np.finfo(float).eps * abs(codec.mean[j]) / codec.std[j]
        assert abs(kept.mean()) < rounding and abs(kept.std() - 1) < rounding
        if codec.gates[j] >= 0:
            code = rows[:, c + codec.gates[j]]
            assert (np.isfinite(rows[:, j]) == (code == 0)).all()
    for j, size in enumerate(codec.sizes):
        code = rows[:, c + j]
        assert set(code[np.isfinite(code)]) == set(range(size))  # every code occurs in training


def test_json_gives_the_same_codec(frame: pd.DataFrame) -> None:
    codec = fit_row_codec(frame)
    again = RowCodec.from_json(json.loads(json.dumps(codec.to_json())))
    assert again == codec
    assert torch.equal(torch.nan_to_num(again.encode(frame), 99.0), torch.nan_to_num(codec.encode(frame), 99.0))


def same(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def test_dequantisation(frame: pd.DataFrame) -> None:
    """Uniform within the cells of columns that repeat, nothing elsewhere; a function of (seed, row, draw)."""
    codec = fit_row_codec(frame)
    plain, noisy = codec.encode(frame), codec.encode(frame, seed=3)
    fine = [column for column in codec.schema if column.floating]
    for j, column in enumerate(fine):
        there = torch.isfinite(plain[:, j])
        assert (torch.isfinite(noisy[:, j]) == there).all()
        z = torch.stack([plain[there, j], noisy[there, j]]).numpy() * codec.std[j] + codec.mean[j]
        move = column.transform.inverse(z[1]) - column.transform.inverse(z[0])
        if not column.resolution:
            assert (move == 0).all()
            continue
        low, high = column.transform.bounds
        assert (column.transform.inverse(z[1]) > low).all() and (column.transform.inverse(z[1]) < high).all()
        width = column.resolution
        rounding = 1e-9 + 1e-13 * np.abs(column.transform.inverse(z[0])).max() / width
        assert (np.abs(move / width) <= 0.5 + rounding).all()
        n = len(move)  # uniform: standard errors of the mean and the mean square are sqrt(1/12/n) and sqrt(1/180/n)
        assert abs((move / width).mean()) < 5 * (1 / 12 / n) ** 0.5 + rounding
        assert abs(np.square(move / width).mean() - 1 / 12) < 5 * (1 / 180 / n) ** 0.5 + rounding
    assert same(noisy[:, len(fine) :], plain[:, len(fine) :])
    assert same(codec.dequantise(plain, 3), noisy)
    assert same(codec.encode(frame.iloc[1:2], seed=3, first=1), noisy[1:2])
    assert same(codec.encode(frame.iloc[[1, 0]], seed=3, first=torch.tensor([1, 0])), noisy[[1, 0]])
    if any(column.resolution for column in fine):
        assert not same(noisy, codec.encode(frame, seed=3, draw=1))


def test_log_det_is_that_of_finite_differences(frame: pd.DataFrame) -> None:
    """Central differences of each coordinate by 1e-4 standard deviations; cells add the logarithm of a width."""
    codec = fit_row_codec(frame)
    rows = codec.encode(frame)
    total = np.zeros(len(frame))
    rounding = 1e-9
    for j, column in enumerate(column for column in codec.schema if column.floating):
        transform, z = column.transform, rows[:, j].numpy()
        there = np.isfinite(z)
        y = z[there] * codec.std[j] + codec.mean[j]
        unit = 1e-4 * codec.std[j]  # y is moved and x = inverse(y) measured: dy/dx = 2 unit / (x+ - x-)
        rise = transform.inverse(y + unit) - transform.inverse(y - unit)
        total[there] += np.log(2 * unit / rise) - np.log(codec.std[j])
        curved = 0.0 if isinstance(transform, Identity) else 1e-8 * max(codec.std[j], 1.0) ** 2
        if isinstance(transform, Wall | Walls):  # of normal scores the third derivative is up to y^2 times the first
            curved *= max(1.0, np.abs(y).max() ** 2)
        rounding += curved + 4e-16 * np.abs(transform.inverse(y)).max() / rise.min()
        if column.kind == "integer":
            total[there] += np.log(column.resolution)
    found = codec.log_det(frame)
    assert found.dtype == torch.float64 and found.shape == (len(frame),)
    edge = np.log(2) * sum(column.kind == "integer" for column in codec.schema)  # cells cut by a bound are smaller
    assert (np.abs(found.numpy() - total) < rounding + edge).all()
    assert np.median(np.abs(found.numpy() - total)) < rounding


def test_order_of_columns_does_not_matter(frame: pd.DataFrame) -> None:
    codec = fit_row_codec(frame)
    assert same(codec.encode(frame.iloc[:, ::-1]), codec.encode(frame))
    assert same(codec.encode(frame.assign(more=1), extra=True), codec.encode(frame))


def test_any_rows_decode_and_encode_again(frame: pd.DataFrame) -> None:
    """Whatever a model generates is a valid row: within bounds, of the columns' types."""
    codec = fit_row_codec(frame)
    n = 200
    z = RNG.standard_t(2, (n, codec.continuous))
    codes = [RNG.integers(0, size, n) for size in codec.sizes]
    rows = torch.from_numpy(np.column_stack([z, *codes]).reshape(n, -1).astype(np.float64))
    back = codec.decode(rows)
    again = codec.decode(codec.encode(back))
    assert list(back.dtypes) == list(frame.dtypes)
    assert_frame_equal(again, back, rtol=1e-5)


def test_nothing_decodes_to_nothing(frame: pd.DataFrame) -> None:
    codec = fit_row_codec(frame)
    back = codec.decode(torch.full((3, *codec.shape), torch.nan, dtype=torch.float64))
    constant = [column.kind == "constant" for column in codec.schema]
    assert (back.isna().to_numpy() == ~np.array(constant)).all()
    assert torch.isnan(codec.encode(back)).all()
    assert (codec.log_det(back) == 0).all()
    assert any("no values at all" in line for line in codec.warnings(back))


values = st.one_of(
    st.lists(st.floats(-1e290, 1e290) | st.just(float("nan")), min_size=4, max_size=40),
    st.lists(st.integers(-(10**12), 10**12), min_size=4, max_size=40),
    st.lists(st.booleans(), min_size=4, max_size=40),
    st.lists(st.text(max_size=3) | st.none(), min_size=4, max_size=40),
    st.lists(st.decimals(-1000, 1000, places=2).map(float), min_size=4, max_size=40),
)


@given(values, values)
@settings(max_examples=100, deadline=None)
def test_any_frame_returns(a: list[object], b: list[object]) -> None:
    n = min(len(a), len(b))
    frame = pd.DataFrame({"a": a[:n], "b": b[:n], "c": np.arange(n) * 1.5})
    try:
        codec = fit_row_codec(frame)
    except DataError as error:
        assert "no value" in str(error)
        return
    assert_returns(codec.decode(codec.encode(frame)), frame, codec)


def test_arrays() -> None:
    x = RNG.standard_normal((50, 3))
    codec = fit_row_codec(x)
    assert codec.schema.names == ("x0", "x1", "x2")
    np.testing.assert_allclose(codec.decode(codec.encode(x)).to_numpy(), x, rtol=1e-12, atol=1e-14)
    assert list(as_frame(x, ["a", "b", 3]).columns) == ["a", "b", 3]
    with pytest.raises(DataError, match="shape"):
        as_frame(x[0])


def test_the_probability_of_a_cell() -> None:
    """For whole numbers, N(z) exp(log_det) averaged over the noise is the probability of the cell."""
    frame = one(RNG.poisson(50, 2000) * 7)
    codec = fit_row_codec(frame)
    assert codec.schema["a"].kind == "integer" and codec.schema["a"].resolution == 7
    rows = pd.DataFrame({"a": [350] * 4000})
    z = codec.encode(rows, seed=0)
    density = torch.exp(torch.distributions.Normal(0.0, 1.0).log_prob(z[:, 0]) + codec.log_det_encoded(z))
    mean, std = codec.mean[0], codec.std[0]
    ends = (torch.tensor([346.5, 353.5], dtype=torch.float64) - mean) / std
    exact = torch.distributions.Normal(0.0, 1.0).cdf(ends).diff().item()
    assert abs(density.mean().item() - exact) < 5 * density.std().item() / 4000**0.5


def edited(**cells: object) -> pd.DataFrame:
    frame = everything()
    for name, value in cells.items():
        column = frame[name].astype(object)
        column.iloc[4] = value
        frame[name] = column.infer_objects()
    return frame


FAULTS = [
    (lambda: everything().drop(columns=["cents", "text"]), "lacks the column.*'cents', 'text'"),
    (lambda: everything().assign(new=1), "'new', unknown at training"),
    (lambda: edited(text="blue", **{"text again": "blue"}), "'text' holds 'blue' in row 5 .*unseen at training"),
    (lambda: edited(code=77), "'code' holds 77.* in row 5"),
    (lambda: edited(float="abc"), "'float' holds 'abc' in row 5"),
    (lambda: edited(float=np.inf), "'float' holds inf in row 5"),
    (lambda: edited(float=1e305), "'float' holds 1[0e+]+305 in row 5"),
    (lambda: edited(spiked=-1.0), "'spiked' holds -1 in row 5.*bounds 0 and inf"),
    (lambda: edited(count=2.5), "'count' holds 2.5 in row 5.*whole numbers"),
    (lambda: edited(unit="m"), "'unit' holds 'm' in row 5.*was always cm at training"),
    (lambda: edited(again=0.123), "'again' was the same as 'cents'.*row 5"),
    (lambda: everything().assign(when="2020-01-01"), "'when' holds '2020-01-01' in row 1.*to_datetime"),
    (lambda: everything().assign(when=lambda f: f.when.dt.tz_localize("UTC")), "'when' has the type .*UTC"),
    (lambda: pd.concat([everything(), everything()[["cents"]]], axis=1), "more than one column 'cents'"),
]


@pytest.mark.parametrize(("make", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_faults(make: Callable[[], pd.DataFrame], message: str) -> None:
    codec = fit_row_codec(everything())
    with pytest.raises(DataError, match=message):
        codec.encode(make())


def test_unseen_may_be_missing() -> None:
    codec = fit_row_codec(everything())
    cells = {"text": "blue", "text again": "blue", "code": 77, "spiked": -1.0, "count": 2.5, "unit": "m"}
    frame = edited(**cells)
    row = codec.encode(frame, unseen="missing")[4]
    for name in cells:
        assert torch.isnan(row[list(codec.entries_of(name))]).all()
    assert torch.isfinite(row[0])
    bad = codec.misfits(frame)
    assert [codec.schema.names[j] for j in np.flatnonzero(bad[4])] == ["spiked", "count", "code", "text", "unit"]
    assert bad.sum() == 5 and not codec.misfits(everything()).any()


def test_a_copy_fills_the_holes_of_its_source() -> None:
    codec = fit_row_codec(everything())
    frame = everything()
    expected = codec.encode(frame)
    assert same(codec.encode(frame.assign(cents=np.nan)), expected)
    assert codec.entries_of("again") == codec.entries_of("cents") and codec.entries_of("unit") == ()


def test_warnings_of_values_far_away() -> None:
    codec = fit_row_codec(everything())
    assert codec.warnings(everything()) == []
    (sentence,) = codec.warnings(edited(float=1e6))
    assert "'float' has 1 value(s) far outside" in sentence and "1000000.0 in row 5" in sentence


def test_bad_rows() -> None:
    codec = fit_row_codec(pd.DataFrame({"a": NORMAL, "t": TEXT}))
    for row, message in (([0.0, 9.0], "codes of 't'"), ([0.0, 0.5], "codes of 't'"), ([np.inf, 0.0], "infinite")):
        with pytest.raises(ValueError, match=message):
            codec.decode(torch.tensor([row]))
    with pytest.raises(ValueError, match="shape"):
        codec.decode(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="kind 'row'"):
        RowCodec.from_json({"kind": "table"})


def test_nothing_to_model() -> None:
    with pytest.raises(DataError, match="every column is a constant"):
        fit_row_codec(pd.DataFrame({"a": [1.0, 1.0]}))


def test_a_schema_may_be_given() -> None:
    frame = one(SPIKED)
    codec = fit_row_codec(frame, detect(frame, {"a": {"atoms": [], "low": 0.0}}))
    assert codec.sizes == () and codec.schema["a"].transform.bounds[0] == -codec.schema["a"].resolution / 2
    assert_returns(codec.decode(codec.encode(frame)), frame, codec)
