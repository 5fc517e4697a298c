"""Runs of images as pipelines of diffusers: the same images, within float rounding."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from scorefield import Denoiser, TrainedModel, levels, nets, plans, run
from scorefield._files import FileError
from scorefield.core import Level
from scorefield.denoiser import ANGLE
from scorefield.interop import from_diffusers, from_eps, levels_of, pipeline_of, to_diffusers
from scorefield.records.array_codec import ArrayCodec
from scorefield.records.image_codec import ImageCodec

GREY = ImageCodec(6, 4, 1, mean=5.0, std=4.0, levels=17, dtype="uint8", channel_axis=False)
COLOUR = ImageCodec(4, 4, 3, mean=0.4, std=0.3)


def made(codec: ImageCodec, classes: int = 0) -> TrainedModel:
    network = nets.UNet(codec.shape[1:], codec.channels, base=8, blocks=1, classes=classes)
    draw = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=draw)
    return TrainedModel(Denoiser(network, sigma_min=0.01, sigma_max=30.0).eval(), codec)


def start(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(4))


def on_their_scale(codec: ImageCodec, encoded: torch.Tensor) -> torch.Tensor:
    pixels = encoded * codec.std + codec.mean
    return pixels * 2 / (codec.levels - 1) - 1 if codec.levels else pixels


@pytest.mark.parametrize(("codec", "classes"), [(GREY, 0), (COLOUR, 0), (GREY, 3)])
def test_a_pipeline_draws_what_the_run_draws(codec: ImageCodec, classes: int, tmp_path: Path) -> None:
    model = made(codec, classes)
    to_diffusers(model, tmp_path, steps=7)
    pipeline = diffusers.DDPMPipeline.from_pretrained(tmp_path, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    plan, z = model.plan(7), start((3, *codec.shape))
    options: dict[str, Any] = {"num_inference_steps": 7, "output_type": "np", "return_dict": False}
    got = torch.from_numpy(pipeline(3, torch.Generator().manual_seed(4), **options)[0]).permute(0, 3, 1, 2)
    # their sample has alpha^2 + sigma^2 = 1 on their scale, where the run's is about the data's mean
    scale = 2 / 16 * codec.std if codec.levels else codec.std
    shift = float(on_their_scale(codec, torch.zeros(())))
    alpha, sigma = (float(v) for v in plan.levels[0])
    x = (z * np.hypot(alpha, scale * sigma) - alpha * shift) / scale
    with torch.no_grad():
        expected = on_their_scale(codec, run(plan, model.model, x))
    torch.testing.assert_close(got, (expected / 2 + 0.5).clamp(0, 1), rtol=0, atol=2e-5)
    assert float(got.std()) > 0.05  # the law is not one of clamped images


def test_their_schedulers_take_the_network() -> None:
    model = made(COLOUR)
    module = pipeline_of(model).unet
    ddim = diffusers.DDIMScheduler(
        trained_betas=module.betas, prediction_type="v_prediction", clip_sample=False, timestep_spacing="trailing"
    )
    ddim.set_timesteps(10)
    x = z = start((2, 3, 4, 4))
    with torch.no_grad():
        for t in ddim.timesteps:
            x = ddim.step(module(x, t).sample, t, x).prev_sample
        own = from_eps(lambda x, t: module(x, t).sample, prediction=ANGLE, alphas_cumprod=ddim.alphas_cumprod.double())
        torch.testing.assert_close(x, run(plans.ddim(levels_of(ddim)), own, z), rtol=0, atol=1e-4)


def test_levels_of_each_sample_and_classes() -> None:
    model = made(GREY, classes=3)
    module = pipeline_of(model).unet
    x, labels = start((2, 1, 6, 4)), torch.tensor([2, 0])
    with torch.no_grad():
        together = module(x, torch.tensor([100, 900]), labels).sample
        for i, t in enumerate((100, 900)):
            alone = module(x[i : i + 1], t, labels[i : i + 1], return_dict=False)[0]
            torch.testing.assert_close(together[i], alone[0], rtol=1e-4, atol=1e-5)
        assert not torch.allclose(module(x, 500).sample, module(x, 500, labels).sample)  # without: 'no class'


@pytest.mark.parametrize(("codec", "classes"), [(GREY, 0), (COLOUR, 0), (GREY, 3)])
def test_the_run_comes_back(codec: ImageCodec, classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = {"mean": start(codec.shape).double(), "covariance": start(codec.shape).double() ** 2 + 0.1}
    often = (0.5, 0.2, 0.3) if classes else None
    model = replace(made(codec, classes), frequencies=often, info={"data": {"kind": "image"}}, **moments)
    fitted = plans.heun(levels.karras(3, sigma_max=30, sigma_min=0.01))
    to_diffusers(model, tmp_path, plan=fitted)
    there = diffusers.DDPMPipeline.from_pretrained(tmp_path, local_files_only=True)
    monkeypatch.setitem(sys.modules, "diffusers", None)  # what was a run here needs no other library
    for back in (TrainedModel.from_diffusers(tmp_path), TrainedModel.from_diffusers(there)):
        assert back.codec == codec and back.frequencies == often and back.info == model.info
        assert torch.equal(back.plan(5).P, fitted.P) and torch.equal(back.plan(5).E, fitted.E)
        for name, value in moments.items():
            assert torch.equal(getattr(back, name), value)
        assert np.array_equal(back.sample(3, steps=7), model.sample(3, steps=7))
        x, level = start((2, *codec.shape)), Level(0.6, 0.8)
        with torch.no_grad():
            assert torch.equal(back.model(x, level).x0, model.model(x, level).x0)
    back.save(tmp_path / "again")
    assert np.array_equal(TrainedModel.load(tmp_path / "again").sample(2, steps=5), model.sample(2, plan=fitted))


def test_a_folder_without_the_codec_is_one_of_256_levels(tmp_path: Path) -> None:
    model = made(GREY, classes=3)
    to_diffusers(model, tmp_path)
    config = json.loads((tmp_path / "unet" / "config.json").read_text())
    del config["run"]  # as they were written before
    (tmp_path / "unet" / "config.json").write_text(json.dumps(config))
    back = TrainedModel.from_diffusers(tmp_path)
    assert isinstance(back.codec, ImageCodec) and back.codec.levels == 256
    encoded = start((1, 1, 6, 4))
    told = on_their_scale(back.codec, encoded)  # the same on their scale
    torch.testing.assert_close(told, on_their_scale(GREY, encoded), rtol=0, atol=1e-6)
    assert back.frequencies == (1 / 3,) * 3


@pytest.mark.parametrize(("codec", "classes"), [(GREY, 0), (COLOUR, 0), (GREY, 3)])
def test_their_network_is_a_model_on_their_scale(codec: ImageCodec, classes: int, tmp_path: Path) -> None:
    model = made(codec, classes)
    to_diffusers(model, tmp_path)
    scale = (2 / 16 if codec.levels else 1.0) * codec.std
    shift = float(on_their_scale(codec, torch.zeros(())))
    x, condition = start((2, *codec.shape)), torch.tensor([2, 0]) if classes else None
    for theirs in (from_diffusers(tmp_path), from_diffusers(pipeline_of(model))):
        assert theirs.sigma_data == pytest.approx(scale * model.model.sigma_data)
        for index in (3, 500, 999):  # entries of its table
            alpha, sigma = (float(v) for v in theirs.convention.times.level(index))
            with torch.no_grad():
                own = model.model((x - alpha * shift) / scale, Level(alpha, sigma / scale), condition)
                found = theirs(x, Level(alpha, sigma), condition)
            torch.testing.assert_close(found.x0, scale * own.x0 + shift, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(found.eps, own.eps, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("network", {"name": "UNet", "config": {}}),
        ("sigma_data", "x"),
        ("sample_size", None),
        ("run", {"codec": {"kind": "image"}}),
        ("run", None),
    ],
)
def test_a_damaged_folder_is_one_sentence(where: str, value: Any, tmp_path: Path) -> None:
    to_diffusers(made(GREY), tmp_path)
    path = tmp_path / "unet" / "config.json"
    config = json.loads(path.read_text()) | {where: value}
    if where == "run" and value is None:
        (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"cut")
    path.write_text(json.dumps(config | ({"run": None} if where == "sample_size" else {})))
    with pytest.raises(FileError):
        TrainedModel.from_diffusers(tmp_path)


def test_what_is_refused() -> None:
    odd = ImageCodec(5, 4, 1, mean=0.0, std=1.0, channel_axis=False)
    with pytest.raises(ValueError, match="even height and width, got 5 x 4"):
        pipeline_of(made(odd))
    table = ArrayCodec(("a", "b"), (0.0, 0.0), (1.0, 1.0), (0.0, 0.0))
    with pytest.raises(ValueError, match="a run of images with a Denoiser, got one with ArrayCodec"):
        pipeline_of(TrainedModel(Denoiser(nets.ResidualMLP(2, width=8, depth=1)), table))
    model = made(GREY)
    module = pipeline_of(model).unet
    with pytest.raises(ValueError, match="indices 0 to 999"):
        module(start((1, 1, 6, 4)), 1000)
    assert model.model(start((1, 1, 6, 4)), Level(1.0, 1.0)).x0.shape == (1, 1, 6, 4)
