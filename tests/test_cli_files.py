"""The command line on a table as people have them: one German file with holes, and every answer in its dialect."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scorefield.data import read_table, write_frame

FIT = ("--batch", "32", "--size", "small", "--quiet", "--steps", 2)


def german(n: int = 60, holes: bool = True) -> str:
    """Semicolons, decimal commas, thousands, percent, euros, days first, postcodes, and a hole in every eighth row."""
    rng = np.random.default_rng(0)
    lines = ["plz;preis;anteil;tag;ort;zahl"]
    for i in range(n):
        day = pd.Timestamp("2024-01-01") + pd.Timedelta(days=int(rng.integers(0, 300)))
        price = f"{rng.lognormal(7, 1):,.2f}".translate({44: ".", 46: ","})
        share = f"{rng.uniform(1, 99):.1f} %".replace(".", ",")
        cells = [f"0{rng.integers(4, 8)}", price + " €", share, f"{day:%d.%m.%Y}", rng.choice(["Köln", "a;b"])]
        cells = [f'"{c}"' if ";" in c else c for c in [*cells, f"{rng.normal():.3f}".replace(".", ",")]]
        if holes and i % 8 == 3:
            cells[i // 8 % 6] = ""
        lines.append(";".join(cells))
    return "\r\n".join(lines) + "\r\n"


@pytest.fixture(scope="module")
def folder(in_process, tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("files")
    (here / "t.csv").write_bytes(german().encode("cp1252"))
    assert in_process("fit", here / "t.csv", "-o", here / "run", *FIT) == 0
    return here


def test_fit_and_schema_say_in_one_line_how_the_file_was_read(scorefield, folder: Path, tmp_path: Path) -> None:
    for words in (("schema", folder / "t.csv"), ("fit", folder / "t.csv", "-o", tmp_path / "run", *FIT)):
        code, _, err = scorefield(*words)
        assert code == 0 and err.count("\n") == 1 and err.startswith("scorefield: read t.csv: encoding cp1252")
        for part in ("separator ';'", "decimal comma", "thousands '.'", "'€'", "'%'", "day first", "leading zeros"):
            assert part in err, part
    stored = json.loads((tmp_path / "run" / "model.json").read_text())["info"]["data"]["dialect"]
    assert stored["separator"] == ";" and stored["columns"]["preis"]["suffix"] == " €"
    code, _, err = scorefield("fit", folder / "t.csv", "-o", tmp_path / "run", *FIT, "--resume")
    assert code == 0 and err.count("\n") == 1


def test_imputation_changes_no_character_but_in_the_holes(scorefield, folder: Path, tmp_path: Path) -> None:
    source = (folder / "t.csv").read_bytes()
    assert scorefield("impute", folder / "run", folder / "t.csv", "-o", tmp_path / "full.csv", "--steps", 4)[0] == 0
    full = (tmp_path / "full.csv").read_bytes()
    pattern = re.escape(source.decode("cp1252")).replace(";;", ";[^;]+;").replace("\n;", "\n[^;]+;")
    pattern = re.sub(r";(\\\r|\r)", r";[^;]+\r", pattern)
    assert re.fullmatch(pattern, full.decode("cp1252")), full.decode("cp1252")[:600]
    again = read_table(tmp_path / "full.csv").frame
    assert not again.isna().any().any() and set(again["plz"]) <= {"04", "05", "06", "07"}
    assert (folder / "t.csv").read_bytes() == source


def test_the_table_that_is_read_is_never_written(scorefield, folder: Path) -> None:
    before = (folder / "t.csv").read_bytes()
    code, _, err = scorefield("impute", folder / "run", folder / "t.csv", "-o", folder / "." / "t.csv")
    assert code == 2 and "another" in err and (folder / "t.csv").read_bytes() == before


def test_every_answer_has_the_dialect_of_the_table(scorefield, folder: Path, tmp_path: Path) -> None:
    run, table = folder / "run", folder / "t.csv"
    assert scorefield("density", run, table, "-o", tmp_path / "d.csv", "--tolerance", 1)[0] == 0
    assert (tmp_path / "d.csv").read_text().startswith("log_density;standard_error;percentile\n")
    found = pd.read_csv(tmp_path / "d.csv", sep=";", decimal=",")
    assert len(found) == 60 and found["percentile"].between(0, 100).all()
    assert scorefield("sample", run, "-n", 30, "-o", tmp_path / "new.csv", "--steps", 4)[0] == 0
    new, real = read_table(tmp_path / "new.csv"), read_table(table)
    assert new.frame.dtypes.equals(real.frame.dtypes) and new.dialect.columns.keys() == real.dialect.columns.keys()
    assert scorefield("predict", run, table, "--target", "preis", "-o", tmp_path / "p.csv", "--steps", 4)[0] == 0
    assert pd.read_csv(tmp_path / "p.csv", sep=";", decimal=",")["low"].dtype == float
    words = ("--share", 0.1, "--tolerance", 1)
    assert scorefield("outliers", run, table, "-o", tmp_path / "o.csv", *words)[0] == 0
    row = pd.read_csv(tmp_path / "o.csv", sep=";", encoding="cp1252", dtype=str).iloc[0]
    line = german().split("\r\n")[int(row["row"])].split(";")
    assert row["plz"] == line[0] and row["preis"] == line[1]


NEW = "plz,preis,anteil,tag,ort,zahl\n{}\n"


def test_a_new_file_of_few_rows_is_read_as_the_table_that_was_fitted(scorefield, folder: Path, tmp_path: Path) -> None:
    """Codes stay text, and dates that could be either have the order of the table."""
    (tmp_path / "new.csv").write_text(NEW.format('04,,"12,5 %",01/02/2024,Köln,"1,234"'))
    code, _, err = scorefield("impute", folder / "run", tmp_path / "new.csv", "-o", tmp_path / "full.csv", "--steps", 4)
    assert code == 0 and "dates day first in column 'tag'" in err
    first = (tmp_path / "full.csv").read_text().split("\n")[1]
    assert re.fullmatch(r'04,"?[\d.,]+ ?€?"?,"12,5 %",01/02/2024,Köln,"1,234"', first)
    (tmp_path / "new.csv").write_text(NEW.format('04,,x,01/02/2024,Köln,"1,234"'))
    code, _, err = scorefield("impute", folder / "run", tmp_path / "new.csv", "-o", tmp_path / "full.csv")
    assert code == 2 and "'anteil'" in err and "'x' in row 1" in err


def test_what_is_open_is_refused_until_it_is_told(scorefield, tmp_path: Path) -> None:
    days = "".join(f"0{1 + i % 9}/0{1 + i % 7}/2024;{i},5\n" for i in range(40))
    (tmp_path / "t.csv").write_text("day;x\n" + days)
    code, out, err = scorefield("schema", tmp_path / "t.csv")
    assert code == 2 and out == "" and err.count("\n") == 1 and "line 2" in err and "--dates" in err
    code, out, err = scorefield("schema", tmp_path / "t.csv", "--dates", "month-first")
    assert code == 0 and "datetime" in out and "dates month first in column 'day'" in err
    assert scorefield("schema", tmp_path / "t.csv", "--separator", "tab")[0] == 2
    code, _, err = scorefield("fit", "ring", "-o", tmp_path / "x", "--separator", ";")
    assert code == 2 and "--separator" in err
    for words in (("--sheet", "a"), ("--encoding", "klingon"), ("--separator", "ab")):
        code, _, err = scorefield("schema", tmp_path / "t.csv", *words)
        assert code == 2 and err.count("\n") == 1


def few() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=40).round(3), "kind": rng.choice(["04", "5"], 40)})
    return frame.assign(y=(2 * frame["x"] + rng.normal(size=40)).round(3).where(frame.index % 7 > 0))


@pytest.fixture(scope="module")
def book(in_process, tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = tmp_path_factory.mktemp("book")
    write_frame(few(), here / "t.xlsx")
    assert in_process("fit", here / "t.xlsx", "-o", here / "run", *FIT) == 0
    return here / "run"


@pytest.mark.parametrize("suffix", [".xlsx", ".jsonl", ".feather", ".csv.gz", ".tsv.zst"])
def test_a_run_answers_in_every_format(scorefield, book: Path, tmp_path: Path, suffix: str) -> None:
    table, full = tmp_path / f"t{suffix}", tmp_path / f"full{suffix}"
    write_frame(few(), table)
    assert scorefield("impute", book, table, "-o", full, "--steps", 2)[0] == 0
    found = read_table(full).frame
    assert (found["kind"] == few()["kind"]).all() and (found["x"] == few()["x"]).all() and found.notna().all().all()


def test_a_column_that_is_whole_by_chance_is_filled_with_numbers(scorefield, book: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(",x,kind,y\nr1,1,04,\nr1,,5,1.50\nr2,2,04,0\n")
    code, _, err = scorefield("impute", book, tmp_path / "t.csv", "-o", tmp_path / "full.csv", "--steps", 2)
    assert code == 0 and "without a name" in err
    number = r"-?\d+(\.\d+)?"
    full = rf",x,kind,y\nr1,1,04,{number}\nr1,{number},5,1.50\nr2,2,04,0\n"
    assert re.fullmatch(full, (tmp_path / "full.csv").read_text())


def test_columns_that_are_left_out_are_written_as_they_are(scorefield, tmp_path: Path) -> None:
    many = pd.concat([few()] * 3, ignore_index=True).assign(id=[f"{k:05d}" for k in range(120)])
    many.to_csv(tmp_path / "t.csv", index=False)
    code, _, err = scorefield("schema", tmp_path / "t.csv")
    assert code == 2 and "--leave-out" in err.splitlines()[-1]
    assert "id" not in scorefield("schema", tmp_path / "t.csv", "--leave-out", "id")[1].split()
    words = ("fit", tmp_path / "t.csv", "-o", tmp_path / "run", *FIT)
    code, _, err = scorefield(*words, "--leave-out", "no")
    assert code == 2 and "'no'" in err
    assert scorefield(*words, "--leave-out", "id")[0] == 0 and scorefield(*words, "--resume")[0] == 0
    out = tmp_path / "full.csv"
    assert scorefield("impute", tmp_path / "run", tmp_path / "t.csv", "-o", out, "--steps", 2)[0] == 0
    full = read_table(out).frame
    assert full["id"].tolist() == many["id"].tolist() and full.notna().all().all()
