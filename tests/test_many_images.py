"""Folders of many images: a training begins before they are all decoded, and is the same however they come."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scorefield import TrainedModel
from scorefield.data import DataError
from scorefield.data.streams import Stream, open_stream
from scorefield.data.streams.order import Order
from scorefield.data.streams.reader import Reader, gathered
from scorefield.records import measured
from scorefield.records.codec import fit_codec
from scorefield.records.fit import fit
from scorefield.records.image_codec import ImageCodec
from scorefield.records.measured import looked_at, measure

DRAW = np.random.default_rng(5)
N, LOOK = 240, 30
SETTINGS: dict[str, Any] = {"steps": 9, "batch": 16, "evaluate_every": 4, "checkpoint_every": 1e-6}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """240 images in two classes, of which 30 are enough to begin with; blocks are of 16."""
    monkeypatch.setattr(measured, "LOOKED_ROWS", LOOK)
    monkeypatch.setattr("scorefield.data.streams.stream.BLOCK_ROWS", 16)
    for i, pixels in enumerate(DRAW.integers(0, 256, (N, 4, 6), dtype=np.uint8)):
        path = tmp_path / "pictures" / ("cats" if i < 100 else "dogs") / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path / "pictures"


def contents(run: Path) -> dict[str, Any]:
    model = json.loads((run / "model.json").read_text())
    for key in ("seconds", "processor"):
        model["info"]["training"].pop(key)
    return {"model": model, "weights": (run / "model.safetensors").read_bytes()}


def begun(source: Any, run: Path, **options: Any) -> Any:
    stream = None if isinstance(source, Stream) else True
    return fit(source, run, settings=SETTINGS, size="small", stream=stream, **options)


def test_a_training_waits_for_no_block(folder: Path, tmp_path: Path) -> None:
    stream, never = open_stream(folder), threading.Event()

    def read(k: int) -> np.ndarray:
        never.wait(60)
        return stream.read(k)

    loop = begun(replace(stream, read=read), tmp_path / "run")
    assert [next(loop).step for _ in range(3)] == [1, 2, 3]
    assert not never.is_set()
    never.set()
    loop.close()


def test_what_reads_ahead_ends_with_the_training(folder: Path, tmp_path: Path) -> None:
    stream, gate, seen = open_stream(folder), threading.Event(), []

    def read(k: int) -> np.ndarray:
        seen.append(k)
        gate.wait(60)
        return stream.read(k)

    def readers() -> int:
        return sum(thread.name.startswith("reader") for thread in threading.enumerate())

    before, loop = readers(), begun(replace(stream, read=read), tmp_path / "run")
    next(loop)
    assert readers() > before
    threading.Timer(0.2, gate.set).start()
    loop.close()  # waits for the block that is being read, and for no other
    assert readers() == before and len(seen) == 1


def test_the_run_is_one_whatever_was_decoded_when(folder: Path, tmp_path: Path) -> None:
    list(begun(folder, tmp_path / "whole", readers=3))
    waiting = open_stream(folder)
    gate = threading.Event()

    def read(k: int) -> np.ndarray:
        gate.wait(60) if k % 2 else None
        return waiting.read(k)

    loop = begun(replace(waiting, read=read), tmp_path / "part")
    for _ in range(4):
        next(loop)  # half of the blocks at most
    gate.set()
    loop.close()
    list(begun(folder, tmp_path / "part", resume=True))
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")
    data = TrainedModel.load(tmp_path / "whole").info["data"]
    assert data["stream"]["looked"] == data["stream"]["sample"] == LOOK
    assert data["classes"] == ["cats", "dogs"]


def test_the_codec_is_that_of_a_sample_and_no_held_out_image(folder: Path) -> None:
    stream = open_stream(folder)
    held = np.arange(0, N, 3)
    order = Order(stream, held, 7, 1000)
    found = measure(order, looked_at(stream), None)
    rows = measured.some_rows(order, LOOK)
    assert len(np.unique(rows)) == LOOK and not set(rows) & set(held)
    assert not np.array_equal(rows, measured.some_rows(replace(order, seed=8), LOOK))
    records = np.concatenate([block for _, block in stream.blocks()])
    from scorefield.data import Dataset

    assert found.codec == fit_codec(Dataset(records, "image"), rows)
    assert np.array_equal(gathered(stream, rows, 3), records[rows])


@pytest.mark.parametrize("bright", [0, 1])
def test_dark_images_are_all_looked_at(bright: int, folder: Path) -> None:
    for path in folder.rglob("*.png"):
        Image.fromarray(np.asarray(Image.open(path)) // 4).save(path)
    if bright:
        Image.fromarray(np.full((4, 6), 90, np.uint8)).save(folder / "dogs" / "150.png")
    codec = measure(Order(open_stream(folder), np.zeros(0, np.int64), 0, 1000), LOOK, None).codec
    assert isinstance(codec, ImageCodec) and codec.levels == (91 if bright else 64)


def test_few_images_are_all_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = open_stream(folder)
    assert looked_at(stream) == LOOK
    monkeypatch.setattr(measured, "LOOKED_ROWS", N // 2)
    assert looked_at(stream) is None
    monkeypatch.undo()
    assert looked_at(stream) is None and looked_at(replace(stream, decoded=False)) is None
    large = replace(stream, shape=(2000, 2000, 3), sizes=np.full(10, 1000))
    assert looked_at(large) == measured.LOOKED_LEAST


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:60]), "cannot be read as an image"),
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "another size": (lambda path: Image.new("L", (5, 4)).save(path), "all images need one size: --image-size"),
    "colours": (lambda path: Image.new("RGB", (6, 4)).save(path), "all need one mode: --image-mode"),
    "gone": (lambda path: path.unlink(), "No such file"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_file_that_turns_out_bad_is_named(name: str, folder: Path, tmp_path: Path) -> None:
    stream = open_stream(folder)
    order = Order(stream, np.zeros(0, np.int64), 0, 1000)
    seen = set(measured.some_rows(order, LOOK))
    bad = next(i for i in range(100, N) if i not in seen)
    path = folder / "dogs" / f"{bad:03d}.png"
    DAMAGES[name][0](path)
    measure(order, LOOK, None)  # begins without it
    with pytest.raises(DataError, match=DAMAGES[name][1]) as fault:
        Reader(order).take(0, N)
    assert str(path) in str(fault.value) and "\n" not in str(fault.value)


def test_a_training_that_began_with_all_goes_on_with_all(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As runs of earlier versions: their fit.json names no sample, and no statistics were kept."""
    monkeypatch.setattr("scorefield.records.fit_streamed.looked_at", lambda stream: None)
    list(begun(folder, tmp_path / "whole"))
    loop = begun(folder, tmp_path / "part")
    for _ in range(4):
        next(loop)
    loop.close()
    monkeypatch.setattr("scorefield.records.fit_streamed.looked_at", looked_at)
    (tmp_path / "part" / measured.FILE).unlink()
    list(begun(folder, tmp_path / "part", resume=True))
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")
    assert "looked" not in TrainedModel.load(tmp_path / "part").info["data"]["stream"]


# ------------------------------------------------------------------------------------------- statistics that are kept


@pytest.fixture(params=["pictures", "rows"])
def stopped(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A source, and a run of it that was stopped; beside that a whole one."""
    source = folder
    if request.param == "rows":
        source = tmp_path / "x.npy"
        np.save(source, DRAW.normal(size=(300, 3)))
    list(begun(source, tmp_path / "whole"))
    loop = begun(source, tmp_path / "part")
    for _ in range(4):
        next(loop)
    loop.close()
    return source, tmp_path / "part"


def test_resuming_takes_what_was_measured(stopped: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source, run = stopped
    monkeypatch.setattr(measured, "measure", None)  # is not called
    list(begun(source, run, resume=True))
    assert contents(run) == contents(run.parent / "whole")


@pytest.mark.parametrize("what", ["gone", "damaged", "of others", "another form"])
def test_statistics_that_do_not_belong_are_measured_again(what: str, stopped: tuple[Path, Path]) -> None:
    source, run = stopped
    path = run / measured.FILE
    if what == "gone":
        path.unlink()
    elif what == "damaged":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        from scorefield import _files

        tensors, state = _files.read_tensors(path)
        state["about"]["seed"] += what == "of others"
        state["scales"] = {"sigma_data": 3.0} if what == "another form" else {**state["scales"], "sigma_data": 3.0}
        _files.write_tensors(path, tensors, state)
    list(begun(source, run, resume=True))
    assert contents(run) == contents(run.parent / "whole")


# -------------------------------------------------------------------------------------------------------- by itself


def test_many_images_come_as_they_are_needed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scorefield: Callable[..., tuple[int, str, str]]
) -> None:
    list(fit(folder, tmp_path / "memory", settings=SETTINGS, size="small"))
    monkeypatch.setattr("scorefield.data.streams.opening._MANY", N - 1)
    code, out, err = scorefield("fit", folder, "-o", tmp_path / "run", "--steps", "2", "--size", "small")
    assert code == 0 and "decoded as they are needed" in out, err
    assert "stream" in TrainedModel.load(tmp_path / "run").info["data"]
    code, out, _ = scorefield("info", tmp_path / "run")
    assert code == 0 and f"pixels measured on {LOOK} of the {N - 24}" in out
    again = fit(folder, tmp_path / "memory", settings={"steps": 11}, size="small", resume=True)  # as it began
    assert [progress.step for progress in again] == [10, 11]
    code, out, err = scorefield("evaluate", tmp_path / "run", folder, "--steps", "2")
    assert code == 0 and "that the model has not seen" in out, err
    shutil.rmtree(tmp_path / "run")
    code, out, _ = scorefield("fit", folder, "-o", tmp_path / "run", "--steps", "2", "--size", "small", "--no-stream")
    assert code == 0 and "stream" not in TrainedModel.load(tmp_path / "run").info["data"]
