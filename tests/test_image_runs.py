"""Runs of image files: what is told of their reading is kept, and whatever reads them again reads them so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scorefield import TrainedModel, data
from scorefield.data import Dataset, ImageReading
from scorefield.nets import PatchTransformer
from scorefield.numerics.random import uniform
from scorefield.records import evaluate, fit, held
from scorefield.records.files import reading_of

Command = Callable[..., tuple[int, str, str]]
TOLD = ("--image-size", "8x6", "--crop", "--image-mode", "rgb", "--background", "white")
READING = ImageReading("rgb", (8, 6), True, "white")
QUICK = ("--steps", 2, "--batch", 4, "--size", "small", "--held", 0.3, "--quiet")


def photos(folder: Path, seed: int, n: int = 40) -> Path:
    """Pictures of several sizes and modes in two classes."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        path = folder / ("cat", "dog")[i % 2] / f"{i:02d}.{('png', 'tif')[i % 2]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (12 + i % 5, 16 - i % 3, 4), dtype=np.uint8)
        image = Image.fromarray(pixels) if i % 4 == 0 else Image.fromarray(pixels[..., :3])
        (image.convert("CMYK") if i % 4 == 1 else image).save(path)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, scorefield_once: Command) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    code, _, err = scorefield_once("fit", photos(folder / "photos", 0), "-o", folder / "run", *TOLD, *QUICK)
    assert code == 0, err
    assert "40 images, read as 8x6 RGB" in err and "10 converted from CMYK" in err and "10 laid over white" in err
    return folder


@pytest.fixture(scope="module")
def scorefield_once(in_process: Callable[..., int]) -> Command:
    import contextlib
    import io

    def call(*words: object) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = in_process(*words)
        return code, out.getvalue(), err.getvalue()

    return call


def test_the_run_says_how_its_images_were_read(made: Path) -> None:
    stored = {"mode": "rgb", "size": [8, 6], "crop": True, "background": "white"}
    assert json.loads((made / "run" / "fit.json").read_text())["images"] == stored
    model = TrainedModel.load(made / "run")
    assert reading_of(model) == READING and model.info["data"]["images"] == stored
    assert model.codec.record_shape == (6, 8, 3)  # type: ignore[attr-defined]


def test_its_held_out_images_are_found_again(made: Path) -> None:
    model = TrainedModel.load(made / "run")
    again = held.fitted_to(model)
    assert again is not None and again.shape == (6, 8, 3)
    comparison = evaluate.evaluate(model, made / "photos", steps=2)
    assert comparison.unseen and "not at hand" not in comparison.note


def test_other_folders_are_read_alike(made: Path, tmp_path: Path, scorefield: Command) -> None:
    other = photos(tmp_path / "other", 1)
    code, out, err = scorefield("evaluate", made / "run", other, "--steps", 2)
    assert code == 0 and "40 real records" in out, err


def test_resumed_without_being_told_again(made: Path, scorefield: Command) -> None:
    words = ("fit", made / "photos", "-o", made / "run", "--resume", *QUICK[2:], "--steps")
    code, _, err = scorefield(*words, 3)
    assert code == 0, err
    code, _, err = scorefield(*words, 4, "--image-size", 4, "--crop", "--image-mode", "grey", "--background", "black")
    assert code == 2 and "resume it with the same" in err


def test_a_transformer_over_patches_in_place_of_the_unet(made: Path, tmp_path: Path, scorefield: Command) -> None:
    run = tmp_path / "run"
    words = ("fit", made / "photos", "-o", run, *QUICK, *TOLD, "--network", "transformer")
    code, _, err = scorefield(*words)
    assert code == 0, err
    assert isinstance(TrainedModel.load(run).model.network, PatchTransformer)
    code, _, err = scorefield("sample", run, "-n", 3, "--steps", 2, "-o", tmp_path / "new.png")
    assert code == 0, err


def test_restore_reads_a_photograph_as_the_run(made: Path, tmp_path: Path, scorefield: Command) -> None:
    path = tmp_path / "new.jpg"
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (60, 90, 3), dtype=np.uint8)).convert("CMYK").save(path)
    words = ("--operator", "crop", "--noise", 1, "-n", 2, "--steps", 2, "-o", tmp_path / "out", "--quiet")
    code, _, err = scorefield("restore", made / "run", path, *words)
    assert code == 0, err
    with np.load(tmp_path / "out" / "draws.npz") as found:
        np.testing.assert_array_equal(found["truth"], data.imagefile.read_image(path, READING))  # type: ignore[attr-defined]
    code, _, err = scorefield("restore", made / "run", made / "photos", "--index", 3, *words)
    assert code == 0, err
    code, _, err = scorefield("restore", made / "run", path, "--observed", *words)
    assert code == 2 and "(60, 90, 3)" in err  # a measurement keeps its size


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("iris", "--crop", "--image-size", 4), "has no option --image-size"),
        (("iris", "--network", "transformer"), "has no option --network"),
        (("ring.npy", "--network", "transformer"), "is for series, images and volumes"),
        (("ring.npy", "--network", "unet", "--energy"), "is for series, images and volumes"),
        (("ring.npy", "--image-mode", "grey"), "no folder of images"),
        (("photos", "--image-size", "4x"), "--image-size is a width and height such as 64x48"),
        (("photos", "--image-size", "99999"), "1 to 16,384"),
        (("photos", "--crop"), "--image-size"),
        (("photos", "--image-mode", "rgba", "--background", "white"), "--background"),
        (("photos",), "--image-size 16x12 --crop"),
        (("photos", "--image-mode", "rgb"), "--image-mode rgba keeps them"),
        (("photos", "--image-mode", "rgba"), "--image-size"),
        (("photos", "--image-mode", "rgba", "--image-size", 8), "--crop"),
    ],
    ids=str,
)
def test_mistakes_are_one_sentence(
    made: Path,
    tmp_path: Path,
    scorefield: Command,
    words: tuple[object, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(made)
    np.save(made / "ring.npy", np.random.default_rng(0).normal(size=(30, 2)))
    code, out, err = scorefield("fit", *words, "-o", tmp_path / "never", *QUICK)
    assert code == 2 and out == "" and err.count("\n") == 1 and said in err, err
    assert not (tmp_path / "never").exists()


# ------------------------------------------------------------------------------------------------------ memory


@pytest.mark.parametrize("dequantise", [False, True])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_records_encoded_when_needed_are_those_encoded_at_once(kind: str, dequantise: bool) -> None:
    """What the trainer gets row by row equals the codec's answer for all of them, bit for bit, noise included."""
    rng = np.random.default_rng(0)
    records = (200 * rng.random((50, 9, 10, 3))).astype(kind)
    dataset = data.load(Dataset(records, "image", source="made"))
    options = {"source": "made", "records": held.digest(records), "size": "small", "energy": False, "labels": False,
               "dequantise": dequantise, "held_share": 0.2}  # fmt: skip
    ready = fit.prepare(dataset, options, seed=3)
    parts = held.Parts.of(dataset, 0.2, 3)
    codec = ready.finish({}).codec  # type: ignore[attr-defined]
    for rows, part in ((ready.x, parts.training), (ready.held, parts.held)):
        whole = codec.encode(part.records, seed=3 if dequantise else None)
        assert rows.records is dataset.records  # no copy
        assert rows.shape == whole.shape and len(rows) == len(whole)
        index = torch.tensor([7, 0, 3, 3])
        assert torch.equal(rows[index], whole[index])
        assert torch.equal(rows[2:9], whole[2:9])
        assert rows.deviation() == pytest.approx(float(whole.double().std()), rel=1e-6)  # of float32 numbers
    mean, variance = fit.moments(ready.x)
    whole = codec.encode(parts.training.records, seed=3 if dequantise else None).double()
    torch.testing.assert_close((mean, variance), (whole.mean(0), whole.var(0, correction=0)))
    assert ready.model.sigma_max == pytest.approx(max(20.0, 2 * _diameter(whole)))


def _diameter(x: torch.Tensor) -> float:
    """The greatest of as many distances as there are points, in the order that `sigma_range` takes."""
    order = uniform(len(x), (), 0, "diameter", dtype=torch.float64).argsort()
    flat = x[order].flatten(1)
    return float((flat - flat.roll(1, 0)).norm(dim=1).max())
