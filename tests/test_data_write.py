"""What is written is read back; files appear whole or not at all; pictures show every image apart."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from scorefield import data
from scorefield.data import DataError
from scorefield.data.pictures import BACKGROUND
from scorefield.data.tables import read_csv

RNG = np.random.default_rng(0)
TABLE = np.column_stack([RNG.normal(size=(30, 2)), RNG.integers(0, 9, 30)])
IMAGES = RNG.integers(0, 256, size=(24, 6, 4), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, size=(24, 6, 4, 3), dtype=np.uint8)
LABELS = np.arange(30) % 3


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy", ".npz", ".CSV"])
def test_tables_come_back(suffix: str, tmp_path: Path) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / "new" / f"t{suffix}"
    data.write(path, TABLE, columns=("a", "b,c", "d"))
    dataset = data.load(path)
    np.testing.assert_array_equal(dataset.records, TABLE)
    assert dataset.columns == (("x0", "x1", "x2") if suffix == ".npy" else ("a", "b,c", "d"))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_labels_are_the_last_column_of_a_table(suffix: str, tmp_path: Path) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    data.write(tmp_path / f"t{suffix}", TABLE, labels=LABELS)
    dataset = data.load(tmp_path / f"t{suffix}")
    assert dataset.columns == ("x0", "x1", "x2", "label")
    np.testing.assert_array_equal(dataset.records, np.column_stack([TABLE, LABELS]))


@pytest.mark.parametrize("images", [IMAGES, COLOUR, IMAGES / 255], ids=["grey", "colour", "floats"])
def test_images_come_back(images: np.ndarray, tmp_path: Path) -> None:
    data.write(tmp_path / "a.npy", images)
    data.write(tmp_path / "a.npz", images, labels=LABELS[:24])
    for suffix in ("npy", "npz"):
        dataset = data.load(tmp_path / f"a.{suffix}")
        np.testing.assert_array_equal(dataset.records, images)
        assert dataset.records.dtype == images.dtype
    np.testing.assert_array_equal(dataset.labels, LABELS[:24])


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 8), st.integers(1, 4)),
        elements=st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**18), 10**18).map(float)),
    )
)
def test_any_table_comes_back_from_csv(records: np.ndarray) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        data.write(path, records)
        np.testing.assert_array_equal(read_csv(path).records, records)


def test_whole_numbers_have_no_point(tmp_path: Path) -> None:
    data.write(tmp_path / "t.csv", np.array([[1.0, 0.5], [-2.0, 1.0]]), columns=("a", "b"))
    assert (tmp_path / "t.csv").read_text() == "a,b\n1,0.5\n-2,1.0\n"


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".npz"])
def test_a_failed_write_leaves_the_old_file(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"t{suffix}"
    data.write(path, TABLE)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        data.write(path, TABLE + 1)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


BAD = {
    "suffix": ("a.xlsx", TABLE, {}, "'.xlsx'.*csv"),
    "no suffix": ("a", TABLE, {}, "'none'"),
    "table as picture": ("a.png", TABLE, {}, "table.*not as .png"),
    "images as table": ("a.csv", IMAGES, {}, "images.*not as .csv"),
    "labels in npy": ("a.npy", TABLE, {"labels": LABELS}, "no place for labels; write .npz"),
    "labels too few": ("a.csv", TABLE, {"labels": LABELS[:3]}, "30 whole numbers"),
    "labels not whole": ("a.csv", TABLE, {"labels": LABELS / 2}, "float64"),
    "two labels": ("a.csv", TABLE, {"columns": ("a", "label", "b"), "labels": LABELS}, "same name 'label'"),
    "names too few": ("a.csv", TABLE, {"columns": ("a",)}, "1 column names for 3 columns"),
    "names twice": ("a.csv", TABLE, {"columns": ("a", "b", "a")}, "same name 'a'"),
    "names of images": ("a.npz", IMAGES, {"columns": ("a",)}, "no column names"),
    "one dimension": ("a.csv", TABLE[0], {}, r"\(3,\)"),
    "text": ("a.csv", np.array([["a"]]), {}, "numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_faults_are_named(name: str, tmp_path: Path) -> None:
    file, records, options, pattern = BAD[name]
    with pytest.raises(DataError, match=pattern) as error:
        data.write(tmp_path / file, records, **options)
    assert str(error.value).startswith(str(tmp_path / file))
    assert not list(tmp_path.iterdir())


def test_suffixes_can_be_asked_before() -> None:
    assert data.check_suffix("a.NPZ") == ".npz"
    for name, image in (("a.doc", None), ("a.png", False), ("a.parquet", True)):
        with pytest.raises(DataError, match=name):
            data.check_suffix(name, image)


# ----------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize(("size", "scale"), [(8, 6), (28, 2), (32, 2), (64, 1), (1, 48)])
def test_tiles_are_enlarged_and_apart(size: int, scale: int) -> None:
    """Every pixel of every image is a square of its own colour, and all else is background."""
    images = RNG.integers(0, 256, size=(7, size, size), dtype=np.uint8)
    images.flat[0] = 255
    picture = np.asarray(data.grid(images, columns=3))
    tile, gap = size * scale, max(2, size * scale // 12)
    assert tile >= 32 and picture.shape == (3 * (tile + gap) + gap, 3 * (tile + gap) + gap, 3)
    seen = np.zeros(picture.shape[:2], bool)
    for i, image in enumerate(images):
        top, left = i // 3 * (tile + gap) + gap, i % 3 * (tile + gap) + gap
        where = np.s_[top : top + tile, left : left + tile]
        np.testing.assert_array_equal(picture[where], image.repeat(scale, 0).repeat(scale, 1)[..., None].repeat(3, 2))
        seen[where] = True
    assert (picture[~seen] == BACKGROUND).all()


def test_greys_fill_the_range() -> None:
    def shown(images: np.ndarray, **options: float) -> list[int]:
        return np.asarray(data.grid(images, columns=1, scale=1, **options))[2:-2, 2, 0].tolist()  # type: ignore[arg-type]

    assert shown(np.array([[[0], [8], [16]]], np.uint8)) == [0, 128, 255]
    assert shown(np.array([[[0], [4], [8]]], np.uint8), high=16) == [0, 64, 128]
    assert shown(np.array([[[-1.0], [0.0], [1.0]]])) == [0, 128, 255]
    assert shown(np.array([[[-1.0], [0.0], [1.0]]]), low=0, high=2) == [0, 0, 128]
    assert shown(np.zeros((1, 3, 1))) == [0, 0, 0]


def test_colours_and_transparency() -> None:
    tile = np.s_[2:-2, 2:-2]
    picture = np.asarray(data.grid(COLOUR[:1], scale=1, high=255))
    np.testing.assert_array_equal(picture[tile], COLOUR[0])
    clear = np.concatenate([COLOUR[:1], np.zeros_like(COLOUR[:1, ..., :1])], 3)
    np.testing.assert_array_equal(np.asarray(data.grid(clear, scale=1, high=255))[tile] - BACKGROUND, 0)


def test_a_picture_is_written(tmp_path: Path) -> None:
    data.write(tmp_path / "a.png", IMAGES)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "RGB" and abs(picture.width - picture.height) < 110


@pytest.mark.parametrize(
    ("images", "options", "pattern"),
    [
        (TABLE, {}, "tables are written"),
        (IMAGES[:0], {}, "shape"),
        (COLOUR[..., :2], {}, "got 2"),
        (IMAGES * np.nan, {}, "finite"),
        (IMAGES, {"low": 5, "high": 2}, "low < high"),
        (IMAGES, {"columns": 0}, "columns >= 1"),
        (IMAGES, {"scale": 10_000}, "pixels; draw fewer"),
    ],
)
def test_pictures_that_cannot_be_drawn(images: np.ndarray, options: dict[str, int], pattern: str) -> None:
    with pytest.raises(DataError, match=pattern):
        data.grid(images, **options)  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------------------- in parts


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy", ".npz", ".png"])
@pytest.mark.parametrize("sizes", [(30,), (7, 7, 7, 7, 2), (29, 1)])
def test_parts_make_the_file_of_the_whole(suffix: str, sizes: tuple[int, ...], tmp_path: Path) -> None:
    """Also where the first part alone would look like whole numbers."""
    records = np.repeat(IMAGES[:1], 30, 0) if suffix == ".png" else np.where(np.arange(30)[:, None] < 8, 1.0, TABLE)
    labels = LABELS if suffix in (".csv", ".parquet", ".npz") else None
    ends = np.cumsum((0, *sizes))
    parts = ((records[a:b], None if labels is None else labels[a:b]) for a, b in pairwise(ends))
    data.write(tmp_path / f"whole{suffix}", records, labels=labels)
    data.write_parts(tmp_path / f"parts{suffix}", parts, 30)
    assert (tmp_path / f"parts{suffix}").read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_frames_in_parts_come_back_as_the_whole(suffix: str, tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {
            "size": RNG.normal(size=30),
            "count": pd.array([None, *range(29)], dtype="Int64"),
            "sex": pd.Categorical.from_codes(LABELS, ["f", "m", "x"]),
            "day": pd.Timestamp("2024-05-01") + pd.to_timedelta(np.arange(30), unit="h"),
        }
    )
    data.write_frame(frame, tmp_path / f"whole{suffix}")
    data.write_frames((frame.iloc[i : i + 7] for i in range(0, 30, 7)), 30, tmp_path / f"parts{suffix}")
    whole, parts = (data.read_frame(tmp_path / f"{name}{suffix}") for name in ("whole", "parts"))
    pd.testing.assert_frame_equal(whole, parts)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy", ".npz", ".png"])
def test_what_does_not_fit_on_the_disk_is_refused_with_its_size(suffix: str, tmp_path: Path) -> None:
    """After the first part, which says how large the others are."""
    asked = []

    def parts():
        for k in range(10**6):
            asked.append(k)
            yield IMAGES if suffix == ".png" else TABLE, None

    with pytest.raises(DataError, match="pixels; draw fewer" if suffix == ".png" else r"GB on the disk.*draw fewer"):
        data.write_parts(tmp_path / f"a{suffix}", parts(), 10**15)
    assert asked == [0] and not list(tmp_path.iterdir())
    if suffix in (".csv", ".parquet"):
        import pandas as pd

        asked.clear()
        frames = (pd.DataFrame(records) for records, _ in parts())
        with pytest.raises(DataError, match=r"GB on the disk.*draw fewer"):
            data.write_frames(frames, 10**15, tmp_path / f"a{suffix}")
        assert asked == [0] and not list(tmp_path.iterdir())


def test_another_number_of_records_than_told_is_refused(tmp_path: Path) -> None:
    for n, pattern in ((29, "more than the 29"), (31, "30 records and 31")):
        with pytest.raises(DataError, match=pattern):
            data.write_parts(tmp_path / "a.npy", [(TABLE, None)], n)
    with pytest.raises(DataError, match="no records"):
        data.write_parts(tmp_path / "a.npy", [], 0)
    assert not list(tmp_path.iterdir())
