"""Sources that are read as they are needed hold what was put into them, whatever their form."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from scorefield import runs
from scorefield.data import DataError, ImageReading, load
from scorefield.data.streams import Stream, indexed_stream, open_stream, spooled
from scorefield.data.streams.opening import form_of, too_large

DRAW = np.random.default_rng(0)
ROWS = DRAW.normal(size=(90, 3))
IMAGES = DRAW.integers(0, 256, (60, 6, 5, 3), dtype=np.uint8)
CLASSES = np.arange(60) % 3


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def npy(x: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, x)
    return file.getvalue()


def shard(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            file.addfile(about, io.BytesIO(content))
    return path


def parquet(folder: Path) -> Path:
    frame = pd.DataFrame(ROWS, columns=["a", "b", "c"])
    for k, part in enumerate((frame[:50], frame[50:])):
        path = folder / "data" / "sub" / f"part-{k}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        part.assign(name=[f"row {i}" for i in part.index]).to_parquet(path, row_group_size=20, index=False)
    (folder / "data" / "_metadata.parquet").write_bytes(b"of another program")
    return folder / "data"


def tars(folder: Path) -> Path:
    for k, part in enumerate((range(25), range(25, 60))):
        members: dict[str, bytes] = {}
        for i in part:
            members[f"{i:03d}.json"] = b"{}"
            members[f"{i:03d}.png"] = png(IMAGES[i])
            members[f"{i:03d}.cls"] = str(CLASSES[i]).encode()
        shard(folder / "shards" / f"{k}.tar", members)
    return folder / "shards"


def arrays(folder: Path) -> Path:
    return shard(folder / "arrays.tar", {f"deep/{i:03d}.x.npy": npy(ROWS[i]) for i in range(90)})


def pictures(folder: Path) -> Path:
    for i, pixels in enumerate(IMAGES):
        path = folder / "pictures" / "abc"[CLASSES[i]] / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(pixels))
    return folder / "pictures"


def saved(folder: Path, table: pa.Table, rows: int) -> Path:
    """As `datasets.Dataset.save_to_disk` writes it."""
    to = folder / "saved"
    to.mkdir()
    with pa.OSFile(str(to / "data-00000-of-00001.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as out:
        out.write_table(table, max_chunksize=rows)
    (to / "dataset_info.json").write_text("{}")
    (to / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
    return to


def saved_rows(folder: Path) -> Path:
    return saved(folder, pa.table({name: ROWS[:, j] for j, name in enumerate("abc")}), 32)


def saved_images(folder: Path) -> Path:
    images = [{"bytes": png(pixels), "path": None} for pixels in IMAGES]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return saved(folder, pa.table({"image": pa.array(images, kind), "label": pa.array(CLASSES)}), 25)


class Numbered(torch.utils.data.Dataset):  # type: ignore[type-arg]
    def __len__(self) -> int:
        return 90

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(ROWS[i]), i


def indexed(folder: Path) -> Stream:
    return indexed_stream(Numbered(), lambda item: item[0])


def batched(folder: Path) -> Stream:
    loader = torch.utils.data.DataLoader(Numbered(), batch_size=17)
    return spooled(loader, folder / "spooled.npy", lambda batch: batch[0])


SORTED = np.argsort(CLASSES, kind="stable")
SOURCES: dict[str, tuple[Callable[[Path], Path | Stream], dict[str, Any], np.ndarray, np.ndarray | None]] = {
    "parquet": (parquet, {"leave_out": ("name",)}, ROWS, None),
    "tars": (tars, {}, IMAGES, CLASSES),
    "arrays": (arrays, {}, ROWS, None),
    "pictures": (pictures, {}, IMAGES[SORTED], CLASSES[SORTED]),
    "saved rows": (saved_rows, {}, ROWS, None),
    "saved images": (saved_images, {}, IMAGES, CLASSES),
    "torch data set": (indexed, {}, ROWS, None),
    "batches": (batched, {}, ROWS, None),
}


@pytest.fixture(params=SOURCES)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path | Stream, dict[str, Any], Stream, Any]:
    make, options, records, labels = SOURCES[request.param]
    source = make(tmp_path)
    stream = source if isinstance(source, Stream) else open_stream(source, **options)
    return source, options, stream, (records, labels)


def test_blocks_rows_and_labels_are_what_was_written(made: tuple[Any, Any, Stream, Any]) -> None:
    _, _, stream, (records, labels) = made
    assert stream.shape == records.shape[1:] and stream.dtype == records.dtype
    assert np.array_equal(np.concatenate([block for _, block in stream.blocks()]), records)
    some = np.array([5, 59, 5, 0, 33])
    assert np.array_equal(stream.rows(some), records[some])
    assert (stream.labels is None) == (labels is None) and (labels is None or np.array_equal(stream.labels, labels))


def test_fit_evaluate_and_sample(made: tuple[Any, dict[str, Any], Stream, Any], tmp_path: Path) -> None:
    source, options, stream, _ = made
    if isinstance(source, Stream):
        from scorefield.records.fit import fit

        steps = fit(source, tmp_path / "run", settings={"steps": 3, "batch": 16}, held_share=0.3)
    else:
        chosen = {"stream": True, "held_share": 0.3, **options}
        steps = runs.fit(str(source), tmp_path / "run", settings={"steps": 3, "batch": 16}, options=chosen)
    assert len(list(steps)) == 3
    model = runs.load(tmp_path / "run")
    assert bool(model.model.classes) == (stream.labels is not None)
    assert model.sample(2, steps=4).shape == (2, *stream.shape)
    if not isinstance(source, Stream):
        result = runs.kind_of_run(tmp_path / "run").evaluate(model, source, steps=4)
        assert result.unseen and result.training is not None
        more = runs.fit(str(source), tmp_path / "run", settings={"steps": 5}, options={"held_share": 0.3}, resume=True)
        assert len(list(more)) == 2


def test_sources_that_come_so_alone_need_no_option(scorefield: Callable[..., Any], tmp_path: Path) -> None:
    for source, option in ((parquet(tmp_path), ["--leave-out", "name"]), (tars(tmp_path), [])):
        code, _, err = scorefield("fit", source, "-o", tmp_path / f"{source.name}-run", "--steps", 2, *option)
        assert code == 0, err
    assert (form_of(tmp_path / "shards/*.tar"), form_of(tmp_path / "none*.tar")) == ("tar", None)
    assert not too_large(pictures(tmp_path)) and not too_large("digits")
    code, _, err = scorefield("fit", tmp_path / "data", "-o", tmp_path / "x", "--steps", 2)
    assert code == 2 and "'name'" in err and "--leave-out" in err and err.count("\n") == 1


def test_images_of_shards_are_read_as_told(tmp_path: Path) -> None:
    how = ImageReading("grey", (4, 4), crop=True)
    shards, folder = open_stream(tars(tmp_path), images=how), pictures(tmp_path)
    whole, lazy = load(folder, images=how), open_stream(folder, images=how)
    assert np.array_equal(shards.rows(SORTED), whole.records)
    assert np.array_equal(lazy.rows(np.arange(60)), whole.records)
    assert whole.labels is not None and np.array_equal(lazy.labels, whole.labels)


BAD_MEMBERS: dict[str, tuple[dict[str, bytes], str]] = {
    "pickle": ({"a.pkl": b"cos\nsystem\n(S'echo'\ntR."}, "may run code"),
    "torch": ({"a.pth": b""}, "may run code"),
    "nothing": ({"a.txt": b"hello"}, "no images and no .npy"),
    "damaged": ({f"{i}.png": b"no image" if i == 7 else png(IMAGES[i]) for i in range(30)}, "7.png cannot be read"),
    "empty": ({f"{i}.png": b"" if i == 7 else png(IMAGES[i]) for i in range(30)}, "7.png.* empty"),
    "two kinds": ({f"{i}.{'npy' if i == 9 else 'png'}": png(IMAGES[i]) for i in range(30)}, "of one kind"),
    "objects": ({f"{i}.npy": npy(np.array([{}])) for i in range(30)}, "0.npy cannot be read"),
    "sizes": ({f"{i}.png": png(IMAGES[i][: 6 - (i == 8)]) for i in range(30)}, "need one size"),
    "shapes": ({f"{i}.npy": npy(np.arange(3.0 + (i == 8))) for i in range(30)}, "all need one"),
    "twice": ({"a.png": png(IMAGES[0]), "a.jpg": b""}, "already"),
    "few": ({"a.png": png(IMAGES[0])}, "at least 20"),
    "labels": ({**{f"{i}.png": png(IMAGES[i]) for i in range(30)}, "3.cls": b"1"}, "1 of 30"),
    "no label": ({"3.png": png(IMAGES[0]), "3.cls": b"cat"}, "class label"),
}


@pytest.mark.parametrize("name", BAD_MEMBERS)
def test_bad_shards_are_one_sentence(name: str, tmp_path: Path) -> None:
    members, message = BAD_MEMBERS[name]
    with pytest.raises(DataError, match=message):
        list(open_stream(shard(tmp_path / "x.tar", members)).blocks())


def test_names_that_a_shell_made_of_a_pattern_are_one_sentence(scorefield: Callable[..., Any], tmp_path: Path) -> None:
    folder = tars(tmp_path)
    code, _, err = scorefield("fit", folder / "0.tar", folder / "1.tar", "-o", tmp_path / "run")
    assert code == 2 and f"a pattern in quotes, such as '{folder}/*.tar'" in err and err.count("\n") == 1
    code, _, err = scorefield("fit", "ring", "run", "--steps", 2, "-o", tmp_path / "run")
    assert code == 2 and "fit takes one source, got ['ring', 'run']" in err and err.count("\n") == 1


def test_shards_hold_files_alone_and_are_not_compressed(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", {f"{i}.png": png(IMAGES[i]) for i in range(30)})
    with tarfile.open(path, "a") as file:
        link = tarfile.TarInfo("secret.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(link)
    assert len(open_stream(path)) == 30
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError):
        list(open_stream(path).blocks())
    with tarfile.open(path, "w:gz") as file:
        file.add(__file__)
    with pytest.raises(DataError, match="uncompressed tar"):
        open_stream(path)


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40), **columns})


BAD_FRAMES: dict[str, tuple[list[tuple[str, pd.DataFrame]], dict[str, Any], str]] = {
    "text": ([("x", frame(c="a"))], {}, r"column 'c' holds (large_)?string"),
    "hole": ([("x", frame(c=[np.nan if i == 7 else i for i in range(40)]))], {}, "record 8 holds NaN at 'c'"),
    "lacks": ([("x", frame()), ("y", frame()[["a"]])], {}, "y.parquet lacks the column 'b'"),
    "has also": ([("x", frame()), ("y", frame(c=1))], {}, "y.parquet has also the column 'c'"),
    "no such": ([("x", frame())], {"leave_out": ("z",)}, "no column 'z'; it has a, b"),
    "none left": ([("x", frame())], {"leave_out": ("a", "b")}, "no column is left"),
    "few": ([("x", frame()[:9])], {}, "at least 20"),
    "partitions": ([("year=2024/x", frame())], {}, "column in its name"),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_bad_parquet_is_one_sentence(name: str, tmp_path: Path) -> None:
    files, options, message = BAD_FRAMES[name]
    for place, content in files:
        (tmp_path / place).parent.mkdir(exist_ok=True)
        content.to_parquet(tmp_path / f"{place}.parquet", index=False)
    with pytest.raises(DataError, match=message):
        list(open_stream(tmp_path, **options).blocks())


def test_row_groups_that_are_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame().to_parquet(tmp_path / "x.parquet", index=False)
    monkeypatch.setattr("scorefield.data.streams.parquet._GROUP", 16 * 40 - 1)
    with pytest.raises(DataError, match="row_group_size"):
        open_stream(tmp_path / "x.parquet")
    pq.write_table(pa.table(frame()), tmp_path / "x.parquet", row_group_size=39)
    assert len(open_stream(tmp_path / "x.parquet").sizes) == 2


def test_a_damaged_or_foreign_file_is_one_sentence(tmp_path: Path) -> None:
    for name in ("x.parquet", "x.tar", "x.npy"):
        (tmp_path / name).write_bytes(b"hello" * 300)
        with pytest.raises(DataError, match=f"{name} cannot be read"):
            open_stream(tmp_path / name)
    folder = saved_rows(tmp_path)
    (folder / "data-00000-of-00001.arrow").write_bytes(b"hello" * 300)
    with pytest.raises(DataError, match="arrow stream"):
        open_stream(folder)
    (folder / "state.json").write_text('{"_data_files": [], "_indices_data_files": [{"filename": "x"}]}')
    with pytest.raises(DataError, match="flatten_indices"):
        open_stream(folder)


def test_python_records_that_change_or_are_no_arrays_say_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="record="):
        indexed_stream(Numbered())
    with pytest.raises(DataError, match="all need one"):
        list(indexed_stream([np.zeros(3 + (i == 25)) for i in range(30)]).blocks())
    with pytest.raises(DataError, match="no records"):
        spooled(iter([]), tmp_path / "x.npy")
    with pytest.raises(DataError, match="number 2"):
        spooled([np.zeros((3, 2)), np.zeros((3, 4))], tmp_path / "x.npy")
    assert list(tmp_path.iterdir()) == []  # nothing is left of what failed
