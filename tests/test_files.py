"""Tables as people have them: every dialect is read to the same values, and written again with nothing changed."""

from __future__ import annotations

import datetime
import gzip
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from scorefield.data import DataError, Dialect, read_table, write_filled, write_frame
from scorefield.data.delimited import raw_cells, records

DAYS = [datetime.datetime(2024, 1 + k % 12, 1 + (7 * k) % 28) for k in range(8)]
ROWS: dict[str, list[Any]] = {
    "zip": ["04109", "00501", "12345", "99999", "01234", "10115", "80331", "07745"],
    "price": [1234.5, 2.25, 1000000.0, 999.99, -3.5, 12.0, 1234567.89, 0.05],
    "share": [12.5, 0.5, 100.0, 7.25, 33.0, 50.0, 1.0, 99.5],
    "day": DAYS,
    "count": [1500, 2, 30, 12000, 7, 9, 11, 1],
    "city": ["Köln", "São Paulo", "a, b; c", 'the "old" town', "x", "y | z", "New\nYork", "plain"],
    "ok": [True, False, True, True, False, False, True, False],
}
HOLES = {("zip", 2), ("price", 1), ("price", 6), ("share", 3), ("day", 4), ("count", 0), ("city", 3), ("ok", 5)}


@dataclass(frozen=True)
class Written:
    """How a file writes the table: one entry of the laws.

    Args:
        price, share, day, count: a value as its cell.
        says: parts of the line that tells how the file was read.
        told: what the reader must be told, if anything.
    """

    separator: str = ","
    price: Callable[[float], str] = lambda v: f"{v:.2f}"
    share: Callable[[float], str] = lambda v: f"{v:.2f}"
    day: Callable[[datetime.datetime], str] = lambda v: f"{v:%Y-%m-%d}"
    count: Callable[[int], str] = str
    ok: tuple[str, str] = ("True", "False")
    quote: str = "minimal"
    newline: str = "\n"
    encoding: str = "utf-8"
    suffix: str = ".csv"
    header: bool = True
    tail: str = "\n"
    head: str = ""
    pad: str = ""
    end: str = ""
    hole: str = ""
    says: tuple[str, ...] = ()
    told: Dialect = field(default_factory=Dialect)

    def text(self, full: bool) -> str:
        """The file, with its holes or with them filled."""
        lines = [[self._quoted(name) for name in ROWS]] if self.header else []
        for i in range(8):
            lines.append([self._cell(name, i, full) for name in ROWS])
        body = self.newline.join((self.pad + self.separator).join(line) + self.end for line in lines)
        return self.head + body + (self.newline if self.tail == "\n" else self.tail)

    def bytes(self, full: bool) -> bytes:
        """Its bytes."""
        content = self.text(full).encode(self.encoding)
        if self.suffix.endswith(".gz"):
            return gzip.compress(content, mtime=0)
        return pa.compress(content, "zstd", asbytes=True) if self.suffix.endswith(".zst") else content

    def _cell(self, name: str, i: int, full: bool) -> str:
        if (name, i) in HOLES and not full:
            return self.hole
        value = ROWS[name][i]
        if name == "ok":
            return self._quoted(self.ok[0] if value else self.ok[1])
        return self._quoted(getattr(self, name)(value) if name in ("price", "share", "day", "count") else value)

    def _quoted(self, cell: str) -> str:
        number = cell.replace(".", "").removeprefix("-").isdigit()
        needed = any(sign in cell for sign in (self.separator, '"', "\n"))
        wanted = self.quote == "all" or (self.quote == "text" and not number)
        return '"' + cell.replace('"', '""') + '"' if needed or wanted else cell


def grouped(value: float, thousands: str, decimal: str, places: int = 2) -> str:
    return f"{value:,.{places}f}".translate({ord(","): thousands, ord("."): decimal})


def german(value: float) -> str:
    return grouped(value, "", ",")


DIALECTS = {
    "plain": Written(),
    "semicolons, decimal commas": Written(
        ";", german, german, says=("separator ';', ", "decimal comma in columns 'price', 'share'")
    ),
    "german": Written(
        ";",
        lambda v: grouped(v, ".", ","),
        german,
        lambda v: f"{v:%d.%m.%Y}",
        lambda v: grouped(v, ".", ",", 0),
        says=("thousands '.'", "dates day first in column 'day'"),
    ),
    "english thousands": Written(price=lambda v: grouped(v, ",", "."), says=("thousands ',' in column 'price'",)),
    "dollars and percent": Written(
        price=lambda v: f"{'-' if v < 0 else ''}${abs(v):,.2f}",
        share=lambda v: f"{v:.2f}%",
        says=("sign '$'", "sign '%'"),
    ),
    "euros and percent": Written(
        ";", lambda v: grouped(v, ".", ",") + " €", lambda v: german(v) + " %", says=("sign '€'", "sign '%'")
    ),
    "swiss": Written(";", lambda v: grouped(v, "'", "."), count=lambda v: grouped(v, "'", ".", 0), says=('"\'"',)),
    "french": Written(
        ";", lambda v: grouped(v, "\u202f", ","), german, lambda v: f"{v:%d/%m/%Y}", says=("dates day first",)
    ),
    "american": Written(
        price=lambda v: grouped(v, ",", "."), day=lambda v: f"{v.month}/{v.day}/{v.year}", says=("dates month first",)
    ),
    "times of day": Written(day=lambda v: f"{v:%m/%d/%Y %I:%M %p}", says=("dates month first",)),
    "named months": Written(day=lambda v: f"{v:%d-%b-%Y}", says=("dates in column 'day'",)),
    "iso times": Written(day=lambda v: f"{v:%Y-%m-%dT%H:%M:%S}Z"),
    "slashes, year first": Written(day=lambda v: f"{v:%Y/%m/%d}", says=("dates in column 'day'",)),
    "tabs": Written("\t", suffix=".tsv"),
    "tabs in a csv": Written("\t", says=(r"separator '\t'",)),
    "bars": Written("|", says=("separator '|'",)),
    "all quoted": Written(quote="all", hole='""'),
    "text quoted": Written(quote="text"),
    "windows": Written(newline="\r\n"),
    "old mac": Written(newline="\r"),
    "byte order mark": Written(encoding="utf-8-sig"),
    "utf-16": Written(encoding="utf-16", says=("encoding utf-16-le",)),
    "latin-1": Written(encoding="latin-1", says=("encoding cp1252",)),
    "told encoding": Written(encoding="mac-roman", told=Dialect(encoding="mac-roman")),
    "gzip": Written(suffix=".csv.gz"),
    "zstandard": Written(suffix=".csv.zst"),
    "zipped tabs": Written("\t", suffix=".tsv.gz"),
    "no last line end": Written(tail=""),
    "blank lines": Written(head="\n\n", tail="\n\n \n"),
    "spaces around": Written(pad=" "),
    "named holes": Written(hole="NA"),
    "capital booleans": Written(ok=("TRUE", "FALSE")),
    "no header": Written(header=False),
    "excel's hint": Written(";", head="sep=;\n", says=("separator ';'",)),
    "separators at the end": Written(";", german, end=";", says=("nothing after the last separator",)),
}


def expected(full: bool, one: Written) -> pd.DataFrame:
    frame = pd.DataFrame(ROWS)
    if not full:
        frame = frame.astype(object)
        for name, i in HOLES:
            frame.loc[i, name] = None
    frame["day"] = pd.to_datetime(frame["day"], utc=one is DIALECTS["iso times"]).dt.as_unit("us")
    kinds = {"price": "float64", "share": "float64", "count": "int64" if full else "Int64"}
    frame = frame.astype({**kinds, "ok": "bool" if full else "boolean", "zip": "str", "city": "str"})
    return frame if one.header else frame.set_axis([f"x{j}" for j in range(frame.shape[1])], axis=1)


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    def write(content: bytes | str, suffix: str = ".csv", name: str = "table") -> Path:
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_is_read_to_the_same_values_and_said(name: str, file) -> None:
    one = DIALECTS[name]
    table = read_table(file(one.bytes(False), one.suffix), one.told)
    assert_frame_equal(table.frame, expected(False, one), check_exact=True)
    assert "\n" not in table.said and all(part in table.said for part in one.says)
    assert ("leading zeros" in table.said) and table.said.startswith("read table")


@pytest.mark.parametrize("name", DIALECTS)
def test_filling_holes_changes_no_other_character(name: str, file) -> None:
    one = DIALECTS[name]
    path = file(one.bytes(False), one.suffix)
    table, full = read_table(path, one.told), expected(True, one)
    out = path.with_name("new" + one.suffix)
    write_filled(table, table.frame, [full], out)
    content = out.read_bytes()
    if one.suffix.endswith((".gz", ".zst")):
        content = gzip.decompress(content) if one.suffix.endswith(".gz") else _unzstd(out)
        assert content == one.text(True).encode()
    else:
        assert content == one.bytes(True)
    assert path.read_bytes() == one.bytes(False)  # what was read is left alone
    assert_frame_equal(read_table(out, one.told).frame, full)


def _unzstd(path: Path) -> bytes:
    with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
        return stream.read()


@pytest.mark.parametrize("name", ["german", "dollars and percent", "windows", "all quoted", "no last line end"])
def test_several_fillings_stand_one_under_the_other(name: str, file) -> None:
    one = DIALECTS[name]
    path = file(one.bytes(False), one.suffix)
    table, full = read_table(path), expected(True, one)
    out = path.with_name("draws.csv")
    write_filled(table, table.frame, [full, full], out)
    again = read_table(out).frame
    assert list(again["draw"]) == [1] * 8 + [2] * 8
    for k in (0, 8):
        assert_frame_equal(again.iloc[k : k + 8, 1:].reset_index(drop=True), full)


# ------------------------------------------------------------------------------------------------------- other formats


def typed() -> pd.DataFrame:
    """Columns of every kind, with holes."""
    frame = pd.DataFrame(
        {
            "zip": ["04109", None, "12345"],
            "price": [1.5, np.nan, 2.25],
            "count": pd.array([1, 2, None], dtype="Int64"),
            "day": pd.to_datetime(pd.Series(["2024-05-01", None, "2024-12-31"])).astype("datetime64[us]"),
            "ok": pd.array([True, None, False], dtype="boolean"),
        }
    )
    return frame.astype({"zip": "str"})


def filled(frame: pd.DataFrame) -> pd.DataFrame:
    day = pd.Timestamp("2024-06-07")
    return frame.fillna({"zip": "00007", "price": 0.75, "count": 5, "day": day, "ok": True})


SUFFIXES = [".csv", ".tsv", ".csv.gz", ".csv.zst", ".jsonl", ".ndjson", ".jsonl.gz", ".xlsx", ".parquet", ".feather"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_goes_there_and_back_and_its_holes_are_filled(suffix: str, tmp_path: Path) -> None:
    path, out = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_frame(typed(), path)
    before = path.read_bytes()
    table = read_table(path)
    assert_frame_equal(table.frame, typed())
    write_filled(table, table.frame, [filled(typed())], out)
    assert_frame_equal(read_table(out).frame, filled(read_table(path).frame), check_dtype=False)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("other", SUFFIXES)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".xlsx", ".parquet"])
def test_a_filled_table_may_be_written_in_any_format(suffix: str, other: str, tmp_path: Path) -> None:
    write_frame(typed(), tmp_path / f"a{suffix}")
    table = read_table(tmp_path / f"a{suffix}")
    write_filled(table, table.frame, [filled(typed())] * 2, tmp_path / f"b{other}")
    again = read_table(tmp_path / f"b{other}").frame
    assert list(again["draw"]) == [1, 1, 1, 2, 2, 2]
    assert_frame_equal(again.iloc[3:, 1:].reset_index(drop=True), filled(typed()), check_dtype=False)


JSON = (
    '{"zip": "04", "x": 1.50, "big": 18446744073709551616}\n\n'
    ' {"x" :null ,"zip":"5","text": "a\\u00e9 \\"b\\"", "big": 1e2}\r\n'
    '{"zip": null}'
)


def test_json_lines_are_filled_in_place(file) -> None:
    table = read_table(file(JSON, ".jsonl"))
    assert list(table.frame.columns) == ["zip", "x", "big", "text"] and table.frame["zip"][0] == "04"
    full = table.frame.assign(zip=["04", "5", "07"], x=[1.5, 2.0, 3.25], text=["t", 'aé "b"', 'q"'])
    write_filled(table, table.frame, [full], table.path.with_name("b.jsonl"))
    assert table.path.with_name("b.jsonl").read_bytes().decode() == (
        '{"zip": "04", "x": 1.50, "big": 18446744073709551616, "text": "t"}\n\n'
        ' {"x" :2.0 ,"zip":"5","text": "a\\u00e9 \\"b\\"", "big": 1e2}\r\n'
        '{"zip": "07", "x": 3.25, "text": "q\\""}'
    )


def test_a_workbook_keeps_its_other_sheets_formats_and_formulas(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    notes, sheet = book.active, book.create_sheet("data")
    notes.title = "notes"
    sheet.append([None])
    for row in (["name", "price", "code"], ["a", 1.5, "04"], ["b", None, "5"], ["c", "n/a", None]):
        sheet.append([None, *row])
    sheet["C3"].number_format = sheet["C4"].number_format = "0.00"
    notes["A1"] = "=1+1"
    book.save(tmp_path / "a.xlsx")
    with pytest.raises(DataError, match="'nothing'; there are 'notes', 'data'"):
        read_table(tmp_path / "a.xlsx", Dialect(sheet="nothing"))
    table = read_table(tmp_path / "a.xlsx", Dialect(sheet="data"))
    assert table.frame["code"].tolist()[:2] == ["04", "5"] and table.frame["price"].isna().tolist() == [0, 1, 1]
    full = table.frame.assign(price=[1.5, 2.0, 3.0], code=["04", "5", "06"])
    write_filled(table, table.frame, [full], tmp_path / "b.xlsx")
    made = openpyxl.load_workbook(tmp_path / "b.xlsx")
    assert made.sheetnames == ["notes", "data"] and made["notes"]["A1"].value == "=1+1"
    assert made["data"]["C4"].value == 2.0 and made["data"]["C4"].number_format == "0.00"
    assert [made["data"].cell(k, 4).value for k in (3, 4, 5)] == ["04", "5", "06"]
    sheet["C4"] = "=C3*2"
    book.save(tmp_path / "c.xlsx")
    with pytest.raises(DataError, match="cell C4 of the sheet 'data' is a formula without a stored value"):
        read_table(tmp_path / "c.xlsx", Dialect(sheet="data"))


def test_parquet_keeps_its_types_and_its_notes(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "day": pa.array([19000, None], pa.date32()),
            "money": pa.array([None, 2], pa.decimal128(10, 2)),
            "kind": pa.array(["x", None]).dictionary_encode(),
            "small": pa.array([None, 7], pa.int8()),
        }
    ).replace_schema_metadata({"by": "hand"})
    pq.write_table(table, tmp_path / "a.parquet")
    found = read_table(tmp_path / "a.parquet")
    full = found.frame.assign(day=pd.Timestamp("2024-05-01"), money=[1.5, 2.0], kind=["x", "x"], small=[3, 7])
    write_filled(found, found.frame, [full], tmp_path / "b.parquet")
    made = pq.read_table(tmp_path / "b.parquet")
    assert made.schema == table.schema and made.schema.metadata == table.schema.metadata
    assert made["money"].to_pylist()[0] == pa.scalar(1.5).as_py() and made["small"].to_pylist() == [3, 7]
    assert made["kind"].to_pylist() == ["x", "x"] and made["day"].to_pylist()[0] == table["day"][0].as_py()


# ------------------------------------------------------------------------------------------------- what is not clear


def column(cells: list[str], other: list[str] | None = None) -> str:
    other = other or ["u"] * len(cells)
    return "a;b\n" + "".join(f"{x};{y}\n" for x, y in zip(cells, other, strict=True))


OPEN = {
    "decimal": (["1,234", "5,678"], "line 2.*1234 or 1.234.*--decimal point or --decimal comma"),
    "order": (["01/02/2024", "03/04/2024"], "line 2.*--dates day-first or --dates month-first"),
    "order with dashes": (["01-02-2024", "03-04-2024"], "--dates day-first"),
    "both orders": (["25/12/2024", "12/25/2024"], r"'25/12/2024' in .*line 2.*day\s+first.*'12/25/2024' in .*line 3"),
    "both signs": (["1,5", "1.5"], r"'1,5' in .*line 2.*'1.5' in .*line 3.*write all alike"),
    "two currencies": (["$5", "€7"], r"'\$5' in .*line 2.*'€7' in .*line 3.*write all alike"),
    "one word": ([*map(str, range(99)), "1.2.3"], r"'1.2.3' in data row 100 \(line 101 of the file;"),
    "one word, commas": ([*(f"{i},5" for i in range(99)), "x"], r"'x' in data row 100 \(line 101 of the file;"),
}


@pytest.mark.parametrize("name", OPEN)
def test_what_can_be_read_in_two_ways_is_refused_with_its_line(name: str, file) -> None:
    cells, message = OPEN[name]
    with pytest.raises(DataError, match=message) as error:
        read_table(file(column(cells)))
    assert "\n" not in str(error.value) and "column 'a'" in str(error.value)


SETTLED = {
    "told comma": (["1,234", "5,678"], None, Dialect(decimal="comma"), [1.234, 5.678]),
    "told point": (["1,234", "5,678"], None, Dialect(decimal="point"), [1234, 5678]),
    "by another column": (["1,234", "5,678"], ["1,5", "2,25"], None, [1.234, 5.678]),
    "by another column of thousands": (["1,234", "5,678"], ["1,000.5", "2"], None, [1234, 5678]),
    "by itself": (["1,234", "0,678"], None, None, [1.234, 0.678]),
    "two groups": (["1,234", "1,234,567"], None, None, [1234, 1234567]),
    "point by another column": (["1.234", "5.678"], ["1,5", "2,25"], None, [1234, 5678]),
    "point by itself": (["1.234", "0.678"], ["1,5", "2,25"], None, [1.234, 0.678]),
    "day by another column": (
        ["01/02/2024", "03/04/2024"],
        ["25/12/2024", "1/1/2024"],
        None,
        [pd.Timestamp("2024-02-01"), pd.Timestamp("2024-04-03")],
    ),
    "month told": (
        ["01/02/2024", "03/04/2024"],
        None,
        Dialect(dates="month-first"),
        [pd.Timestamp("2024-01-02"), pd.Timestamp("2024-03-04")],
    ),
    "parentheses are negative": (["(1,5)", "2,5"], None, None, [-1.5, 2.5]),
}  # fmt: skip


@pytest.mark.parametrize("name", SETTLED)
def test_what_is_told_or_shown_by_the_file_settles_it(name: str, file) -> None:
    cells, other, told, values = SETTLED[name]
    table = read_table(file(column(cells, other)), told)
    assert table.frame["a"].tolist() == values
    like = read_table(file(column(["1"]), name="new"), like=table.dialect)  # another file of the same table
    assert like.frame["a"].tolist() in ([1], ["1"])
    again = read_table(file(column(cells), name="new"), like=table.dialect)
    assert again.frame["a"].tolist() == values


def test_a_file_of_its_own_dialect_is_not_read_as_the_first_was(file) -> None:
    german = read_table(file(column(["1,5", "2,25"], ["25.12.2024", "01.02.2024"])))
    text = "a,b,c\n1.234,01/02/2024,0.5\n5.678,03/04/2024,1.5\n"
    english = read_table(file(text, name="new"), like=german.dialect).frame
    assert english["a"].tolist() == [1.234, 5.678] and english["b"][0] == pd.Timestamp("2024-02-01")


def test_defaults_that_are_no_guess_are_said(file) -> None:
    table = read_table(file(column(["1.234", "5.678"], ["01.02.2024", "03.04.2024"])))
    assert table.frame["a"].tolist() == [1.234, 5.678] and table.frame["b"][0] == pd.Timestamp("2024-02-01")
    assert "'1.234' with a decimal point (or: --decimal comma) in column 'a'" in table.said
    assert "dates day first (or: --dates month-first) in column 'b'" in table.said


TEXTS = {
    "leading zeros": ["04", "7", "123"],
    "zeros alone": ["00", "1"],
    "phones": ["+4917612345678", "+4917687654321"],
    "phones in groups": ["612 345 678", "698 765 432"],
    "large whole numbers": ["18446744073709551616", "5"],
    "the first that does not fit": [str(2**63), "5"],
    "large with thousands": ["18.446.744.073.709.551.616", "1.000"],
    "short years": ["25.12.24", "01.01.25"],
}


@pytest.mark.parametrize("name", TEXTS)
def test_codes_and_large_numbers_stay_text(name: str, file) -> None:
    table = read_table(file(column(TEXTS[name])))
    assert table.frame["a"].tolist() == TEXTS[name]
    assert name == "phones in groups" or "kept as text, in column 'a'" in table.said
    known = read_table(file(column(["5", "6"])), known={"a": "text"})
    assert known.frame["a"].tolist() == ["5", "6"]


def test_numbers_are_not_rounded_in_silence(file) -> None:
    whole = [str(2**63 - 1), str(-(2**63) + 1), "5"]
    assert read_table(file(column(whole))).frame["a"].tolist() == [int(cell) for cell in whole]
    table = read_table(file(column(["12345678901234567891", "0.5"])))
    assert "more digits than a float holds, rounded, in column 'a'" in table.said


def test_a_first_column_without_a_name_names_the_rows(file) -> None:
    text = ",x,y\nr1,1,\nr2,,3\n"
    table = read_table(file(text))
    assert list(table.frame.index) == ["r1", "r2"] and list(table.frame.columns) == ["x", "y"]
    full = table.frame.assign(x=[1, 2], y=[4, 3])
    write_filled(table, table.frame, [full], table.path.with_name("b.csv"))
    assert table.path.with_name("b.csv").read_text() == ",x,y\nr1,1,4\nr2,2,3\n"


FAULTS = {
    "open quote": ('a,b\n1,"2\n3,4\n5,6\n', ".csv", "line 2.*never closed"),
    "ragged": ("a;b\n1;2\n3\n", ".csv", "line 3.*has 1 cells and the header has 2"),
    "zero bytes": (b"a,b\n1,\x002\n", ".csv", "NUL character in line 2"),
    "no text": (b"a,b\n\x81,2\n", ".csv", r"UTF|utf-8 nor in cp1252.*line 2.*--encoding"),
    "no gzip": ("a,b\n1,2\n", ".csv.gz", "cannot be read as csv"),
    "no zstd": ("a,b\n1,2\n", ".csv.zst", "cannot be read as csv"),
    "no json": ('{"a": 1}\n{"a": 1\n', ".jsonl", "line 2 is no JSON object"),
    "json list": ('{"a": 1}\n[1]\n', ".jsonl", "line 2 holds"),
    "json nested": ('{"a": 1}\n{"a": [1]}\n', ".jsonl", r"line 2: 'a' holds \[1\]"),
    "json twice": ('{"a": 1, "a": 2}\n', ".jsonl", "line 1.*twice"),
    "no workbook": ("a", ".xlsx", "cannot be read as xlsx"),
    "no feather": ("a", ".feather", "cannot be read as feather"),
    "empty": ("", ".jsonl", "is empty"),
    "ragged after a hint": ("sep=;\na;b\n1;2\n3\n", ".csv", "line 4.*has 1 cells and the header has 2"),
    "a hint alone": ("sep=;\n", ".csv", "is empty"),
    "an old workbook": ("a", ".xls", "suffix '.xls'"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_its_line(name: str, file) -> None:
    content, suffix, message = FAULTS[name]
    with pytest.raises(DataError, match=message) as error:
        read_table(file(content, suffix))
    assert "\n" not in str(error.value) and str(error.value).endswith(".")


@pytest.mark.parametrize(
    "told", [{"separator": "ab"}, {"decimal": "dot"}, {"dates": "year"}, {"encoding": "klingon"}, {"encoding": "zip"}]
)
def test_what_is_told_is_checked(told: dict[str, Any], file) -> None:
    with pytest.raises(DataError):
        Dialect(**told)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_goes_through_json(name: str, file) -> None:
    import json

    one = DIALECTS[name]
    found = read_table(file(one.bytes(False), one.suffix), one.told).dialect
    assert Dialect.from_json(json.loads(json.dumps(found.to_json()))) == found
    again = file("", one.suffix, "again")
    write_frame(expected(True, one), again, found)
    assert_frame_equal(read_table(again, one.told).frame, expected(True, one))


# ----------------------------------------------------------------------------------------------------------- properties

KINDS: dict[str, Callable[[random.Random], str]] = {
    "text": lambda r: r.choice(["a", "b;c", 'd"e', "f,g", " h ", "i\nj", "k|l", "-", "?"]),
    "code": lambda r: f"0{r.randrange(1000)}",
    "whole": lambda r: str(r.randrange(-99, 10**6)),
    "padded": lambda r: f"{r.randrange(10**6) / 100:.2f}",
    "comma": lambda r: grouped(r.randrange(10**8) / 100 + 0.01, ".", ","),
    "percent": lambda r: f"{r.randrange(100)}.{r.randrange(10)} %",
    "day": lambda r: f"{r.randrange(1, 29):02d}.{r.randrange(1, 13):02d}.20{r.randrange(10, 30)}",
    "iso": lambda r: f"20{r.randrange(10, 30)}-0{r.randrange(1, 10)}-1{r.randrange(10)}",
    "logical": lambda r: r.choice(["true", "false"]),
}


@given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=2, max_size=5),
    seed=st.integers(0, 10**6),
    separator=st.sampled_from(";,\t|"),
    newline=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    always=st.booleans(),
    padded=st.booleans(),
)
@settings(max_examples=60)
def test_what_is_filled_differs_from_what_was_read_in_the_holes_alone(
    tmp_path_factory,
    kinds: list[str],
    seed: int,
    separator: str,
    newline: str,
    encoding: str,
    always: bool,
    padded: bool,
) -> None:
    r = random.Random(seed)

    def cell(text: str) -> str:
        needed = any(sign in text for sign in (separator, '"', "\n")) or text != text.strip()
        text = '"' + text.replace('"', '""') + '"' if needed or (always and text) else text
        return f" {text}" if padded and separator != "\t" else text

    rows = [[KINDS[kind](r) for kind in kinds] for _ in range(12)]
    holes = {(r.randrange(12), r.randrange(len(kinds))) for _ in range(6)}
    names = [cell(f"{kind} {j}") for j, kind in enumerate(kinds)]
    before = [[cell("" if (i, j) in holes else row[j]) for j in range(len(kinds))] for i, row in enumerate(rows)]
    folder = tmp_path_factory.mktemp("p")
    content = newline.join(separator.join(line) for line in [names, *before]) + newline
    (folder / "a.csv").write_bytes(content.encode(encoding))
    table = read_table(folder / "a.csv", Dialect(separator=separator, decimal="point", dates="day-first"))
    full = table.frame.copy()
    for name in full.columns[full.notna().any()]:
        full[name] = full[name].where(full[name].notna(), full[name].dropna().iloc[0])
    write_filled(table, table.frame, [full], folder / "b.csv")
    texts = [(folder / name).read_bytes().decode(encoding) for name in ("a.csv", "b.csv")]
    one, other = ([raw_cells(record.raw, separator) for record in records(text, separator)] for text in texts)
    places = [(i, j) for i in range(12) for j in range(len(kinds))]
    changed = {(i, j) for i, j in places if one[i + 1][j] != other[i + 1][j]}
    assert [len(row) for row in one] == [len(row) for row in other] and one[0] == other[0]
    assert changed == set(zip(*np.nonzero((table.frame.isna() & full.notna()).to_numpy()), strict=True))
    again = read_table(folder / "b.csv", table.dialect).frame
    assert_frame_equal(again, full, check_dtype=False)
    write_filled(table, table.frame, [table.frame], folder / "c.csv")
    assert (folder / "c.csv").read_bytes() == (folder / "a.csv").read_bytes()


def test_a_sheet_may_begin_anywhere_and_have_no_header(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    for row in ([None, None], [None, 1, 2.5, "a"], [], [None, 3, None, "b"]):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    table = read_table(tmp_path / "a.xlsx")
    assert list(table.frame.columns) == ["x0", "x1", "x2"] and table.frame["x0"].tolist() == [1, 3]
    write_filled(table, table.frame, [table.frame.fillna({"x1": 9.0})], tmp_path / "b.xlsx")
    assert openpyxl.load_workbook(tmp_path / "b.xlsx").active["C4"].value == 9.0


def test_another_file_of_the_table_is_taken_apart_as_the_first_was(file) -> None:
    first = read_table(file("größe|x\n1|2\n".encode("cp1250")), Dialect(encoding="cp1250", separator="|"))
    again = read_table(file("größe|x;y\nř|2;3\nš|2;3\n".encode("cp1250"), name="b"), like=first.dialect)
    assert again.dialect.encoding == "cp1250" and again.frame["größe"].tolist() == ["ř", "š"]


def test_json_lines_are_in_utf_8_whatever_the_table_was_in(tmp_path: Path) -> None:
    write_frame(pd.DataFrame({"ort": ["Köln"]}), tmp_path / "a.jsonl", Dialect(encoding="cp1252", mark=True))
    assert (tmp_path / "a.jsonl").read_text(encoding="utf-8") == '{"ort": "Köln"}\n'


BROKEN = [
    {"columns": {"a": {"kind": "numbers", "decimal": 7}}},
    {"columns": {"a": {"kind": "numbers", "thousands": None}}},
    {"columns": {"a": {"kind": "numbers", "places": 10**9}}},
    {"columns": {"a": {"kind": "times", "zone": "x"}}},
    {"columns": {"a": {"kind": "booleans", "true": 1}}},
    {"columns": {"a": {"kind": "words"}}},
    {"columns": 5},
    {"columns": {}, "separator": 5},
    {"columns": {}, "colour": "red"},
    {},
]


@pytest.mark.parametrize("stored", BROKEN, ids=str)
def test_a_dialect_that_is_none_is_refused(stored: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"dialect of a table cannot be read|a separator is"):
        Dialect.from_json(stored)
