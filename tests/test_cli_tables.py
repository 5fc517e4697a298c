"""The command line on tables of every kind of column: from a file with holes to answers; bad input in one line."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from scorefield import runs
from scorefield._files import read_tensors
from scorefield.data import read_frame
from scorefield.data.sources import frame as source_frame
from scorefield.likelihood.level_density import USUAL
from scorefield.tables import calibrate as calibrating
from scorefield.tables.codec import fit_row_codec
from scorefield.tables.conform import conform, free_name
from scorefield.tables.detection import detect
from scorefield.tables.trained import TrainedTable

FIT = ("--batch", "32", "--size", "small", "--quiet")


def houses(n: int = 160) -> pd.DataFrame:
    """Categories, few and many whole numbers, an atom, times, booleans, a constant, a copy, and holes."""
    rng = np.random.default_rng(0)
    city = rng.choice(["Bern", "Lyon", "Wien"], n)
    area = np.exp(rng.normal(4.0, 0.3, n)).round(1)
    price = (np.select([city == "Bern", city == "Lyon"], [30, 15], 20) * area * np.exp(rng.normal(0, 0.1, n))).astype(
        int
    )
    garden = np.where(rng.random(n) < 0.4, 0.0, rng.normal(50, 10, n).round(2))
    sold = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.permutation(4 * n)[:n], unit="D")
    frame = pd.DataFrame({"city": city, "area": area, "price": price, "garden": garden, "sold": sold})
    frame = frame.assign(lift=rng.random(n) < 0.5, country="EU", square=area)
    for column in ("city", "price", "garden"):
        frame[column] = frame[column].astype(object).where(rng.random(n) > 0.08, None)
    return frame


@pytest.fixture(scope="module")
def folder(in_process, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with houses.csv and a run on it, a few steps long."""
    here = tmp_path_factory.mktemp("tables")
    houses().to_csv(here / "houses.csv", index=False)
    (here / "schema.toml").write_text("[column.price]\nlow = 0.0\n")
    words = ("fit", here / "houses.csv", "-o", here / "run", "--steps", 30, *FIT, "--schema", here / "schema.toml")
    assert in_process(*words) == 0
    return here


def written(folder: Path, frame: pd.DataFrame, name: str = "rows.csv") -> Path:
    frame.to_csv(folder / name, index=False)
    return folder / name


# -------------------------------------------------------------------------------------------------- fit, schema, info


def test_the_schema_is_printed_written_and_taken_back(scorefield, folder: Path, tmp_path: Path) -> None:
    table, toml, run = folder / "houses.csv", tmp_path / "schema.toml", tmp_path / "run"
    assert scorefield("schema", table)[1].strip() == str(detect(read_frame(table)))
    assert scorefield("schema", table, "-o", toml)[0] == 0
    assert "atoms = [0.0]" in toml.read_text()
    toml.write_text('[column."area"]\ntransform = "identity"\nresolution = 0.0\n')
    assert scorefield("fit", table, "-o", run, "--steps", 2, "--schema", toml, *FIT)[0] == 0
    mine, found = TrainedTable.load(run).codec.schema, TrainedTable.load(folder / "run").codec.schema
    assert mine["area"].resolution == 0.0 and mine["garden"] == found["garden"]
    toml.write_text('[column."aera"]\nkind = "continuous"\n')
    code, _, err = scorefield("fit", table, "-o", tmp_path / "other", "--schema", toml)
    assert code == 2 and "aera" in err and err.count("\n") == 1
    code, _, err = scorefield("fit", "ring", "-o", tmp_path / "other", "--schema", toml)
    assert code == 2 and "--schema" in err


def test_info_says_what_the_columns_and_a_density_are(scorefield, folder: Path) -> None:
    code, out, _ = scorefield("info", folder / "run")
    assert code == 0
    for text in (
        "8 columns",
        "atom at 0",
        "nats",
        "counting measure",
        "marginal density",
        "memorisation  ",
        "30 steps",
    ):
        assert text in out, text
    assert str(runs.load(folder / "run").codec.schema) in out


def test_a_killed_training_goes_on_bit_for_bit(scorefield, tmp_path: Path) -> None:
    toml = tmp_path / "schema.toml"
    toml.write_text('[column."area"]\nlow = 0.0\n')
    words = ["fit", str(written(tmp_path, houses(60))), "--steps", "60", *FIT]
    command = [sys.executable, "-m", "scorefield", *words, "-o", str(tmp_path / "killed"), "--schema", str(toml)]
    command += ["--checkpoint-every", "0.05s"]
    process = subprocess.Popen(command)
    checkpoint = tmp_path / "killed" / "checkpoint.safetensors"
    end = time.monotonic() + 60
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and not (tmp_path / "killed" / "model.json").exists()
    code, _, err = scorefield(*words, "-o", tmp_path / "killed")
    assert code == 2 and "--resume" in err
    assert scorefield(*words, "-o", tmp_path / "killed", "--resume")[0] == 0  # the schema is remembered
    assert scorefield(*words, "-o", tmp_path / "whole", "--schema", toml)[0] == 0
    (one, _), (other, _) = (read_tensors(tmp_path / name / "model.safetensors") for name in ("killed", "whole"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ------------------------------------------------------------------------------------------------------------ answers


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_samples_are_rows_of_the_table(scorefield, folder: Path, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"new.{suffix}"
    assert scorefield("sample", folder / "run", "-n", 20, "-o", file, "--steps", 6)[0] == 0
    new, real = read_frame(file), read_frame(folder / "houses.csv")
    assert list(new.columns) == list(real.columns) and len(new) == 20 and not new.isna().any().any()
    assert (new["square"] == new["area"]).all() and set(new["city"]) <= {"Bern", "Lyon", "Wien"}
    expected = runs.load(folder / "run").sample(20, steps=6)
    assert np.array_equal(new["area"], expected["area"])


def test_density_is_the_models_and_a_row_without_values_has_density_one(
    scorefield, folder: Path, tmp_path: Path
) -> None:
    rows = houses(12).astype(object)
    rows.loc[3] = None
    code, _, err = scorefield("density", folder / "run", written(tmp_path, rows), "-o", tmp_path / "d.csv")
    assert code == 0 and "row 4" in err and err.count("\n") == 1
    found = pd.read_csv(tmp_path / "d.csv")
    assert list(found.columns) == ["log_density", "standard_error", "percentile"] and len(found) == 12
    assert found["log_density"][3] == 0.0 and found["percentile"].between(0, 100).all()
    model = runs.load(folder / "run")
    want = model.log_density(read_frame(tmp_path / "rows.csv"), tolerance=1e-2).value.numpy()
    assert np.allclose(found["log_density"], want, atol=0.03)


def test_the_order_of_columns_does_not_matter(scorefield, folder: Path, tmp_path: Path) -> None:
    rows = houses(6)
    for name, frame in (("a", rows), ("b", rows[rows.columns[::-1]])):
        scorefield("density", folder / "run", written(tmp_path, frame), "-o", tmp_path / f"{name}.csv")
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


def test_outliers_name_the_row_and_the_column(scorefield, folder: Path, tmp_path: Path) -> None:
    rows = houses(20)
    rows.loc[7, ["garden"]] = 140.0
    rows.loc[11, ["area", "square"]] = 1e6
    table = written(tmp_path, rows)
    code, _, err = scorefield("outliers", folder / "run", table, "-o", tmp_path / "o.csv", "--share", 0.1)
    assert code == 0 and "far outside" in err
    found = pd.read_csv(tmp_path / "o.csv")
    assert list(found["row"]) == [12, 8] and list(found["column"]) == ["area", "garden"]
    assert (found["surprise"] > 5).all() and found["log_density"].is_monotonic_increasing
    assert list(found.columns[6:]) == list(rows.columns) and found["garden"][1] == 140.0
    assert free_name("row", ["row", "row_"]) == "row__"
    assert scorefield("outliers", folder / "run", table, "-o", tmp_path / "o.csv", "--share", 2)[0] == 2


def test_imputation_fills_the_holes_and_changes_nothing_else(scorefield, folder: Path, tmp_path: Path) -> None:
    rows = read_frame(folder / "houses.csv").head(30)
    table, out = written(tmp_path, rows), tmp_path / "full.csv"
    assert scorefield("impute", folder / "run", table, "-o", out, "--steps", 6)[0] == 0
    full = read_frame(out)
    assert not full.isna().any().any()
    for name in rows.columns:
        here = rows[name].notna()
        assert (full[name][here] == rows[name][here]).all()
    assert scorefield("impute", folder / "run", table, "-o", out, "--steps", 6, "--draws", 3)[0] == 0
    long = read_frame(out)
    assert list(long["draw"]) == [1] * 30 + [2] * 30 + [3] * 30
    hole = int(np.flatnonzero(rows["garden"].isna())[0])
    assert long["garden"][[hole, hole + 30, hole + 60]].nunique() > 1


def test_predictions_of_every_kind(scorefield, folder: Path, tmp_path: Path) -> None:
    def predicted(target: str, *words: object) -> pd.DataFrame:
        table = written(tmp_path, houses(6).drop(columns=target))
        call = ("predict", folder / "run", table, "--target", target, "-o", tmp_path / "p.parquet", *words)
        assert scorefield(*call)[0] == 0
        return pd.read_parquet(tmp_path / "p.parquet")

    for target in ("price", "garden", "sold"):
        found, narrow = predicted(target), predicted(target, "--interval", 0.5)
        assert list(found.columns) == ["row", "mean", "median", "low", "high"] and list(found["row"]) == [*range(1, 7)]
        assert (found["low"] <= found["median"]).all() and (found["median"] <= found["high"]).all()
        assert (found["low"] <= narrow["low"]).all() and (narrow["high"] <= found["high"]).all()
    assert str(found["mean"].dtype).startswith("datetime")
    for target, values in (("city", ["Bern", "Lyon", "Wien"]), ("lift", ["False", "True"])):
        found = predicted(target)
        assert list(found.columns) == ["row", "prediction", *(f"p_{value}" for value in values)]
        assert np.allclose(found.iloc[:, 2:].sum(axis=1), 1)
    assert (predicted("country")["p_EU"] == 1).all()


def test_predictions_stand_beside_what_is_known_and_tell_their_coverage(
    scorefield, folder: Path, tmp_path: Path
) -> None:
    rows = houses(40)
    table = written(tmp_path, rows)
    for target, words in (("price", "90% intervals hold"), ("sold", "90% intervals hold"), ("city", "most probable")):
        code, out, _ = scorefield("predict", folder / "run", table, "--target", target, "-o", tmp_path / "p.parquet")
        found, known = pd.read_parquet(tmp_path / "p.parquet"), rows[target].notna()
        assert code == 0 and list(found.columns[:2]) == ["row", "actual"]
        assert (found["actual"].isna() == ~known).all() and (found["actual"][known] == rows[target][known]).all()
        inside = (
            (found["actual"] >= found["low"]) & (found["actual"] <= found["high"])
            if target != "city"
            else (found["actual"] == found["prediction"])
        )
        count = f"{inside[known].sum()} of {known.sum()} known values"
        assert words in out and count in out and out.count("\n") == 1
    rows.assign(price=None).to_csv(table, index=False)
    code, out, _ = scorefield("predict", folder / "run", table, "--target", "price", "-o", tmp_path / "p.csv")
    assert code == 0 and "known" not in out


def test_completed_tables_go_to_files_of_their_own_in_the_order_of_the_rows(
    scorefield, folder: Path, tmp_path: Path
) -> None:
    rows = houses(20)
    table = written(tmp_path, rows)
    words = ("impute", folder / "run", table, "--steps", 4, "--draws", 3)
    assert scorefield(*words, "-o", tmp_path / "full-{}.csv")[0] == 0
    assert scorefield(*words, "-o", tmp_path / "long.csv")[0] == 0
    long = read_frame(tmp_path / "long.csv")
    for k in (1, 2, 3):
        own = read_frame(tmp_path / f"full-{k}.csv")
        assert list(own.columns) == list(rows.columns) and (own["area"] == rows["area"]).all()
        one = long[long["draw"] == k].drop(columns="draw").reset_index(drop=True)
        pd.testing.assert_frame_equal(own, one, check_dtype=False)
    assert not (tmp_path / "full-{}.csv").exists()


@pytest.mark.parametrize(
    "index",
    [pd.Index([5, 5, 3, 1], name="id"), pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["x", "y"])],
    ids=["doubled", "levels"],
)
def test_filled_rows_keep_their_index(folder: Path, index: pd.Index) -> None:
    model = TrainedTable.load(folder / "run")
    rows = conform(model.codec, read_frame(folder / "houses.csv").head(4)).set_axis(index)
    rows["area"] = rows["square"] = np.nan
    filled = model.impute(rows, draws=2, steps=4)
    for table in filled:
        pd.testing.assert_index_equal(table.index, index)
        assert not table.isna().any().any() and (table["sold"] == rows["sold"]).all()


def test_a_run_keeps_where_its_levels_lie(folder: Path, tmp_path: Path) -> None:
    model = TrainedTable.load(folder / "run")
    density = model.model.level_density
    assert density != USUAL  # measured when it was trained
    model.save(tmp_path / "again")
    assert TrainedTable.load(tmp_path / "again").model.level_density == density
    text = (tmp_path / "again" / "model.json").read_text()
    (tmp_path / "again" / "model.json").write_text(text.replace(f'"steps": {density.steps}', '"steps": 7', 1))
    with pytest.raises(ValueError, match="an even number of steps up to 96"):
        TrainedTable.load(tmp_path / "again")


def test_samples_under_conditions(scorefield, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.csv"
    words = ("sample", folder / "run", "-n", 30, "-o", out, "--steps", 6, "--given")
    assert scorefield(*words, "city in Bern|Wien,30<=area<60", "--given", "country=EU")[0] == 0
    found = read_frame(out)
    assert set(found["city"]) <= {"Bern", "Wien"} and found["area"].between(30, 60).all() and len(found) == 30
    for text, message in (("city=Rome", "it had Bern, Lyon, Wien"), ("size>3", "there is no column 'size'")):
        code, _, err = scorefield(*words, text)
        assert code == 2 and message in err and err.count("\n") == 1


def test_evaluate_tells_and_draws_how_good_it_is(scorefield, folder: Path, tmp_path: Path) -> None:
    words = ("--json", tmp_path / "e.json", "--report", tmp_path / "e.html", "--steps", 4, "-n", 40)
    code, out, _ = scorefield("evaluate", folder / "run", folder / "houses.csv", *words)
    assert code == 0
    for text in ("40 real rows that the model has not seen", "without network", "within 90 %", "imputed", "C2ST"):
        assert text in out
    found = json.loads((tmp_path / "e.json").read_text())
    names = [f["name"] for f in found["figures"]]
    assert names == ["energy distance", "sliced Wasserstein-1", "C2ST accuracy", "memorisation ratio"]
    assert found["unseen"] and found["real"] == 40
    assert [c["column"] for c in found["coverage"]] == ["area", "price", "garden", "sold"]
    assert np.isfinite([found["log_density"]["mean"], found["log_density_without_network"]["mean"]]).all()
    page = (tmp_path / "e.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 6 + 6 and "http" not in page  # a picture for each column
    text = re.sub(r"base64,[^\"]*", "", page)
    assert "nan" not in text and "country" in text
    verdict = text[text.index('class="verdict"') : text.index("</section>")]
    value = next(f["value"] for f in found["figures"] if f["name"] == "C2ST accuracy")
    assert f"A classifier tells {100 * value:.0f} of 100 generated rows from real ones; 50 is perfect." in verdict
    assert verdict.count("<li") >= 5 and "Privacy" in text and "Each pair of columns" in text


def test_check_and_calibrate_take_a_run_of_a_table(
    scorefield, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrating, "calibration", partial(calibrating.calibration, trajectories=16))
    copy = tmp_path / "run"
    shutil.copytree(folder / "run", copy)
    code, out, err = scorefield("check", copy, "--json", tmp_path / "check.json")
    assert not err
    assert "table: sampler and density" in out and "table: codec round trip" in out
    laws = json.loads((tmp_path / "check.json").read_text())["laws"]
    assert code == (0 if all(law["passed"] for law in laws) else 1)  # 30 steps of training: all but calibration
    assert all(law["passed"] or "calibration" in law["name"] or "solver" in law["name"] for law in laws), out
    code, out, _ = scorefield("calibrate", copy, "--steps", 4, "--no-search", "--quiet")
    assert code == 0 and "RMS error" in out and set(runs.load(copy).plans) == {4}
    assert scorefield("sample", copy, "-n", 5, "-o", tmp_path / "new.csv", "--steps", 4)[0] == 0


# ---------------------------------------------------------------------------------------------------------- bad input


def changed(column: str, value: object) -> pd.DataFrame:
    frame = houses(8).astype(object)
    frame.loc[2, column] = value
    return frame


BAD: dict[str, tuple[pd.DataFrame, str]] = {
    "a column too few": (houses(8).drop(columns="area"), "'area'"),
    "a column too many": (houses(8).assign(extra=1), "'extra'"),
    "an unseen category": (changed("city", "Rome"), "holds 'Rome' in row 3"),
    "text in a number": (changed("garden", "big"), "holds 'big' in row 3"),
    "outside a bound": (changed("price", -5), "-5 in row 3"),
    "another constant": (changed("country", "US"), "'US' in row 3"),
    "another copy": (changed("square", 5.0), "row 3"),
    "infinity": (changed("garden", "inf"), "row 3"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("command", ["density", "outliers", "impute", "predict", "evaluate"])
def test_rows_of_another_kind_are_refused_in_one_line(
    scorefield, folder: Path, tmp_path: Path, case: str, command: str
) -> None:
    frame, message = BAD[case]
    options = {"predict": ("--target", "lift", "-o", tmp_path / "x.csv"), "evaluate": ()}
    words = options.get(command, ("-o", tmp_path / "x.csv"))
    code, out, err = scorefield(command, folder / "run", written(tmp_path, frame), *words)
    assert code == 2 and out == "" and not (tmp_path / "x.csv").exists()
    assert err.startswith("scorefield: error: ") and err.count("\n") == 1 and message in err


def test_unseen_categories_may_be_taken_as_holes(scorefield, folder: Path, tmp_path: Path) -> None:
    table = written(tmp_path, changed("city", "Rome"))
    words = ("impute", folder / "run", table, "-o", tmp_path / "full.csv", "--unseen", "missing", "--steps", 4)
    assert scorefield(*words)[0] == 0
    assert read_frame(tmp_path / "full.csv")["city"][2] in {"Bern", "Lyon", "Wien"}


def test_columns_without_values_are_taken_as_holes_and_said(scorefield, folder: Path, tmp_path: Path) -> None:
    table = written(tmp_path, houses(8).assign(city=None, price=None, lift=None, sold=None))
    code, _, err = scorefield("impute", folder / "run", table, "-o", tmp_path / "full.csv", "--steps", 4)
    assert code == 0 and err.count("warning: column") == 4
    full = read_frame(tmp_path / "full.csv")
    assert not full.isna().any().any() and full["sold"].dtype.kind == "M"


def test_doubled_names_and_tables_without_rows_are_refused(scorefield, folder: Path, tmp_path: Path) -> None:
    for text, message in (("a,a\n1,2\n", "'a'"), ("a,b\n", "no data rows"), ("", "b.csv")):
        (tmp_path / "b.csv").write_text(text)
        for words in (
            ("fit", tmp_path / "b.csv", "-o", tmp_path / "x"),
            ("density", folder / "run", tmp_path / "b.csv"),
        ):
            code, _, err = scorefield(*words, *(() if words[0] == "fit" else ("-o", tmp_path / "d.csv")))
            assert code == 2 and message in err and err.count("\n") == 1


def test_a_command_for_the_other_kind_of_run_says_so(scorefield, folder: Path, tmp_path: Path) -> None:
    array = tmp_path / "array"
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(40, 2)))
    assert scorefield("fit", tmp_path / "a.npy", "-o", array, "--steps", 2, "--batch", 16, "--quiet")[0] == 0
    table = folder / "houses.csv"
    for words in (("density",), ("outliers",), ("impute",), ("predict", "--target", "x")):
        code, _, err = scorefield(words[0], array, table, *words[1:], "-o", tmp_path / "x.csv")
        assert code == 2 and "arrays or images" in err and err.count("\n") == 1
    code, _, err = scorefield("predict", folder / "run", table, "--target", "prize", "-o", tmp_path / "x.csv")
    assert code == 2 and "'prize'" in err and "'price'" in err
    code, _, err = scorefield("density", folder / "run", table, "-o", tmp_path / "x.npy")
    assert code == 2 and ".npy" in err
    assert scorefield("sample", folder / "run", "-o", tmp_path / "x.png")[0] == 2


def test_words_and_numbers_of_a_file_are_read_as_the_model_has_them() -> None:
    frame = pd.DataFrame({"zip": ["12", "7", "12", "A1"] * 10, "size": np.linspace(0, 1, 40)})
    read = conform(fit_row_codec(frame), pd.DataFrame({"zip": [7, 12], "size": ["0.5", "?"]}))
    assert list(read["zip"]) == ["7", "12"] and read["size"][0] == 0.5 and np.isnan(read["size"][1])


def test_built_in_tables_have_their_class_as_a_column() -> None:
    assert list(source_frame("iris")["target"].unique()) == ["setosa", "versicolor", "virginica"]
    with pytest.raises(ValueError, match="suffix"):
        source_frame("digits")
