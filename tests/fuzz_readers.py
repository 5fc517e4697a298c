"""What is fuzzed: every reader of files and texts, each with whole files to damage."""

from __future__ import annotations

import gzip
import io
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import fuzz_mutate as mutate

Files = dict[str, bytes]
Edit = Callable[[bytes, Random], bytes]


@dataclass(frozen=True)
class Reader:
    """One reader.

    Args:
        seeds: whole inputs, each some files by name.
        read: reads the folder that such files were written to.
        edits: by the end of a file's name, how it is damaged so that the damage lies behind its own checks.
        damages: names of the files to damage; none: all.
        share: of all inputs, relative to the other readers.
    """

    seeds: list[Files]
    read: Callable[[Path], object]
    edits: Mapping[str, Edit]
    damages: tuple[str, ...] = ()
    share: float = 1.0

    def input(self, random: Random, others: list[bytes]) -> Files:
        """One damaged input."""
        files = dict(random.choice(self.seeds))
        name = random.choice([n for n in files if not self.damages or n in self.damages])
        edit = next((self.edits[end] for end in self.edits if name.endswith(end)), None)
        if edit is not None and random.random() < 0.5:
            files[name] = edit(files[name], random)
        else:
            files[name] = mutate.damaged(files[name], others, random)
        return files


EDITS: dict[str, Edit] = {
    ".npy": mutate.edited_npy,
    ".npz": mutate.edited_npz,
    ".json": mutate.edited_json,
    ".toml": mutate.edited_toml,
    ".safetensors": mutate.edited_safetensors,
}


def readers(folder: Path) -> dict[str, Reader]:
    """All readers by name; a folder to make their whole files in."""
    made = {**_data(folder), **_runs(folder), **_texts()}
    return made


def _one(name: str, content: bytes) -> Files:
    return {name: content}


def _bytes(write: Callable[[Any], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def _frame() -> Any:
    import pandas as pd

    rng = np.random.default_rng(1)
    n = 60
    frame = pd.DataFrame({"size": rng.normal(size=n).round(3), "count": rng.integers(0, 99, n)})
    frame["sex"] = pd.Categorical(np.array(["f", "m", "x"])[rng.integers(0, 3, n)])
    frame["town"] = np.array(["Rom", "Bonn, am Rhein"])[rng.integers(0, 2, n)]
    frame["ok"] = rng.integers(0, 2, n).astype(bool)
    frame["day"] = pd.Timestamp("2024-05-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D")
    frame["share"] = rng.uniform(size=n)
    frame.loc[[3, 7], "size"] = np.nan
    frame.loc[5, "sex"] = None
    return frame


def _data(folder: Path) -> dict[str, Reader]:
    rng = np.random.default_rng(0)
    table, images = rng.normal(size=(30, 3)), rng.integers(0, 256, (24, 6, 4)).astype(np.uint8)
    labels, frame = rng.integers(0, 3, 30), _frame()
    text = "a,b,c\n" + "".join(",".join(map(str, row)) + "\n" for row in table.tolist())
    csv = [_one("t.csv", part.encode()) for part in (text, text.replace(",", ";"), frame.to_csv(index=False))]
    numbers = frame[["size", "count", "ok"]].fillna(0.0)
    compressions = ("snappy", "zstd", "gzip", None)
    parquet = [
        _one("t.parquet", _bytes(partial(f.to_parquet, index=False, compression=c)))
        for f in (frame, numbers)
        for c in compressions
    ]
    arrays = (table, images, table.astype(">f4"), np.asfortranarray(table), images.astype(np.int64))
    npy = [_one("t.npy", _bytes(lambda to, a=a: np.save(to, a))) for a in arrays]
    names = np.array(["a", "b", "c"])
    npz = [
        _one("t.npz", _bytes(lambda to, save=save, k=k: save(to, **k)))
        for save in (np.savez, np.savez_compressed)
        for k in (
            {"x": table, "y": labels, "columns": names},
            {"x_train": images, "x_test": images[:9]},
            {"arr_0": table},
        )
    ]
    schema = _schema_text(frame)
    german = frame.to_csv(index=False, sep=";", decimal=",", date_format="%d.%m.%Y", lineterminator="\r\n")
    people = "id;price;share\n" + "".join(f"0{i};{i}.{i + 100},50 €;{i},5 %\n" for i in range(1, 10)) + "07;;1,5 %\n"
    dialects = [
        _one("t.csv", text.encode(encoding))
        for text, encoding in ((german, "utf-8"), (german, "utf-16"), (people, "cp1252"), (people, "utf-8-sig"))
    ]
    lines = frame.head(20).to_json(orient="records", lines=True, date_format="iso").encode()
    return {
        "dialects": Reader(dialects, _fill("t.csv"), EDITS, share=0.3),
        "json lines": Reader([_one("t.jsonl", lines)], _fill("t.jsonl"), EDITS, share=0.3),
        "gzip": Reader(
            [_one("t.csv.gz", gzip.compress(german.encode(), mtime=0))], _fill("t.csv.gz"), EDITS, share=0.2
        ),
        "zstd": Reader([_one("t.csv.zst", _zstd(german.encode()))], _fill("t.csv.zst"), EDITS, share=0.2),
        "xlsx": Reader([_one("t.xlsx", _workbook(frame.head(8)))], _fill("t.xlsx"), EDITS, share=0.2),
        "feather": Reader([_one("t.feather", _bytes(frame.to_feather))], _fill("t.feather"), EDITS, share=0.2),
        "csv as numbers": Reader(csv[:2], _load("t.csv"), EDITS),
        "csv as a table": Reader(csv, _detect("t.csv"), EDITS, share=0.3),
        "parquet as numbers": Reader(parquet, _load("t.parquet"), EDITS),
        "parquet as a table": Reader(parquet, _detect("t.parquet"), EDITS, share=0.3),
        "npy": Reader(npy, _load("t.npy"), EDITS, share=2),
        "npz": Reader(npz, _load("t.npz"), EDITS, share=2),
        "images": Reader(_pictures(images), _load("pictures"), EDITS, share=0.3),
        "schema.toml": Reader([_one("schema.toml", schema)], partial(_read_schema, frame), EDITS, share=0.15),
    }


def _load(name: str) -> Callable[[Path], object]:
    from scorefield import data

    return lambda folder: data.load(folder / name)


def _detect(name: str) -> Callable[[Path], object]:
    from scorefield.data import named, read_frame
    from scorefield.tables import detect

    def read(folder: Path) -> object:
        with named(folder / name):
            return detect(read_frame(folder / name))

    return read


def _fill(name: str) -> Callable[[Path], object]:
    """Reads a table and writes it again, its holes filled with a value of the column."""
    from scorefield.data import read_table, write_filled

    def read(folder: Path) -> object:
        table = read_table(folder / name)
        full = table.frame.copy()
        for column in full.columns[full.notna().any()]:
            full[column] = full[column].where(full[column].notna(), full[column].dropna().iloc[0])
        return write_filled(table, table.frame, [full], folder / f"full-{name}")

    return read


def _zstd(content: bytes) -> bytes:
    import pyarrow as pa

    return pa.compress(content, "zstd", asbytes=True)


def _workbook(frame: Any) -> bytes:
    """A workbook whose parts are not packed, so that damage reaches them."""
    import zipfile

    packed, plain = io.BytesIO(), io.BytesIO()
    frame.to_excel(packed, index=False)
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(plain, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return plain.getvalue()


def _schema_text(frame: Any) -> bytes:
    from scorefield.tables import detect
    from scorefield.tables.schema_toml import to_toml

    return to_toml(detect(frame)).encode()


def _read_schema(frame: Any, folder: Path) -> object:
    from scorefield.tables import detect
    from scorefield.tables.schema_toml import schema_from_file

    return schema_from_file(detect(frame), folder / "schema.toml", frame)


def _pictures(images: np.ndarray) -> list[Files]:
    from PIL import Image

    found = []
    for suffix, form in (
        ("png", "PNG"),
        ("jpg", "JPEG"),
        ("bmp", "BMP"),
        ("gif", "GIF"),
        ("tif", "TIFF"),
        ("webp", "WEBP"),
    ):
        picture = Image.fromarray(images[0]).convert("RGB" if form == "WEBP" else "L")
        content = _bytes(lambda to, form=form, picture=picture: picture.save(to, format=form))
        found.append({f"pictures/{i:02d}.{suffix}": content for i in range(20)})
    return found


# ------------------------------------------------------------------------------------------------------------- runs


def _runs(folder: Path) -> dict[str, Reader]:
    from scorefield import ScoreDensity
    from scorefield.plans import default

    made = {name: _run(folder / name) for name in ("array", "energy", "images", "latent", "table")}
    density = ScoreDensity(steps=2, random_state=0).fit(np.random.default_rng(0).normal(size=(40, 2)))
    density.save(folder / "estimator")
    estimator = _contents(folder / "estimator")
    model, names = ("model.json", "model.safetensors"), ("array", "energy", "images", "latent")
    resumed = {
        **{n: made["array"][n] for n in ("checkpoint.safetensors", "fit.json")},
        "a.npy": (folder / "a.npy").read_bytes(),
    }
    records = [{n: made[name][n] for n in model} for name in names]
    autoencoder = [{n: _contents(folder / "autoencoder")[n] for n in model}]
    table = [{n: made["table"][n] for n in model}]
    weights = {".json": mutate.edited_json, ".safetensors": _resaved}
    checkpoints = [{n: made[name][n] for n in ("checkpoint.safetensors",)} for name in ("array", "table")]
    plans = [_one("plan.json", default(n).to_json().encode()) for n in (3, 30)]
    return {
        "run of records": Reader(records, _answer, weights, share=0.4),
        "autoencoder": Reader(autoencoder, _encode, weights, share=0.2),
        "run of a table": Reader(table, _answer, weights, share=0.2),
        "checkpoint": Reader(checkpoints, _progress, EDITS, ("checkpoint.safetensors",), share=0.4),
        "resuming": Reader([resumed], _resume, EDITS, ("checkpoint.safetensors", "fit.json"), share=0.2),
        "estimator.json": Reader([estimator], ScoreDensity.load, EDITS, ("estimator.json",), share=0.2),
        "plan": Reader(plans, _plan, EDITS, share=2),
    }


def _run(folder: Path) -> Files:
    """The files of a run of two steps."""
    from scorefield.records import fit
    from scorefield.records.autoencode import autoencode
    from scorefield.tables import fit as fit_table
    from scorefield.training.checkpoint import Settings

    rng = np.random.default_rng(0)
    settings = Settings(steps=2, batch=8)
    if folder.name == "table":
        list(fit_table.fit(_frame(), folder, settings=settings, size="small"))
    else:
        np.save(folder.parent / "a.npy", rng.normal(size=(30, 3)))
        np.savez(folder.parent / "i.npz", x=rng.integers(0, 256, (24, 6, 4)).astype(np.uint8), y=np.arange(24) % 2)
        source = str(folder.parent / ("i.npz" if folder.name in ("images", "latent") else "a.npy"))
        by = folder.parent / "autoencoder" if folder.name == "latent" else None
        if by is not None:
            list(autoencode(source, by, settings=settings, factor=2, latent=2))
        energy = folder.name == "energy"
        list(fit.fit(source, folder, settings=settings, size="small", energy=energy, autoencoder=by))
    from dataclasses import replace

    from scorefield.runs import load

    model = load(folder)
    replace(model, plans={3: model.plan(3)}).save(folder)
    return _contents(folder)


def _contents(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.startswith(".")}


def _resaved(content: bytes, random: Random) -> bytes:
    """Weights with another header, or with nothing but a state."""
    if random.random() < 0.7:
        return mutate.edited_safetensors(content, random)
    header = json.dumps({"__metadata__": {"state": random.choice(("[", "{}", "[1]", "[" * 5000))}}).encode()
    return struct.pack("<Q", len(header)) + header


def _answer(folder: Path) -> object:
    from scorefield.runs import kind_of_run

    kind = kind_of_run(folder)
    model = kind.load(folder)
    return kind.describe(model), model.sample(2, steps=3, seed=0)


def _encode(folder: Path) -> object:
    import torch

    from scorefield.records.autoencoder import opened

    found = opened(folder)
    return found.decode(found.encode(torch.zeros(1, 1, 6, 4)))


def _progress(folder: Path) -> object:
    from scorefield.training.checkpoint import read_status

    return read_status(folder / "checkpoint.safetensors")


def _resume(folder: Path) -> object:
    from scorefield.records import fit
    from scorefield.training.checkpoint import Settings

    return list(fit.fit(str(folder / "a.npy"), folder, settings=Settings(steps=2, batch=8), size="small", resume=True))


def _plan(folder: Path) -> object:
    from scorefield.plans import Plan

    return Plan.from_json((folder / "plan.json").read_bytes().decode("utf-8", "replace")).table()


# ------------------------------------------------------------------------------------------------------------ texts


def _texts() -> dict[str, Reader]:
    from scorefield.cli import seconds, whole_numbers

    times = [_one("text", text) for text in (b"90s", b"2m", b"1h30m", b"0.5h")]
    steps = [_one("text", text) for text in (b"10", b"5,10,20")]
    found = {
        "duration": Reader(times, _text(seconds), {}, share=0.5),
        "steps": Reader(steps, _text(whole_numbers), {}, share=0.5),
    }
    if find_spec("fuzz_explorer") is None:
        return found
    import fuzz_explorer

    messages = [_one("message.json", text.encode("utf-8", "replace")) for text in fuzz_explorer.messages(0, 200)]
    return found | {
        "explorer": Reader(messages, lambda folder: fuzz_explorer.check(_decoded(folder / "message.json")), {})
    }


def _decoded(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


def _text(read: Callable[[str], object]) -> Callable[[Path], object]:
    return lambda folder: read(_decoded(folder / "text"))
