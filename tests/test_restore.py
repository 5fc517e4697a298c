"""`scorefield restore`: images from measurements, in the user's units, and every mistake in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scorefield.conditioning.inverse.operators import Mask
from scorefield.denoiser import Denoiser
from scorefield.nets import UNet
from scorefield.records.image_codec import ImageCodec
from scorefield.records.operators import on_encoded, operator_from_text
from scorefield.records.restore import measure, restore
from scorefield.records.trained import TrainedModel

Command = Callable[..., tuple[int, str, str]]


def untrained(height: int = 6, width: int = 5, channels: int = 1) -> TrainedModel:
    """A network before training answers for data that are standard normal, so posteriors are known."""
    codec = ImageCodec(
        height, width, channels, mean=100.0, std=40.0, levels=256, dtype="uint8", channel_axis=channels > 1
    )
    network = UNet(codec.shape[1:], channels, base=8, multipliers=(1,), blocks=1)
    return TrainedModel(Denoiser(network).eval(), codec)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    untrained().save(tmp_path / "run")
    Image.fromarray(np.full((6, 5), 130, np.uint8)).save(tmp_path / "clean.png")
    seen = np.zeros((6, 5), np.uint8)
    seen[:3] = 255
    Image.fromarray(seen).save(tmp_path / "mask.png")
    np.savez(tmp_path / "matrix.npz", np.random.default_rng(0).normal(size=(3, 30)))
    return tmp_path / "run"


OPERATORS = ("mask=mask.png", "blur=0.7", "crop", "crop=0,1,2,3", "radon=3", "matrix.npz")


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_try_and_the_measurement_itself_give_the_same(
    scorefield: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operator: str
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--operator", operator, "--noise", 2, "-n", 4, "--steps", 3)
    code, out, err = scorefield("restore", run, "clean.png", *options, "-o", "a")
    assert code == 0 and err == "" and "--observed" in out and "The mean is off by" in out
    first = np.load("a/draws.npz")
    assert first["draws"].shape == (4, 6, 5) and first["truth"].shape == (6, 5)
    np.testing.assert_allclose(first["deviation"], first["draws"].std(0, ddof=1))
    for name in ("restored.png", "mean.png", "draws.png"):
        assert Image.open(tmp_path / "a" / name).size[0] > 20
    np.save("measured.npy", first["measurement"])
    code, out, err = scorefield("restore", run, "measured.npy", *options, "--observed", "-o", "b")
    assert code == 0 and err == "" and "taken as the measurement" in out
    assert np.array_equal(np.load("b/draws.npz")["draws"], first["draws"])


@pytest.mark.parametrize("channels", [1, 3])
def test_draws_have_the_exact_posterior_of_normal_images(channels: int) -> None:
    """Of odd sizes, in grey levels: an untrained network's data are N(mean, std^2) in each pixel."""
    model = untrained(channels=channels)
    A = operator_from_text("crop=0,0,6,2", model.codec)  # type: ignore[arg-type]
    image = np.full(model.codec.record_shape, 160.0)  # type: ignore[attr-defined]
    y = measure(A, image, 0.0)
    found = restore(model, A, y, 30.0, n=1000, steps=4, seed=1)
    gain = 40**2 / (40**2 + 30**2)
    left = found.draws[:, :, :2].reshape(1000, -1)
    right = found.draws[:, :, 2:].reshape(1000, -1)
    for part, mean, std in ((left, 100 + gain * 60, 40 * (1 - gain) ** 0.5), (right, 100.0, 40.0)):
        numbers = part.size
        assert abs(part.mean() - mean) < 4.5 * std / numbers**0.5
        assert abs(part.std() / std - 1) < 4.5 / (2 * numbers) ** 0.5


def test_pixels_observed_without_noise_are_kept_and_nan_is_not_observed() -> None:
    model = untrained(channels=3)
    A = Mask(torch.rand(3, 6, 5, generator=torch.Generator().manual_seed(0)) < 0.5)
    image = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(float)
    y = measure(A, image, 0.0)
    y[3] = np.nan
    draws = restore(model, A, y, 0.0, n=5, steps=3).draws
    seen = A.observed.numpy().copy()
    seen.reshape(-1)[int(A.coordinates[3])] = False
    kept = np.moveaxis(seen, 0, -1)
    np.testing.assert_allclose(draws[:, kept], np.broadcast_to(image[kept], (5, kept.sum())), atol=1e-4)
    assert (np.abs(draws[:, ~kept] - image[~kept]) > 0.1).mean() > 0.9


def test_operators_act_on_odd_images_as_on_the_users() -> None:
    codec = untrained(5, 7).codec
    assert isinstance(codec, ImageCodec)
    x = torch.randn(2, *codec.shape, dtype=torch.float64)
    for text in ("blur=1", "radon=2", "crop=1,1,3,3"):
        A = operator_from_text(text, codec)
        torch.testing.assert_close(on_encoded(A, codec)(x).reshape(2, -1), A(x[:, :, :5, :7]).reshape(2, -1))


WRONG = {
    "unknown": (("clean.png", "--operator", "sharpen=2"), "mask=FILE, blur=SIGMA"),
    "no value": (("clean.png", "--operator", "blur"), "mask=FILE, blur=SIGMA"),
    "words": (("clean.png", "--operator", "blur=much"), "takes a number, got 'much'"),
    "half a pixel": (("clean.png", "--operator", "downsample=1.5"), "whole numbers, got '1.5'"),
    "indivisible": (("clean.png", "--operator", "downsample=4"), "do not divide an image of 6 x 5"),
    "no mask": (("clean.png", "--operator", "mask=none.png"), "none.png is no file"),
    "small mask": (("clean.png", "--operator", "mask=small.png"), "2 x 3 pixels"),
    "black mask": (("clean.png", "--operator", "mask=black.png"), "an entry that is observed"),
    "wide matrix": (("clean.png", "--operator", "matrix=wide.npy"), "30 columns"),
    "small image": (("small.png", "--operator", "blur=1"), "(2, 3)"),
    "small measurement": (("small.png", "--operator", "blur=1", "--observed"), "(1, 6, 5)"),
    "bright": (("bright.npy", "--operator", "blur=1"), "from 0 to 300"),
    "not finite": (("nan.npy", "--operator", "blur=1"), "NaN or infinite"),
    "which one": (("digits", "--operator", "blur=1"), "--index, from 0 to 1796"),
    "no such": (("digits", "--operator", "blur=1", "--index", "1797"), "there are 1797 images"),
    "class": (("clean.png", "--operator", "blur=1", "--condition", "3"), "not conditional"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_said_in_one_sentence(
    scorefield: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for file, size in (("small.png", (2, 3)), ("black.png", (6, 5))):
        Image.fromarray(np.zeros(size, np.uint8)).save(file)
    np.save("wide.npy", np.zeros((2, 31)))
    np.save("bright.npy", np.linspace(0, 300, 30).reshape(6, 5))
    np.save("nan.npy", np.full((6, 5), np.nan))
    words, sentence = WRONG[name]
    code, out, err = scorefield("restore", run, *words, "--noise", 1, "-o", "out")
    assert code == 2 and out == "" and err.count("\n") == 1 and sentence in err, err
    assert not (tmp_path / "out").exists()
