"""Records that are read as they are needed: the codec of records in memory, an order that the seed alone makes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scorefield import _memory, runs
from scorefield.data import DataError, load
from scorefield.data.dataset import Dataset
from scorefield.data.streams import Stream, npy_stream
from scorefield.data.streams.order import Order, drawn_rows, held_rows
from scorefield.data.streams.reader import Reader
from scorefield.records.codec import fit_codec
from scorefield.records.statistics import codec_of, survey
from scorefield.records.streamed import Streamed

DRAW = np.random.default_rng(0)
ARRAYS: dict[str, tuple[np.ndarray, str | None]] = {
    "rows": (DRAW.normal(size=(1000, 3)) * [1.0, 1e-3, 1e6] + [0.0, 1e6, -3.0], None),
    "far from 0": (DRAW.normal(size=(500, 2)) + 1e9, None),
    "huge and tiny": (DRAW.normal(size=(400, 2)) * [1e200, 1e-200], None),
    "float32": (DRAW.normal(size=(300, 5)).astype(np.float32), None),
    "whole": (np.stack([DRAW.integers(0, 9, 700), DRAW.integers(-5, 2, 700)], 1), None),
    "partly whole": (np.stack([np.arange(90.0), np.arange(90.0) + (np.arange(90) == 77) / 4], 1), None),
    "one column": (DRAW.normal(size=200), None),
    "images": (DRAW.integers(0, 200, (90, 5, 6), dtype=np.uint8), None),
    "coloured": (DRAW.integers(0, 900, (60, 4, 4, 3), dtype=np.uint16), None),
    "float images": (DRAW.normal(size=(50, 5, 4)).astype(np.float32), None),
    "series": (DRAW.normal(size=(80, 12, 2)) * [1.0, 50.0], "series"),
    "short series": (DRAW.normal(size=(80, 12)).astype(np.float32), "series"),
    "volumes": (DRAW.normal(size=(30, 4, 4, 4)), "volume"),
}


def cut(stream: Stream, rows: int) -> Stream:
    """The same records in smaller blocks."""
    x = np.concatenate([records for _, records in stream.blocks()])
    sizes = np.array([min(rows, len(x) - start) for start in range(0, len(x), rows)])
    return Stream(
        stream.source,
        stream.kind,
        stream.shape,
        stream.dtype,
        sizes,
        lambda k: x[k * rows : (k + 1) * rows],
        stream.columns,
    )


def npy(folder: Path, x: np.ndarray) -> Path:
    np.save(folder / "x.npy", x)
    return folder / "x.npy"


# ------------------------------------------------------------------------------------------------------ statistics


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("rows", [1, 7, 64, 10**6])
def test_one_pass_in_blocks_makes_the_codec_of_records_in_memory(name: str, rows: int, tmp_path: Path) -> None:
    x, grid = ARRAYS[name]
    path = npy(tmp_path, x)
    stream = cut(npy_stream(path, grid), rows)  # type: ignore[arg-type]
    held = np.sort(held_rows(len(x), 0.1, 3))
    found, some = survey(Order(stream, held, 0, 50), held)
    made = codec_of(stream, found).to_json()
    whole = load(path, grid=grid)  # type: ignore[arg-type]
    wanted = fit_codec(whole, np.setdiff1d(np.arange(len(x)), held)).to_json()
    assert np.array_equal(some, stream.rows(held)) and np.array_equal(some, whole.records[held].reshape(some.shape))
    mean, std = (np.array(wanted.pop(key)) for key in ("mean", "std"))
    # sums of n numbers of float64, in another order: sqrt(n) roundings of numbers as large as the data are
    eps = np.finfo(np.float64).eps * np.sqrt(x.size)
    assert np.all(np.abs(np.array(made.pop("mean")) - mean) <= 4 * eps * (np.abs(mean) + std))
    assert np.all(np.abs(np.array(made.pop("std")) / std - 1) <= 4 * eps + np.finfo(float).eps * np.abs(mean) / std)
    assert made == wanted


def test_a_constant_column_and_equal_pixels_are_refused() -> None:
    x = np.stack([np.arange(40.0), np.full(40, 2.0)], 1)
    cases: list[tuple[np.ndarray, Any]] = [
        (x, "array"),
        (np.full((40, 3, 3), 7, np.uint8), "image"),
        (np.ones((40, 4, 4)), "image"),
    ]
    for records, kind in cases:
        stream = Stream("x", kind, records.shape[1:], records.dtype, np.array([40]), lambda k, r=records: r)
        found, _ = survey(Order(stream, np.zeros(0, np.int64), 0, 50), np.zeros(0, np.int64))
        with pytest.raises(DataError, match="is constant" if kind == "array" else "every pixel"):
            codec_of(stream, found)


# ----------------------------------------------------------------------------------------------------------- order


def numbered(n: int, rows: int) -> Stream:
    """A stream whose records are their row numbers."""
    sizes = np.array([min(rows, n - start) for start in range(0, n, rows)])
    return Stream(
        "numbers",
        "array",
        (1,),
        np.dtype(np.int64),
        sizes,
        lambda k: np.arange(k * rows, k * rows + sizes[k])[:, None],
    )


CUTS = [(n, rows, buffer) for n in (20, 101, 300) for rows in (1, 9, 5000) for buffer in (1, 30, 10**6)]


@pytest.mark.parametrize(("n", "rows", "buffer"), CUTS)
def test_an_epoch_has_every_row_once_that_is_not_held_out(n: int, rows: int, buffer: int) -> None:
    held = np.sort(held_rows(n, 0.3, 1))
    order = Order(numbered(n, rows), held, 5, buffer)
    reader = Reader(order)
    orders = []
    for epoch in range(3):
        records, row = reader.take(epoch * len(order), (epoch + 1) * len(order))
        assert np.array_equal(records[:, 0], row)
        assert np.array_equal(np.sort(row), np.setdiff1d(np.arange(n), held))
        orders.append(row.tolist())
    assert orders[0] != orders[1] != orders[2]
    other = Reader(Order(order.stream, held, 6, buffer)).take(0, len(order))[1]
    assert other.tolist() != orders[0]
    reader.close()


@pytest.mark.parametrize(("n", "rows", "buffer"), CUTS)
def test_positions_alone_say_which_rows_come(n: int, rows: int, buffer: int) -> None:
    """Whatever was read before, by whoever: resuming, several processes and several readers see one order."""
    held = np.sort(held_rows(n, 0.1, 1))
    order = Order(numbered(n, rows), held, 5, buffer)
    whole = Reader(order).take(0, 3 * n)[1]
    spans = [(int(a), int(a + b)) for a, b in zip(DRAW.integers(0, 2 * n, 12), DRAW.integers(1, n, 12), strict=True)]
    for readers in (1, 5):
        reader = Reader(order, readers)
        for first, end in spans:
            assert np.array_equal(reader.take(first, end)[1], whole[first:end])
        reader.close()


def test_rows_are_shuffled_across_blocks_and_inside_buffers() -> None:
    """Blocks of a buffer come mixed: a batch of sorted data is spread as far as the buffer's blocks are."""
    order = Order(numbered(10_000, 10), np.zeros(0, np.int64), 0, 1000)
    rows = Reader(order).take(0, 10_000)[1]
    first = rows[:1000]
    assert len(np.unique(first // 10)) == 100 and set(np.unique(first // 10, return_counts=True)[1]) == {10}
    assert abs(first[:100].mean() - 5000) < 5 * 2887 / 10  # five standard errors of uniform numbers
    steps = np.abs(np.diff(first))
    assert (steps == 1).mean() < 0.05


@pytest.mark.parametrize(("n", "count"), [(20, 19), (1000, 100), (1000, 999), (10**9, 5000), (10**13, 3000)])
def test_drawn_rows_are_different_and_even(n: int, count: int) -> None:
    rows = drawn_rows(n, count, 0, "test")
    assert len(np.unique(rows)) == count and 0 <= rows.min() and rows.max() < n
    assert abs(rows.mean() / n - 0.5) < 5 / np.sqrt(12 * count)
    assert np.array_equal(drawn_rows(n, count // 2, 0, "test"), rows[: count // 2])  # fewer are the first of more
    assert not np.array_equal(drawn_rows(n, count, 1, "test"), rows)


@pytest.mark.parametrize("name", ["whole", "images", "series"])
def test_encoded_rows_do_not_depend_on_how_they_were_asked_for(name: str, tmp_path: Path) -> None:
    x, grid = ARRAYS[name]
    stream = cut(npy_stream(npy(tmp_path, x), grid), 7)  # type: ignore[arg-type]
    order = Order(stream, np.sort(held_rows(len(x), 0.1, 1)), 2, 30)
    codec = codec_of(stream, survey(order, np.zeros(0, np.int64))[0])
    streamed = Streamed(codec, Reader(order), 4)
    encoded, place = streamed.in_turn(13, 13 + 2 * len(order))
    assert torch.equal(encoded, streamed[place])
    assert torch.equal(streamed[:5], streamed[torch.arange(5)])
    halves = [streamed.in_turn(*span)[0] for span in ((13, 40), (40, 70))]  # as two processes take them
    assert torch.equal(torch.cat(halves), encoded[:57])


# ------------------------------------------------------------------------------------------------------ end to end


SETTINGS: dict[str, Any] = {"steps": 12, "batch": 32, "evaluate_every": 5, "checkpoint_every": 1e-6}


def contents(folder: Path) -> dict[str, Any]:
    model = json.loads((folder / "model.json").read_text())
    for key in ("seconds", "processor"):
        model["info"]["training"].pop(key)
    return {"model": model, "weights": (folder / "model.safetensors").read_bytes()}


@pytest.fixture(params=["rows", "images", "series"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    x, grid = ARRAYS[request.param]
    return npy(tmp_path, x), {"stream": True, **({} if grid is None else {"grid": grid})}


def fit(source: Path, folder: Path, options: dict[str, Any], resume: bool = False, **settings: Any) -> Any:
    return runs.fit(str(source), folder, settings={**SETTINGS, **settings}, options=options, resume=resume)


@pytest.mark.parametrize("buffer", [40, 10**6])
def test_a_stop_in_an_epoch_and_other_readers_end_in_the_same_run(
    source: tuple[Path, dict[str, Any]], tmp_path: Path, buffer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, options = source
    monkeypatch.setattr("scorefield.records.fit_streamed.buffer_rows", lambda stream: buffer)
    monkeypatch.setattr("scorefield.data.streams.stream.BLOCK_ROWS", 16)
    assert len(list(fit(path, tmp_path / "whole", options))) == 12
    for stop in (2, 5):
        loop = fit(path, tmp_path / "part", {**options, "readers": 3}, resume=stop > 2)
        for _ in range(stop):
            next(loop)
        loop.close()
    again = {key: value for key, value in options.items() if key not in ("stream", "grid")}  # as the folder says
    list(fit(path, tmp_path / "part", again, resume=True))
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")


def test_a_run_is_evaluated_and_sampled_like_others(
    scorefield: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    path, run = npy(tmp_path, ARRAYS["rows"][0]), tmp_path / "run"
    code, _, _ = scorefield("fit", path, "-o", run, "--steps", 5, "--stream", "--held", 0.3)
    assert code == 0
    code, out, _ = scorefield("evaluate", run, path, "--json", tmp_path / "f.json")
    assert code == 0 and "300 real records that the model has not seen" in out and "memorisation ratio" in out
    code, out, _ = scorefield("sample", run, "-n", 4, "-o", tmp_path / "new.csv")
    assert code == 0 and (tmp_path / "new.csv").read_text().startswith("x0,x1,x2")
    assert scorefield("info", run)[0] == 0
    code, out, err = scorefield("check", run)
    assert code in (0, 1) and "calibration" in out.lower() and err == ""
    other = tmp_path / "other"
    other.mkdir()
    code, out, _ = scorefield("evaluate", run, npy(other, ARRAYS["rows"][0] + 1))
    assert code == 0 and "not known" in out


def test_other_records_are_refused_when_resuming(source: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    path, options = source
    list(fit(path, tmp_path / "run", options))
    np.save(path, np.load(path)[::-1])
    with pytest.raises(ValueError, match="other records"):
        list(fit(path, tmp_path / "run", options, resume=True, steps=14))
    with pytest.raises(ValueError, match="trained with"):
        list(fit(path, tmp_path / "run", {**options, "stream": False}, resume=True, steps=14))


def test_a_file_that_does_not_fit_comfortably_is_read_as_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = npy(tmp_path, ARRAYS["rows"][0])
    for free, streamed in ((24_000 * 3 - 1, True), (24_000 * 3, False)):
        monkeypatch.setattr(_memory, "available", lambda free=free: free)
        loop = fit(path, tmp_path / str(free), {})
        monkeypatch.undo()
        list(loop)
        assert ("stream" in runs.load(tmp_path / str(free)).info["data"]) == streamed
        shutil.rmtree(tmp_path / str(free))


def test_a_stream_in_python_is_a_source_too(tmp_path: Path) -> None:
    stream = cut(npy_stream(npy(tmp_path, ARRAYS["rows"][0])), 100)
    from scorefield.records.fit import fit as fit_records

    steps = list(fit_records(stream, tmp_path / "run", settings=SETTINGS))
    assert steps[-1].last == "budget" and runs.load(tmp_path / "run").sample(3, steps=4).shape == (3, 3)


# ---------------------------------------------------------------------------------------------------------- memory


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="private memory is read from /proc")
def test_private_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    """As large as SCOREFIELD_STREAM_GB says, 0.12 GB unless told; in memory that takes more than a gigabyte."""
    script = Path(__file__).parent.parent / "benchmarks" / "streaming.py"
    words = [sys.executable, str(script), "--folder", str(tmp_path), "--steps", "40", "--alone"]
    words += ["--gigabytes", os.environ.get("SCOREFIELD_STREAM_GB", "0.12")]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout.splitlines()[-1])["memory"] < 0.8e9


# ------------------------------------------------------------------------------------------------------- bad input


BAD: dict[str, tuple[np.ndarray, dict[str, Any], str]] = {
    "columns": (np.asfortranarray(np.zeros((30, 2))), {}, "laid out by columns"),
    "texts": (np.array(["a"] * 30), {}, "not numbers"),
    "fields": (np.zeros(30, [("a", float)]), {}, "not numbers"),
    "integers": (np.zeros((30, 4, 4), np.int32), {}, "uint8, uint16 or floats"),
    "channels": (np.zeros((30, 3, 8, 8), np.uint8), {}, "channels before height"),
    "shape": (np.zeros((30, 2, 2, 2, 2)), {}, "has the shape"),
    "volumes": (np.zeros((30, 2)), {"grid": "volume"}, "volumes come as"),
    "few": (np.arange(19.0), {}, "at least 20"),
    "nan": (np.where(np.arange(60).reshape(30, 2) == 41, np.nan, 1.0), {}, r"record 21 holds NaN at 'x1'"),
    "infinite": (
        np.where(np.arange(480).reshape(30, 4, 4) == 161, np.inf, 1.0),
        {},
        r"11 holds an inf.* at 1, 2",
    ),
    "constant": (np.ones((30, 2)), {}, "constant"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_streamed_is_one_sentence(name: str, tmp_path: Path) -> None:
    x, options, message = BAD[name]
    with pytest.raises(DataError, match=message):
        list(fit(npy(tmp_path, x), tmp_path / "run", {"stream": True, **options}))


def test_a_file_cut_short_while_it_is_read_is_one_sentence(tmp_path: Path) -> None:
    path = npy(tmp_path, ARRAYS["rows"][0])
    stream = npy_stream(path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match="meanwhile"):
        Reader(Order(stream, np.zeros(0, np.int64), 0, 50)).take(0, 10)
    with pytest.raises(DataError, match="cut short"):
        npy_stream(path)


@pytest.mark.parametrize("source", ["ring", "digits", "x.npz", "nowhere.npy"])
def test_sources_without_blocks_say_so(source: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not read as it is needed"):
        list(fit(Path(source), tmp_path / "run", {"stream": True}))


def test_a_data_set_in_memory_is_no_stream(tmp_path: Path) -> None:
    from scorefield.records.fit import fit as fit_records

    with pytest.raises(DataError, match="in memory"):
        list(fit_records(Dataset(np.zeros((30, 2)), "array"), tmp_path / "run", stream=True))
