"""Networks of diffusers as runs: the model that from_diffusers gives, kept, and asked by every command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from scorefield import TrainedModel
from scorefield._files import FileError
from scorefield.core import Level
from scorefield.interop import adopted, from_diffusers
from test_diffusers import X, close, dit, randomised, unet

Command = Callable[..., tuple[int, str, str]]
V: dict[str, Any] = {"prediction_type": "v_prediction", "clip_sample": False}
SCHEDULERS: dict[str, Any] = {
    "eps": diffusers.DDPMScheduler(),
    "sample": diffusers.DDIMScheduler(prediction_type="sample"),
    "v": diffusers.DDIMScheduler(**V),
    "v, zero SNR": diffusers.DDIMScheduler(rescale_betas_zero_snr=True, **V),
    "flow": diffusers.FlowMatchEulerDiscreteScheduler(),
    "EDM": diffusers.EDMEulerScheduler(sigma_data=0.6),
    "EDM, v": diffusers.EDMEulerScheduler(prediction_type="v_prediction"),
}
LABELS = torch.tensor([0, 4, 2])


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_run_is_the_model_and_comes_back_from_its_folder(name: str, tmp_path: Path) -> None:
    plain, run = from_diffusers((unet(), SCHEDULERS[name])), adopted((unet(), SCHEDULERS[name]))
    run.save(tmp_path)
    read = TrainedModel.load(tmp_path)
    assert read.model.sigma_min == run.model.sigma_min >= plain.sigma_min
    assert read.model.sigma_max == run.model.sigma_max <= plain.sigma_max
    for share in (0.0, 0.3, 0.7, 1.0):
        ratio = run.model.sigma_min ** (1 - share) * run.model.sigma_max**share
        level = Level(1.0, ratio)
        x = X * (1 + ratio)
        with torch.no_grad():
            expected = plain(x, level)
            # float32's log(sigma / alpha) moves t by 1e-4 of an entry
            close(run.model(x, level).x0, expected.x0, 20)
            close(run.model(x, level).eps, expected.eps, 20)
            assert torch.equal(read.model(x, level).x0, run.model(x, level).x0)
    assert read.sample(2, steps=4).shape == (2, 4, 4) and read.info == run.info
    assert read.plan(5).name.startswith("default" if "EDM" in name else "unipc")
    assert float(read.plan(5).levels.sigma[0]) == pytest.approx(run.model.sigma_max, rel=1e-6)
    assert bool((read.plan(5).levels.alpha == 1).all())
    assert json.loads((tmp_path / "model.json").read_text())["network"]["name"] == "diffusers UNet2DModel"


def test_a_run_of_classes_and_colours(tmp_path: Path) -> None:
    module = unet(3, num_class_embeds=5)
    run = adopted((module, SCHEDULERS["v"]))
    run.save(tmp_path)
    read = TrainedModel.load(tmp_path)
    assert read.model.classes == 5 and read.frequencies == (0.2,) * 5
    images = read.sample(3, steps=3, condition=np.array([0, 4, 2]))
    assert images.shape == (3, 4, 4, 3) and images.dtype == np.uint8
    assert np.array_equal(images, run.sample(3, steps=3, condition=np.array([0, 4, 2])))
    with pytest.raises(ValueError, match="always needs a class from 0 to 4"):
        read.denoise(images, 0.5)
    with pytest.raises(ValueError, match="always needs a class"):
        read.sample(2, steps=3, guidance=2.0)


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = randomised(diffusers.UNet2DModel(5, 1, 1, **BLOCKS))
    for source, said in (
        ((dit(), SCHEDULERS["v"]), "a run is made of a UNet2DModel"),
        ((odd, SCHEDULERS["v"]), "even height and width, got 5 x 5"),
        ((diffusers.UNet2DModel(None, 1, 1, **BLOCKS), SCHEDULERS["v"]), "has a sample_size"),
    ):
        with pytest.raises(ValueError, match=said):
            adopted(source)
    with pytest.raises(ValueError, match=r"from_diffusers\(sigma_data=\.\.\.\) must be"):
        adopted((unet(), SCHEDULERS["v"]), sigma_data=0.0)
    adopted((unet(), SCHEDULERS["v"])).save(tmp_path)
    damaged = json.loads((tmp_path / "model.json").read_text())
    for where, value in (
        ("unet", {"block_out_channels": [64]}),
        ("unet", {"layers_per_block": 10**9}),
        ("times", {"kind": "x"}),
        ("times", {"kind": "flow", "low": "0"}),
        ("sign", "minus"),
    ):
        changed = json.loads(json.dumps(damaged))
        config = changed["network"]["config"]
        config[where] = {**config[where], **value} if where == "unet" else value
        (tmp_path / "model.json").write_text(json.dumps(changed))
        with pytest.raises(FileError, match="cannot be read as a scorefield model"):
            TrainedModel.load(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(damaged))
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ValueError, match=r"a run of a UNet2DModel needs the package diffusers .*pip install"):
        TrainedModel.load(tmp_path)


BLOCKS: dict[str, Any] = {
    "down_block_types": ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",),
    "block_out_channels": (32,),
}


def test_every_command_takes_an_adopted_run(scorefield: Command, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    size = {"block_out_channels": (16,), "layers_per_block": 1, "norm_num_groups": 4}
    module = randomised(diffusers.UNet2DModel(4, 1, 1, **(BLOCKS | size)))
    for parameter in module.parameters():
        parameter.data *= 0.3  # an answer of moderate size
    diffusers.DDPMPipeline(module, diffusers.DDPMScheduler()).save_pretrained("pipeline")
    code, out, err = scorefield("adopt", "pipeline", "-o", "run", "--quiet")
    assert code == 0, err
    assert "UNet2DModel, " in out and "predicts eps" in out and "clips the data" in out
    np.save("images.npy", TrainedModel.load("run").sample(60, steps=3, seed=1))
    for words in (
        ("sample", "run", "-n", "4", "-o", "new.png", "--steps", "3"),
        ("evaluate", "run", "images.npy", "--steps", "3", "--report", "report.html"),
        ("distil", "run", "--steps", "1", "--training-steps", "2"),
        ("sample", "run", "-n", "4", "-o", "one.png", "--steps", "1"),
        ("restore", "run", "images.npy", "--index", "0", "--operator", "blur=1", "--noise", "5", "-n", "2", "-o", "r"),
    ):
        code, _, err = scorefield(*words)
        assert code == 0, (words, err)
    assert np.isfinite(TrainedModel.load("run").log_density(np.load("images.npy")[:2], evaluations=10).value).all()
    code, _, err = scorefield("adopt", "pipeline", "-o", "run")
    assert code == 2 and "run holds a run already" in err
    code, _, err = scorefield("adopt", "nowhere", "-o", "other")
    assert code == 2 and "no such folder" in err and err.count("\n") <= 2
