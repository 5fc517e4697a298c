"""Every fault of the user's data is named with its file, column and row."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scorefield import data
from scorefield.data import DataError, Dataset

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(30, 3))
IMAGES = RNG.integers(0, 256, size=(24, 6, 4), dtype=np.uint8)


def csv_text(rows: np.ndarray = TABLE, header: str = "a,b,c\n") -> str:
    return header + "".join(",".join(repr(float(v)) for v in row) + "\n" for row in rows)


def edited(row: int, column: int, cell: str, header: str = "a,b,c\n") -> str:
    """The table with another cell in data row `row` (from 1) and column (from 0)."""
    lines = csv_text(header="").splitlines()
    cells = lines[row - 1].split(",")
    cells[column] = cell
    lines[row - 1] = ",".join(cells)
    return header + "\n".join(lines) + "\n"


def save_images(folder: Path, images: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i:03d}.png")


ROW_3 = "data row 3 (line 4 of the file; data rows count from 1)"
BAD_CSV = {
    "NaN": (edited(3, 1, "nan"), ["column 'b'", "NaN", ROW_3]),
    "infinite": (edited(3, 1, "-inf"), ["column 'b'", "an infinite value", ROW_3]),
    "overflow": (edited(3, 1, "1e999"), ["column 'b'", "an infinite value", ROW_3]),
    "missing": (edited(3, 2, ""), ["column 'c'", "holds nothing in", ROW_3, "missing values are not supported yet"]),
    "NA": (edited(3, 2, "NA"), ["column 'c'", "'NA'", ROW_3]),
    "missing in row 1": (edited(1, 0, "", header=""), ["column 'x0'", "data row 1 (line 1"]),
    "NA in row 1": (edited(1, 0, "NA", header=""), ["column 'x0'", "data row 1 (line 1"]),
    "text": (edited(3, 1, "red"), ["column 'b'", "'red'", ROW_3, "categorical columns are not supported yet"]),
    "text, no header": (
        edited(2, 2, "setosa", header="").replace(repr(float(TABLE[0, 2])), "virginica"),
        ["column 'x2'", "'virginica'", "data row 1 (line 1", "categorical"],
    ),
    "decimal comma": (edited(3, 1, '"1,5"'), ["column 'b'", "'1,5'", ROW_3, "decimals with a point"]),
    "spaces between": (edited(3, 1, "1 2"), ["column 'b'", "'1 2'", ROW_3, "commas, semicolons or tabs"]),
    "ragged": (edited(3, 1, "1,2"), [ROW_3, "has 4 cells and the header has 3"]),
    "short": (edited(3, 1, "1").replace("\n", "\n7\n", 1), ["data row 1 (line 2", "has 1 cells"]),
    "blank lines before": ("\n\n" + edited(3, 1, "nan"), ["column 'b'", "data row 3 (line 6"]),
    "constant": (csv_text(TABLE * [1, 0, 1] + [0, 2, 0]), ["column 'b' is constant (2 in all 30 data rows)"]),
    "constant to rounding": (csv_text(TABLE * [1, 1e-17, 1] + [0, 2, 0]), ["column 'b' is constant"]),
    "two constant": (csv_text(TABLE * [0, 0, 1]), ["columns 'a', 'b' are constant"]),
    "few": (csv_text(TABLE[:12]), ["has 12 data rows; at least 20"]),
    "same names": (csv_text(header="a,b,a\n"), ["columns 1 and 3 have the same name 'a'"]),
    "no name": (csv_text(header=",b,c\n"), ["column 1 has no name", "index=False"]),
    "only a header": ("a,b,c\n", ["has no data rows", "a,b,c"]),
    "empty": ("", ["is empty (0 bytes)"]),
    "blank": ("\n \n", ["is empty"]),
}


def message(source: object) -> str:
    with pytest.raises(DataError) as error:
        data.load(source)  # type: ignore[arg-type]
    text = str(error.value)
    assert "\n" not in text and text.endswith((".", "?")) and len(text) < 400
    return text


@pytest.mark.parametrize("name", BAD_CSV)
def test_csv_faults_are_named(name: str, tmp_path: Path) -> None:
    text, parts = BAD_CSV[name]
    path = tmp_path / "bad.csv"
    path.write_text(text)
    said = message(path)
    assert said.startswith(str(path))
    for part in parts:
        assert part in said, said


def test_csv_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_bytes("größe,b\n".encode("latin-1") + b"1,2\n" * 30)
    assert "UTF-8" in message(tmp_path / "bad.csv")


def parquet_faults() -> dict[str, tuple[Callable[[], object], str]]:
    import pyarrow as pa

    values = list(range(30))
    gap = [None if i == 4 else float(i) for i in values]
    nan = [float("nan") if i == 4 else float(i) for i in values]
    return {
        "text": (lambda: pa.table({"b": ["x"] * 30}), "column 'b' holds string values from data row 1 on.*categorical"),
        "dictionary": (lambda: pa.table({"b": pa.array(["x"] * 30).dictionary_encode()}), "column 'b'.*categorical"),
        "null": (lambda: pa.table({"a": values, "b": gap}), r"column 'b' holds nothing \(null\) in data row 5"),
        "NaN": (lambda: pa.table({"a": values, "b": nan}), "column 'b' holds NaN in data row 5"),
        "same names": (lambda: pa.table([values, values], names=["a", "a"]), "columns 1 and 2 have the same name"),
        "index": (lambda: pa.table({"a": values, "__index_level_0__": values}), "column 2 has no name.*index=False"),
        "few": (lambda: pa.table({"a": values[:5]}), "has 5 data rows"),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["text", "dictionary", "null", "NaN", "same names", "index", "few"])
def test_parquet_faults_are_named(name: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table, pattern = parquet_faults()[name]
    path = tmp_path / "bad.parquet"
    pq.write_table(table(), path)
    said = message(path)
    assert said.startswith(str(path)) and re.search(pattern, said), said


def test_parquet_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    path.write_text("something else")
    assert "cannot be read as parquet" in message(path)


def holed(x: np.ndarray, at: tuple[int, ...], value: float = np.nan) -> np.ndarray:
    x = x.astype(np.float64)
    x[at] = value
    return x


BAD_ARRAYS = {
    "NaN": (holed(TABLE, (6, 1)), ["column 'x1' holds NaN in data row 7 (counted from 1)"]),
    "infinite": (holed(TABLE, (6, 1), -np.inf), ["column 'x1' holds an infinite value in data row 7"]),
    "constant": (TABLE * [1, 0, 1], ["column 'x1' is constant (0 in all 30 data rows)"]),
    "NaN pixel": (holed(IMAGES, (6, 1, 2)), ["image 7 holds NaN at pixel row 2, column 3"]),
    "constant images": (IMAGES * 0, ["every pixel of every image is 0"]),
    "few": (TABLE[:3], ["has 3 data rows; at least 20"]),
    "few images": (IMAGES[:3], ["has 3 images; at least 20"]),
    "strings": (np.array([["a", "b"]] * 30), ["not numbers"]),
    "complex": (TABLE + 0j, ["complex128", "not numbers"]),
    "fields": (np.zeros(30, dtype=[("a", "f8"), ("b", "i4")]), ["a, b", "not numbers"]),
    "number": (np.zeros(()), ["shape ()"]),
    "five dimensions": (np.zeros((30, 2, 2, 2, 2)), ["(30, 2, 2, 2, 2)"]),
    "no columns": (np.zeros((30, 0)), ["(30, 0)"]),
    "no pixels": (np.zeros((30, 0, 4)), ["(30, 0, 4)"]),
    "channels first": (np.moveaxis(np.zeros((30, 8, 8, 3)), -1, 1), ["(30, 3, 8, 8)", "moveaxis"]),
    "negative pixels": (IMAGES.astype(int) - 5, [f"from -5 to {IMAGES.max() - 5}"]),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
@pytest.mark.parametrize("saved", [False, True])
def test_array_faults_are_named(name: str, saved: bool, tmp_path: Path) -> None:
    source, parts = BAD_ARRAYS[name]
    where: object = source
    if saved:
        where = tmp_path / "bad.npy"
        np.save(tmp_path / "bad.npy", source)
    said = message(where)
    assert said.startswith(str(where) if saved else "array")
    for part in parts:
        assert part in said, said


LABELS = np.arange(30) % 3
BAD_NPZ: dict[str, tuple[dict[str, np.ndarray], list[str]]] = {
    "ambiguous": ({"a": TABLE, "b": LABELS}, ["which array", "a (30, 3)", "b (30,)"]),
    "two kinds": ({"x": TABLE, "data": TABLE}, ["which array", "x (30, 3)", "data (30, 3)"]),
    "objects": ({"a": np.array([{}, []] * 9, dtype=object), "b": TABLE}, ["a (Python objects)", "b (30, 3)"]),
    "none": ({}, ["which array"]),
    "labels too short": ({"x": TABLE, "y": LABELS[:7]}, ["7 labels for 30 records"]),
    "labels not whole": ({"x": TABLE, "y": LABELS + np.eye(30)[4] / 2}, ["(y)", "1.5 in data row 5", "labels=False"]),
    "negative labels": ({"x": TABLE, "y": LABELS - np.eye(30)[3]}, ["(y)", "-1.0 in data row 4", "from 0 on"]),
    "labels of two columns": ({"x": TABLE, "y": np.eye(30)}, ["(y)", "(30, 30)", "labels=False"]),
    "two labels": ({"x": TABLE, "y": LABELS, "labels": LABELS}, ["more than one array of labels (y, labels)"]),
    "test of another shape": ({"x_train": TABLE, "x_test": TABLE[:, :2]}, ["x_test", "(2,)", "(3,)"]),
    "test of another type": ({"x_train": IMAGES, "x_test": IMAGES / 255}, ["x_test", "float64", "uint8"]),
    "NaN in the test": ({"x_train": TABLE, "x_test": holed(TABLE, (6, 1))}, ["test records", "'x1'", "row 7"]),
    "names": ({"x": TABLE, "columns": np.array(["a", "b"])}, ["'columns'", "3 names"]),
    "same names": ({"x": TABLE, "columns": np.array(["a", "b", "a"])}, ["columns 1 and 3", "'a'"]),
}


@pytest.mark.parametrize("name", BAD_NPZ)
def test_npz_faults_are_named(name: str, tmp_path: Path) -> None:
    arrays, parts = BAD_NPZ[name]
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    said = message(path)
    assert said.startswith(str(path))
    for part in parts:
        assert part in said, said


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_foreign_and_truncated_files(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(b"something else")
    assert str(path) in message(path)
    (np.save if suffix == ".npy" else np.savez)(path, TABLE)
    path.write_bytes(path.read_bytes()[:300])
    assert str(path) in message(path)
    np.save(tmp_path / "objects.npy", np.array([{}] * 30, dtype=object))
    assert "Python objects" in message(tmp_path / "objects.npy")


def one_bad_image(folder: Path, bad: Image.Image | bytes) -> None:
    save_images(folder, IMAGES)
    (folder / "007.png").unlink()
    if isinstance(bad, bytes):
        (folder / "007.png").write_bytes(bad)
    else:
        bad.save(folder / "007.png")


BAD_FOLDERS: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "no images": (lambda f: f.joinpath("a.txt").write_text("") and None, ["holds no images"]),
    "few": (lambda f: save_images(f, IMAGES[:4]), ["has 4 images; at least 20"]),
    "other size": (lambda f: one_bad_image(f, Image.new("L", (9, 5))), ["007.png is 9x5 pixels and 000.png is 4x6"]),
    "other mode": (lambda f: one_bad_image(f, Image.new("RGB", (4, 6))), ["007.png", "mode RGB", "000.png", "mode L"]),
    "foreign": (lambda f: one_bad_image(f, b"no image"), ["007.png cannot be read as an image"]),
    "empty file": (lambda f: one_bad_image(f, b""), ["007.png cannot be read as an image"]),
    "here and below": (
        lambda f: (save_images(f, IMAGES), save_images(f / "b", IMAGES)) and None,
        ["000.png", "subfolders (b", "class labels"],
    ),
    "a split": (
        lambda f: (save_images(f / "train", IMAGES), save_images(f / "test", IMAGES)) and None,
        ["test, train", "a split and no classes"],
    ),
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_folder_faults_are_named(name: str, tmp_path: Path) -> None:
    make, parts = BAD_FOLDERS[name]
    make(tmp_path)
    said = message(tmp_path)
    for part in [str(tmp_path), *parts]:
        assert part in said, said


def test_truncated_and_strange_images(tmp_path: Path) -> None:
    save_images(tmp_path, IMAGES)
    whole = (tmp_path / "007.png").read_bytes()
    (tmp_path / "007.png").write_bytes(whole[: len(whole) // 2])
    assert "007.png cannot be read as an image" in message(tmp_path)
    (tmp_path / "007.png").unlink()
    Image.fromarray(np.zeros((6, 4, 3), np.uint8)).convert("CMYK").save(tmp_path / "000.jpg")
    (tmp_path / "000.png").unlink()
    assert "000.jpg has the mode CMYK" in message(tmp_path)


def test_unknown_names(tmp_path: Path) -> None:
    assert "did you mean 'digits'?" in message("digts")
    assert "ring, moons, checkerboard, spirals" in message("something quite different")
    (tmp_path / "table.csv").write_text(csv_text())
    assert "did you mean 'table.csv'?" in message(tmp_path / "tabel.csv")
    (tmp_path / "table.xlsx").write_text("x")
    assert "'.xlsx'" in message(tmp_path / "table.xlsx")


def test_sources_that_are_none() -> None:
    with pytest.raises(TypeError, match=r"numpy\.asarray"):
        data.load([[1.0]])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="3 records"):
        Dataset(TABLE[:3], "table", labels=np.zeros(2))
    with pytest.raises(ValueError, match="column names"):
        Dataset(TABLE, "table", ("a",))
    with pytest.raises(ValueError, match="dimensions"):
        Dataset(TABLE, "image")
