"""Networks of diffusers trained here and written back: plain folders draw the same pictures without this library."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor

from scorefield import TrainedModel, fit, plans, run
from scorefield.core import Level
from scorefield.data import DataError, Dataset
from scorefield.interop import from_diffusers, levels_of, pipeline_of, to_diffusers
from scorefield.records.diffusers_unet import DiffusersUNet, plain_config
from test_adopt import LABELS, SCHEDULERS
from test_diffusers import X, close, randomised, unet

SMALL: dict[str, Any] = {
    "down_block_types": ("DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D"),
    "block_out_channels": (8, 8),
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
V = diffusers.DDIMScheduler(prediction_type="v_prediction", clip_sample=False)
GREY = np.random.default_rng(0).integers(0, 17, (60, 8, 8)).astype(np.uint8)
FAST: dict[str, Any] = {"steps": 4, "batch": 8, "evaluate_every": 2, "checkpoint_every": 1e-9, "warmup": 1}


def small(channels: int = 1, **more: Any) -> Any:
    return randomised(diffusers.UNet2DModel(8, channels, channels, **(SMALL | more)))


def stepping(scheduler: Any) -> Any:
    """A scheduler of the same convention whose steps are DDIM's."""
    if hasattr(scheduler, "betas") and not isinstance(scheduler, diffusers.EDMEulerScheduler):
        told = {"timestep_spacing": "trailing", "clip_sample": False}
        scheduler = diffusers.DDIMScheduler.from_config(scheduler.config, **told)
    scheduler.set_timesteps(5)
    return scheduler


def drawn(folder: Path, scheduler: Any, **told: Any) -> Tensor:
    """What the pipeline of a folder draws, on [0, 1]."""
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = scheduler
    draw = torch.Generator().manual_seed(4)
    images: np.ndarray = pipeline(3, generator=draw, num_inference_steps=5, output_type="np", **told).images
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@pytest.mark.parametrize("classes", [None, 5])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_plain_folder_draws_the_same_pictures(name: str, classes: int | None, tmp_path: Path) -> None:
    scheduler, module = SCHEDULERS[name], unet(num_class_embeds=classes)
    own = TrainedModel.from_diffusers((module, scheduler))
    own.save(tmp_path / "run")
    if name == "flow" and classes:
        with pytest.raises(ValueError, match="no pipeline for a UNet2DModel of 4 x 4 with classes and a FlowMatch"):
            to_diffusers(own, tmp_path / "folder")
        return
    to_diffusers(TrainedModel.load(tmp_path / "run"), tmp_path / "folder")
    texts = [path.read_text() for path in (tmp_path / "folder").rglob("*.json")]
    assert len(texts) == 3 and not any("scorefield" in text for text in texts)
    back = diffusers.UNet2DModel.from_pretrained(tmp_path / "folder", subfolder="unet", local_files_only=True)
    assert all(torch.equal(v, module.state_dict()[k]) for k, v in back.state_dict().items())
    kept = type(scheduler).from_pretrained(tmp_path / "folder", subfolder="scheduler")
    assert plain_config(kept) == plain_config(scheduler)
    steps, labels = stepping(kept), LABELS if classes else None
    got = drawn(tmp_path / "folder", steps, **({"class_labels": labels} if classes else {}))
    lv, x = levels_of(steps), torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(4))
    x = x * float(getattr(steps, "init_noise_sigma", 1.0))
    reached = float(lv.alpha[0]) > 0  # a run is asked up to the entry before alpha = 0
    model = own.model if reached else from_diffusers(tmp_path / "folder")
    with torch.no_grad():
        expected = run(plans.ddim(lv), model, x, condition=labels)
    assert float(got.std()) > 0.05  # pictures, not clamped to one value
    close(got, (expected / 2 + 0.5).clamp(0, 1), 100)  # a run's network hears float32's log(sigma / alpha)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_run_that_did_not_keep_its_scheduler_gets_one_of_the_same_convention(name: str) -> None:
    own = TrainedModel.from_diffusers((unet(), SCHEDULERS[name]))
    network = own.model.network
    assert isinstance(network, DiffusersUNet)
    del network.config["scheduler"]  # as runs were stored before
    again = from_diffusers(pipeline_of(own))
    for share in (0.1, 0.5, 1.0):
        ratio = own.model.sigma_min ** (1 - share) * own.model.sigma_max**share
        x, level = X * (1 + ratio), Level(1.0, ratio)
        with torch.no_grad():
            close(again(x, level).x0, own.model(x, level).x0, 50)  # float32 products of 1,000 betas


def test_plans_of_a_run_are_schedulers_of_its_network(tmp_path: Path) -> None:
    for name, kind in (("v", "DDPMPipeline"), ("EDM", "ConsistencyModelPipeline")):
        own = TrainedModel.from_diffusers((unet(), SCHEDULERS[name]))
        pipeline = pipeline_of(own, steps=6)
        assert type(pipeline).__name__ == kind
        pipeline.set_progress_bar_config(disable=True)
        scheduler = pipeline.scheduler
        draw = torch.Generator().manual_seed(4)
        got = pipeline(3, generator=draw, num_inference_steps=6, output_type="np").images
        start = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(4))
        start = (
            start
            * (scheduler.init_noise_sigma if name == "EDM" else 1.0)
            * float(scheduler._size(own.plan(6).levels[0]))
        )
        with torch.no_grad():
            expected = run(own.plan(6), own.model, start)
        close(torch.from_numpy(got).permute(0, 3, 1, 2), (expected / 2 + 0.5).clamp(0, 1), 100)


@pytest.mark.parametrize("name", ["eps", "v", "flow", "EDM"])
def test_a_new_network_is_trained_and_written(name: str, tmp_path: Path) -> None:
    module = small()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    source = Dataset(GREY, "image", source="made")
    *_, last = fit(source, tmp_path / "run", settings=FAST, network=(module, SCHEDULERS[name]))
    assert last.step == 4 and np.isfinite(last.loss)
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())  # a copy is trained
    trained = TrainedModel.load(tmp_path / "run")
    assert trained.codec.encode(np.array([[[0, 16] * 4] * 8], np.uint8)).unique().tolist() == [-1, 1]
    to_diffusers(trained, tmp_path / "folder")
    back = from_diffusers(tmp_path / "folder")
    weights = back.network.module.state_dict()  # type: ignore[union-attr]
    assert any(not torch.equal(v, before[k]) for k, v in weights.items())
    x, level = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1)), Level(1.0, 0.5)
    with torch.no_grad():
        close(trained.model(x, level).x0, back(x, level).x0, 20)
    assert trained.sample(2, steps=3).dtype == np.uint8


def test_a_training_that_is_stopped_and_resumed_is_the_same(tmp_path: Path) -> None:
    source = Dataset(GREY, "image", source="made")
    module = small()
    list(fit(source, tmp_path / "whole", settings=FAST, network=(module, V)))
    list(islice(fit(source, tmp_path / "part", settings=FAST, network=(module, V)), 2))
    with pytest.raises(ValueError, match=r"was trained with network = .*, not "):
        list(fit(source, tmp_path / "part", network=(small(block_out_channels=(16, 8)), V), resume=True))
    list(fit(source, tmp_path / "part", resume=True))  # the folder knows the network
    whole, part = (TrainedModel.load(tmp_path / name).model.state_dict() for name in ("whole", "part"))
    assert all(torch.equal(value, part[name]) for name, value in whole.items())


def test_classes_with_and_without_one_for_none(tmp_path: Path) -> None:
    source = Dataset(GREY, "image", labels=np.arange(60) % 3, source="made")
    list(fit(source, tmp_path / "four", settings=FAST, network=(small(num_class_embeds=4), V)))
    trained = TrainedModel.load(tmp_path / "four")
    assert trained.model.classes == 3 and trained.sample(2, steps=2, guidance=2.0, condition=1).shape == (2, 8, 8)
    x, level = torch.ones(2, 1, 8, 8), Level(1.0, 1.0)
    with torch.no_grad():
        none = trained.model(x, level, torch.full((2,), 3)).x0
        assert torch.equal(trained.model(x, level).x0, none)
    with pytest.raises(ValueError, match="no 'no class'"):
        list(fit(source, tmp_path / "three", settings=FAST, network=(small(num_class_embeds=3), V)))
    list(
        fit(
            source,
            tmp_path / "always",
            settings=FAST | {"condition_dropout": 0.0},
            network=(small(num_class_embeds=3), V),
        )
    )
    assert TrainedModel.load(tmp_path / "always").model.classes == 3


def test_images_on_a_disk_are_streamed_to_it(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", GREY * 15)
    whole, streamed = (tmp_path / name for name in ("whole", "streamed"))
    for folder, stream in ((whole, False), (streamed, True)):
        list(fit(tmp_path / "images.npy", folder, settings=FAST, network=(small(), V), stream=stream, held_share=0.2))
    one, other = (TrainedModel.load(folder) for folder in (whole, streamed))
    assert one.codec == other.codec and one.codec.mean == one.codec.std == 127.5  # type: ignore[union-attr]
    assert other.model.sigma_data == pytest.approx(one.model.sigma_data, rel=0.05)  # of other rows held out
    assert other.mean is not None and one.mean is not None
    assert float((other.mean - one.mean).abs().max()) < 0.3 and one.mean.shape == other.mean.shape
    assert json.loads((streamed / "fit.json").read_text())["network"]["name"] == "diffusers UNet2DModel"


def test_what_is_refused(tmp_path: Path) -> None:
    grey = Dataset(GREY, "image", source="made")
    floats = Dataset(GREY.astype(np.float32), "image", source="made")
    odd = Dataset(GREY[:, :7], "image", source="made")
    rows = Dataset(np.random.default_rng(0).normal(size=(60, 2)), "table", ("a", "b"), source="made")
    other = diffusers.DiTTransformer2DModel(2, 4, 1, num_layers=1, sample_size=4, norm_num_groups=1)
    for source, network, more, said in (
        (
            grey,
            (small(3), V),
            {},
            r"is for images of 3 channel\(s\) and size 8 x 8 .*, and the images have 1 and 8 x 8",
        ),
        (grey, (other, V), {}, "a run is trained with a UNet2DModel of diffusers, got 'DiT"),
        (grey, (small(), V), {"size": "small"}, "has its size; leave size='small' out"),
        (rows, (small(), V), {}, "is trained on images; made holds records of kind 'table'"),
        (floats, (small(), V), {}, r"are on \[-1, 1\], got 0 to 16; scale them"),
        (odd, (small(), V), {}, "of even height and width, got 7 x 8"),
        (grey, (small(num_class_embeds=2), V), {}, "that learns 0 classes has num_class_embeds = 0"),
        (grey, (small(time_embedding_type="learned", num_train_timesteps=1000), V), {}, "embeds its times as numbers"),
    ):
        with pytest.raises((ValueError, DataError), match=said):
            list(fit(source, tmp_path / "run", settings=FAST, network=network, **more))
