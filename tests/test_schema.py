"""What is detected in columns, how it is overridden, and the files that frames come from."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from scorefield.data import DataError, builtin_frame, read_frame, write_frame
from scorefield.tables.detection import detect
from scorefield.tables.lattice import Lattice, find_lattice
from scorefield.tables.schema import Column, Schema
from scorefield.tables.schema_toml import overridden, overrides_from_toml, to_toml
from scorefield.tables.transforms import (
    Asinh,
    Identity,
    Log,
    Logit,
    Transform,
    choose_transform,
    transform_from_json,
    transform_to_json,
)
from scorefield.tables.wall import Wall, Walls

RNG = np.random.default_rng(1)
N = 2000
Z = RNG.standard_normal(N)
U = RNG.random(N)

DETECTED: list[tuple[str, object, dict[str, object]]] = [
    ("normal", Z, {"kind": "continuous", "transform": Identity(), "lattice": None, "resolution": 0.0}),
    ("decimals", np.round(Z, 2), {"kind": "continuous", "lattice": Lattice(2), "resolution": 0.01}),
    ("decimals once", np.round(Z[:50], 9), {"kind": "continuous", "lattice": Lattice(9), "resolution": 0.0}),
    ("steps", np.rint(Z * 50) * 4 / 100, {"kind": "continuous", "lattice": Lattice(2, 4), "resolution": 0.04}),
    ("counts", RNG.poisson(300, N), {"kind": "integer", "resolution": 1.0, "transform": Identity()}),
    ("tens", 10 * RNG.poisson(300, N) + 3, {"kind": "integer", "lattice": Lattice(0, 10, 3)}),
    ("grades", RNG.integers(1, 7, N), {"kind": "ordinal", "values": (1, 2, 3, 4, 5, 6)}),
    ("too few rows for codes", np.arange(40) % 10, {"kind": "integer"}),
    ("two numbers", np.where(Z[:9] > 0, 2.5, 7.5), {"kind": "ordinal", "values": (2.5, 7.5)}),
    ("text", np.array(["b", "a"], dtype=object)[(Z > 0) * 1], {"kind": "categorical", "values": ("a", "b")}),
    ("truth", Z > 0, {"kind": "boolean", "values": (False, True)}),
    ("constant", np.full(N, 3.5), {"kind": "constant", "values": (3.5,)}),
    ("constant text", ["x"] * N, {"kind": "constant", "values": ("x",)}),
    ("spike", np.where(U < 0.45, 0, np.exp(Z)), {"kind": "continuous", "atoms": (0.0,), "low": 0.0}),
    ("two spikes", np.where(U < 0.1, -9.0, np.where(U > 0.9, 9.0, Z)), {"atoms": (-9.0, 9.0)}),
    (
        "heaps at tens",
        np.where(U < 0.5, 10 * np.rint(6 + 1.5 * Z), np.rint(60 + 15 * Z)),
        {"kind": "integer", "atoms": (30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0)},
    ),
    ("no spike in counts", RNG.geometric(0.1, N), {"kind": "integer", "atoms": ()}),
    ("log-normal", np.exp(Z), {"transform": Log(), "low": 0.0, "high": None}),
    ("counts from 0", np.floor(3 * np.exp(Z)), {"transform": Log(-0.5), "low": 0.0}),
    ("waits from 0", RNG.geometric(0.01, N) - 1, {"kind": "integer", "low": 0.0, "high": None}),
    ("negative", -np.exp(Z), {"transform": Log(0.0, above=False), "low": None, "high": 0.0}),
    ("share", 1 / (1 + np.exp(-3 * Z)), {"transform": Logit(0.0, 1.0), "low": 0.0, "high": 1.0}),
    ("correlations", np.tanh(2 * Z), {"transform": Logit(-1.0, 1.0)}),
    ("per cent", np.rint(100 / (1 + np.exp(-3 * Z))), {"transform": Logit(-0.5, 100.5), "low": 0.0, "high": 100.0}),
    ("uniform apart from intervals", 2 + 5 * U, {"transform": Walls(2.0, 7.0), "low": 2.0, "high": 7.0}),
    ("days of a month", RNG.integers(1, 32, N), {"transform": Walls(0.5, 31.5), "low": 1.0, "high": 31.0}),
    ("outliers", np.append(Z, [1e12, -1e12]), {"kind": "continuous", "low": None}),
    ("times", pd.Timestamp("2024-01-01") + pd.to_timedelta(U, unit="D"), {"kind": "datetime", "resolution": 0.0}),
    (
        "days",
        pd.Timestamp("2024-01-01") + pd.to_timedelta(RNG.integers(0, 300, N), unit="D"),
        {"kind": "datetime", "resolution": 86400.0},
    ),
    (
        "two days",
        pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(20) % 2, unit="D"),
        {"kind": "ordinal", "holds": "times"},
    ),
]


@pytest.mark.parametrize(("values", "expected"), [case[1:] for case in DETECTED], ids=[case[0] for case in DETECTED])
def test_what_is_detected(values: object, expected: dict[str, object]) -> None:
    column = detect(pd.DataFrame({"a": values}))["a"]
    assert {name: getattr(column, name) for name in expected} == expected


def test_heavy_tails_get_asinh() -> None:
    assert isinstance(choose_transform(RNG.standard_cauchy(N)), Asinh)
    assert isinstance(choose_transform(np.append(Z, 1e12)), Asinh)


def test_a_few_outliers_do_not_decide() -> None:
    assert choose_transform(np.append(Z, [8.0, 9.0, -7.0])) == Identity()
    assert choose_transform(np.append(np.exp(Z), [300.0, 400.0])) == Log()


@pytest.mark.parametrize("n", [3, 10, 30, 150])
def test_the_identity_wins_ties(n: int) -> None:
    """On Gaussian data another transform is chosen in fewer than one case in ten, as two standard errors ask."""
    other = sum(choose_transform(10 + RNG.standard_normal(n)) != Identity() for _ in range(100))
    assert other <= 10


TRANSFORMS: list[Transform] = [
    Identity(),
    Log(),
    Log(-3.0),
    Log(5.0, above=False),
    Logit(),
    Logit(-2.0, 10.0),
    Asinh(),
    Asinh(3.0, 1e-3),
    Wall(),
    Wall(0.5, False, 2.0, 0.5),
    Walls(),
    Walls(-2.0, 10.0),
]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=str)
def test_transforms(transform: Transform) -> None:
    """Increasing, onto, inverse to each other, within their bounds however far, with the slope of differences."""
    y = np.linspace(-6, 6, 101)
    x = transform.inverse(y)
    assert (np.diff(x) > 0).all()
    np.testing.assert_allclose(transform.forward(x), y, atol=1e-9)
    h = 1e-5
    slope = 2 * h / (transform.inverse(y + h) - transform.inverse(y - h))
    np.testing.assert_allclose(transform.log_slope(y), np.log(slope), atol=1e-6)
    low, high = transform.bounds
    far = transform.inverse(np.array([-1e4, 1e4]))
    assert (np.isfinite(far) & (far > low) & (far < high)).all()
    assert transform_from_json(json.loads(json.dumps(transform_to_json(transform)))) == transform


def test_a_lattice_holds_its_values() -> None:
    for lattice in (Lattice(0), Lattice(2, 4, 1), Lattice(3), Lattice(0, 1000, 7), Lattice(12)):
        values = lattice.nearest(np.arange(-100, 100) * lattice.width + lattice.offset / 10**lattice.digits)
        assert find_lattice(values) == lattice
        np.testing.assert_array_equal(lattice.nearest(values + 0.49 * lattice.width), values)
        inside = lattice.inside(values, values[3], values[-3] + lattice.width / 3)
        assert inside.min() == values[4] and inside.max() == values[-3]
    assert find_lattice(Z) is None


def test_copies_and_their_sources() -> None:
    holes = np.where(U < 0.1, np.nan, Z)
    frame = pd.DataFrame({"a": Z, "b": holes, "c": Z, "d": holes, "e": Z + 1e-12, "f": Z})
    assert [(c.kind, c.of) for c in detect(frame)] == [
        ("continuous", None),
        ("continuous", None),
        ("copy", "a"),
        ("copy", "b"),
        ("continuous", None),
        ("copy", "a"),
    ]


MIXED = pd.DataFrame(
    {
        "size, in 'cm'": np.exp(Z),
        'the "kind"': np.array(["ä\n", "b\\"], dtype=object)[(Z > 0) * 1],
        "spike": np.where(U < 0.4, 0.0, np.round(np.exp(Z), 1)),
        "share": 1 / (1 + np.exp(-3 * Z)),
        "wild": np.tan(np.pi * (U - 0.5)),
        "count": RNG.poisson(100, N),
        "flag": Z > 0,
        "one": 1,
        "again": np.exp(Z),
        "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(RNG.integers(0, 300, N), unit="D"),
        7: RNG.integers(0, 3, N),
    }
)


def test_toml_and_json_give_the_schema_back() -> None:
    schema = detect(MIXED)
    assert overridden(schema, to_toml(schema), MIXED) == schema
    assert detect(MIXED, overrides_from_toml(to_toml(schema))) == schema
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    assert overridden(schema, "", MIXED) == schema
    text = str(detect(pd.DataFrame({"a": pd.to_datetime(["2024-01-01", "2025-06-01"]), "b": "x\ny"})))
    assert "2024-01-01" in text and "x y" in text
    assert len(str(schema).splitlines()) == 1 + len(schema)


def test_overriding_changes_what_it_says_and_nothing_else() -> None:
    schema = detect(MIXED)
    text = """
    [column.spike]
    atoms = []
    low = 0.0
    [column.7]
    kind = "integer"
    [column.count]
    transform = "log"
    [column.again]
    kind = "continuous"
    transform = "identity"
    [column.flag]
    kind = "categorical"
    [column.wild]
    scale = 2.0
    transform = "asinh"
    centre = 0.0
    """
    new = overridden(schema, text, MIXED)
    assert new["spike"].atoms == () and new["spike"].transform == Log(-0.05)
    assert new[7].kind == "integer" and new[7].resolution == 1
    assert new["count"].transform == Log()
    assert new["again"].kind == "continuous" and new["again"].transform == Identity()
    assert new["flag"].kind == "categorical"
    assert new["wild"].transform == Asinh(0.0, 2.0)
    changed = {"spike", 7, "count", "again", "flag", "wild"}
    assert [c for c in new if c.name not in changed] == [c for c in schema if c.name not in changed]


BAD_OVERRIDES = [
    ("[column.spik]\nkind = 'ordinal'", "'spik', which is not there"),
    ("[column.spike]\nkinds = 'ordinal'", "'kinds' is no setting"),
    ("[column.spike]\nkind = 'discrete'", "the kind is one of .*got 'discrete'"),
    ("[column.spike]\nkind = 'datetime'", "holds numbers, so its kind is one of"),
    ("[column.spike]\nkind = 'constant'", "is no constant"),
    ("[column.spike]\nkind = 'copy'", "is no copy"),
    ("[column.spike]\ntransform = 'sqrt'", "the transform is one of"),
    ("[column.spike]\nlow = 1.0", "bounded by 1 and holds"),
    ("[column.share]\nlow = 0.0\ntransform = 'logit'", "logit both"),
    ("[column.wild]\nkind = 'integer'", "lie on no lattice"),
    ("[column.wild]\nresolution = 0.5", "lie on no lattice"),
    ("[column.count]\nresolution = 0.3", "lie 1 apart"),
    ("[column.7]\nvalues = [0, 1]", "must name each value once"),
    ("[columns.spike]\nlow = 1.0", "one table"),
    ("column", "no TOML"),
]


@pytest.mark.parametrize(("text", "message"), BAD_OVERRIDES, ids=[text for text, _ in BAD_OVERRIDES])
def test_bad_overrides(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        overridden(detect(MIXED), text, MIXED)


BAD_FRAMES: list[tuple[Callable[[], pd.DataFrame], str]] = [
    (lambda: pd.DataFrame(), "0 rows and 0 columns"),
    (lambda: pd.DataFrame({"a": []}), "0 rows and 1 columns"),
    (lambda: pd.DataFrame({"a": [1.0], "b": [np.nan]}), "'b' has no value in any of the 1 rows"),
    (lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than one column 'a'"),
    (lambda: pd.DataFrame({pd.Timestamp("2024-01-01"): [1.0]}), "the column name Timestamp"),
    (lambda: pd.DataFrame({"a": [1.0, np.inf]}), "'a' holds inf in row 2"),
    (lambda: pd.DataFrame({"a": [1.0, 1e301]}), "'a' holds 1e[+]301 in row 2"),
    (lambda: pd.DataFrame({"a": [1, "x"]}), "'a' holds Python objects of the type.*int, str"),
    (lambda: pd.DataFrame({"a": [1j, 2j]}), "'a' has the type complex128"),
    (lambda: pd.DataFrame({"a": [[1], [2]]}), "'a' holds Python objects of the type.*list"),
    (lambda: pd.DataFrame({"a": pd.cut(Z, 3)}), "'a' has categories of type Interval"),
    (lambda: pd.DataFrame({"a": [-(2**62), 0, 2**62]}), "'a' has whole numbers from"),
]


@pytest.mark.parametrize(("make", "message"), BAD_FRAMES, ids=[message for _, message in BAD_FRAMES])
def test_bad_frames(make: Callable[[], pd.DataFrame], message: str) -> None:
    with pytest.raises(DataError, match=message):
        detect(make())


def test_bad_schemas() -> None:
    column = Column("a", "continuous", "numbers", "float64")
    for columns in ((), (column, column), (Column("b", "copy", "numbers", "float64", of="a"), column)):
        with pytest.raises(ValueError, match="column"):
            Schema(columns)
    with pytest.raises(ValueError, match="cannot be read"):
        Schema.from_json({"columns": [{}]})
    with pytest.raises(KeyError, match="there is no column 'b'"):
        Schema((column,))["b"]


FILED = {
    "numbers": pd.DataFrame({"a": [1.5, np.nan, 1e-300], "b": [1, 2, 3], "c": pd.array([1, None, 3], dtype="Int64")}),
    "text": pd.DataFrame({"a": ['x, "y"', "none", "é"], "b": ["1a", None, "-"]}),
    "booleans": pd.DataFrame({"a": [True, False], "b": pd.array([True, None], dtype="boolean")}),
    "times": pd.DataFrame(
        {
            "a": pd.to_datetime(pd.Series(["2024-01-01", "1999-12-31", None])),
            "b": pd.to_datetime(pd.Series(["2024-01-01 12:30:00.25", "1999-12-31", None]), format="ISO8601"),
            "c": pd.to_datetime(pd.Series(["2024-01-01 12:30:00", "1999-12-31", None]), format="ISO8601", utc=True),
        }
    ),
}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("frame", FILED.values(), ids=FILED)
def test_frames_go_through_files(frame: pd.DataFrame, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"table.{suffix}"
    write_frame(frame, path)
    assert_frame_equal(read_frame(path), frame, check_exact=True)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_parquet_keeps_categories_and_reads_dates_and_decimals(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    frame = pd.DataFrame({"a": pd.Categorical(["x", None], categories=["y", "x"], ordered=True)})
    write_frame(frame, tmp_path / "a.parquet")
    assert_frame_equal(read_frame(tmp_path / "a.parquet"), frame)
    days = pa.array([19000, None], pa.date32())
    money = pa.array([1, None], pa.decimal128(10, 2))
    pq.write_table(pa.table({"day": days, "money": money}), tmp_path / "b.parquet")
    found = read_frame(tmp_path / "b.parquet")
    assert found.dtypes.astype(str).tolist() == ["datetime64[s]", "float64"]
    assert found.day[0] == pd.Timestamp(19000 * 86400, unit="s")


FILES = [
    ("a;b\n1,500;2\n", "'a' holds '1,500' in data row 1.*--decimal point or --decimal comma"),
    ("a,b\n1,2\n1\n", "data row 2 .line 3.* has 1 cells and the header has 2"),
    ("a,a\n1,2\n", "same name 'a'"),
    ("a\n" + "\n".join(str(i) for i in range(99)) + "\noops\n", "'a' holds 'oops' in data row 100"),
    ("a\n", "no data rows"),
    ("", "is empty"),
]


@pytest.mark.parametrize(("text", "message"), FILES, ids=[message for _, message in FILES])
def test_bad_files(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_frame(path)


def test_other_files(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "a.csv", "not there"), (tmp_path / "a.ods", "suffix '.ods'")):
        with pytest.raises(DataError, match=message):
            read_frame(path)
    with pytest.raises(DataError, match="suffix 'none'"):
        write_frame(FILED["text"], tmp_path / "a")
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        read_frame(tmp_path / "bad.parquet")
    (tmp_path / "b.csv").write_bytes(b"a\n\x81\n")
    with pytest.raises(DataError, match="UTF-8"):
        read_frame(tmp_path / "b.csv")


def test_header_and_missing_cells(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1.5,red,?\n2.5,NA,3\n,blue,4\n")
    expected = pd.DataFrame({"x0": [1.5, 2.5, np.nan], "x1": ["red", None, "blue"], "x2": [None, 3, 4]})
    assert_frame_equal(read_frame(path), expected.astype({"x2": "Int64"}))


@pytest.mark.parametrize("name", ["wine", "breast_cancer", "iris", "diabetes", "moons"])
def test_builtin_frames(name: str) -> None:
    frame, without = builtin_frame(name), builtin_frame(name, target=False)
    classes = name in ("wine", "breast_cancer", "iris")
    assert ("target" in frame) == classes and "target" not in without
    if classes:
        assert detect(frame)["target"].kind == "categorical"
    with pytest.raises(DataError, match="holds images"):
        builtin_frame("digits")


def test_no_value_is_an_atom_by_chance() -> None:
    """At most one column in 200 of even whole numbers has an atom; a value in a tenth of the rows always is one."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"age{j}": rng.integers(0, 90, 400) for j in range(40)})
    frame["garden"] = np.where(rng.random(400) < 0.1, 0.0, rng.normal(50, 10, 400))
    found = {column.name: column.atoms for column in detect(frame) if column.atoms}
    assert found.pop("garden") == (0.0,)
    assert not found


@pytest.mark.parametrize("digits", [2, 12])
def test_ten_zeros_among_values_that_hardly_repeat_are_an_atom_and_a_wall(digits: int) -> None:
    """Amounts whose density is smooth down to 0, where some are 0 itself; by their logarithm or with an edge."""
    rng = np.random.default_rng(0)
    for shape in (0.6, 1.0, 2.0):
        amount = rng.gamma(shape, 1000.0, 284).clip(1.0)
        amount[:10] = 0.0
        column = detect(pd.DataFrame({"amount": amount.round(digits)}))["amount"]
        assert column.atoms == (0.0,), shape
        assert column.low is not None and 0 <= column.low <= 10.0**-digits and column.high is None
    far = rng.normal(50, 10, 284)
    far[:10] = -999.0
    assert detect(pd.DataFrame({"far": far}))["far"].low is None  # a code for what is not known is no wall
