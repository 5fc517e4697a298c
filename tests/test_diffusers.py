"""Laws with diffusers: on small random networks our answers and steps are theirs, within float rounding."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from scorefield import log_density, plans, run
from scorefield._files import FileError
from scorefield.core import Level
from scorefield.interop import Adapted, convention_of, from_diffusers, joined, levels_of

ROUNDING = 2e-5
"""Of float32 through a network and up to 20 steps, in units of the largest value: some 200 roundings."""


def randomised(module: Any) -> Any:
    """A network with weights of our own draw: those of the start come from torch's global generator, some are 0."""
    draw = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        if parameter.ndim > 1:
            parameter.data = torch.randn(parameter.shape, generator=draw) * parameter[0].numel() ** -0.5
        else:
            parameter.data = parameter.round() + 0.1 * torch.randn(parameter.shape, generator=draw)
    return module.eval()


def unet(channels: int = 1, out: int | None = None, **more: Any) -> Any:
    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",), "block_out_channels": (32,)}
    config = {"sample_size": 4, "in_channels": channels, "out_channels": out or channels, "layers_per_block": 1}
    return randomised(diffusers.UNet2DModel(**config, **blocks, **more))


UNET = unet()
X = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(3))


def close(got: Tensor, expected: Tensor, growth: float = 1.0) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=growth * ROUNDING * float(expected.abs().max()))


def theirs(scheduler: Any, x: Tensor, network: Any = UNET, **step: Any) -> Tensor:
    """The loop of diffusers' pipelines."""
    with torch.no_grad():
        for t in scheduler.timesteps:
            scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
            raw = network(scaled, t).sample
            x = scheduler.step(raw, t, x, **step).prev_sample
    return x


# ------------------------------------------------------------------------------------------------- DDIM, every table

TABLES: dict[str, dict[str, Any]] = {
    "linear": {"beta_schedule": "linear"},
    "scaled linear": {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "trained betas": {"trained_betas": torch.linspace(0.001, 0.2, 40).tolist(), "num_train_timesteps": 40},
    "zero terminal SNR": {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"},
}
ENDS: dict[str, dict[str, Any]] = {
    "clean": {},
    "set_alpha_to_one=False": {"set_alpha_to_one": False},
    "steps_offset": {"steps_offset": 1},
    "trailing": {"timestep_spacing": "trailing"},
}


def ddim(prediction: str, **config: Any) -> Any:
    scheduler = diffusers.DDIMScheduler(prediction_type=prediction, clip_sample=False, **config)
    scheduler.set_timesteps(10)
    return scheduler


STEPPED = [
    (prediction, table, end)
    for prediction in ("epsilon", "sample", "v_prediction")
    for table in TABLES
    for end in ENDS
    if not (prediction == "epsilon" and table == "zero terminal SNR")  # their step divides by 0 there
]


@pytest.mark.parametrize(("prediction", "table", "end"), STEPPED)
def test_one_ddim_plan_is_their_ddim(prediction: str, table: str, end: str) -> None:
    scheduler = ddim(prediction, **(TABLES[table] | ENDS[end]))
    model = from_diffusers((UNET, scheduler))
    plan = plans.ddim(levels_of(scheduler))
    close(run(plan, model, X), theirs(scheduler, X))


def test_schedulers_that_step_in_parallel_are_read_as_those_that_do_not() -> None:
    for name in ("DDIM", "DDPM"):
        plain, parallel = (getattr(diffusers, f"{name}{kind}Scheduler")(clip_sample=False) for kind in ("", "Parallel"))
        for scheduler in (plain, parallel):
            scheduler.set_timesteps(10)
        one, other = levels_of(plain), levels_of(parallel)
        assert torch.equal(one.alpha, other.alpha) and torch.equal(one.sigma, other.sigma)
        models = [from_diffusers((UNET, scheduler)) for scheduler in (plain, parallel)]
        assert torch.equal(models[0](X, one[3]).x0, models[1](X, one[3]).x0)


def test_a_compiled_network_is_taken_as_it_was() -> None:
    compiled = torch.compile(unet())
    assert torch.equal(from_diffusers([compiled, ddim("epsilon")])(X, Level(0.6, 0.8)).x0,
                       from_diffusers((UNET, ddim("epsilon")))(X, Level(0.6, 0.8)).x0)  # fmt: skip


def test_ddim_with_noise_has_their_variance() -> None:
    scheduler = ddim("epsilon")
    times = scheduler.timesteps.tolist()
    plan = plans.ddim(levels_of(scheduler), eta=0.7)
    expected = [float(scheduler._get_variance(t, t - 100).clamp(min=0)) ** 0.5 * 0.7 for t in times]
    torch.testing.assert_close(plan.c, torch.tensor(expected, dtype=torch.float64), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_the_pair_is_what_their_step_predicts(prediction: str) -> None:
    scheduler = ddim(prediction)
    model = from_diffusers((UNET, scheduler))
    for t, level in zip(scheduler.timesteps, levels_of(scheduler), strict=False):
        with torch.no_grad():
            expected = scheduler.step(UNET(X, t).sample, t, X).pred_original_sample
            close(model(X, level).x0, expected)


def test_a_spacing_that_does_not_divide_arrives_elsewhere_than_it_evaluates() -> None:
    """The trap that `levels_of` names: DDIMScheduler's next level is that of t - N // n."""
    scheduler = diffusers.DDIMScheduler(timestep_spacing="trailing", clip_sample=False)
    scheduler.set_timesteps(7)
    assert [999, 856, 713] == scheduler.timesteps.tolist()[:3] and 1000 // 7 == 142  # 999 - 142 = 857, and not 856
    got = run(plans.ddim(levels_of(scheduler)), from_diffusers((UNET, scheduler)), X)
    expected = theirs(scheduler, X)
    assert 1e-4 < float((got - expected).abs().max() / expected.abs().max()) < 0.1


def test_clipping_is_named_and_not_done() -> None:
    clipping = diffusers.DDIMScheduler(prediction_type="sample")
    model, plain = (from_diffusers((UNET, s)) for s in (clipping, ddim("sample")))
    (said,) = model.notes
    assert "clips the data that it predicts to 1 (clip_sample)" in said and said in repr(model)
    (said,) = from_diffusers((UNET, diffusers.DDIMScheduler(thresholding=True))).notes
    assert said.startswith("DDIMScheduler thresholds the data")
    assert plain.notes == ()
    level = levels_of(ddim("sample"))[3]
    large = 40 * X
    torch.testing.assert_close(model(large, level).x0, plain(large, level).x0)
    assert float(model(large, level).x0.abs().max()) > 1


# ------------------------------------------------------------------------------------------- Euler, EDM, flow matching


@pytest.mark.parametrize("final", ["zero", "sigma_min"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_their_euler_is_our_plan(prediction: str, final: str) -> None:
    scheduler = diffusers.EulerDiscreteScheduler(
        prediction_type=prediction, timestep_spacing="leading", final_sigmas_type=final, steps_offset=1
    )
    scheduler.set_timesteps(10)
    lv = levels_of(scheduler)
    model, plan = from_diffusers((UNET, scheduler)), plans.ddim(lv)
    size = torch.hypot(torch.ones(11, dtype=torch.float64), scheduler.sigmas.double()).float()
    close(run(plan, model, X), theirs(scheduler, X * size[0]) / size[-1])
    assert (float(lv.sigma[-1]) == 0) == (final == "zero")


@pytest.mark.parametrize("final", ["zero", "sigma_min"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("sigma_data", [0.5, 1.3])
def test_their_edm_euler_is_our_plan(prediction: str, final: str, sigma_data: float) -> None:
    scheduler = diffusers.EDMEulerScheduler(
        sigma_data=sigma_data, prediction_type=prediction, final_sigmas_type=final, sigma_min=0.01, sigma_max=20.0
    )
    scheduler.set_timesteps(10)
    model = from_diffusers((UNET, scheduler))
    close(run(plans.ddim(levels_of(scheduler)), model, 20 * X), theirs(scheduler, 20 * X))


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_their_flow_matching_is_euler_in_the_flow_variable(shift: float) -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(10)
    lv, model = levels_of(scheduler), from_diffusers((UNET, scheduler))
    torch.testing.assert_close(lv.alpha + lv.sigma, torch.ones(11, dtype=torch.float64))
    close(run(plans.ddim(lv), model, X), theirs(scheduler, X))
    euler, x = X, X  # x' = x + du v, and v = eps - x0
    for here, there in zip(list(lv), list(lv)[1:], strict=False):
        with torch.no_grad():
            pair = model(euler, here)
        euler = euler + float(there.sigma - here.sigma) * (pair.eps - pair.x0)
    close(run(plans.ddim(lv), model, x), euler)


def test_dpm_solver_with_flow_sigmas_visits_our_levels() -> None:
    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0, solver_order=1
    )
    scheduler.set_timesteps(8)
    model = from_diffusers((UNET, scheduler))
    # their first-order step is exact for constant x0: DDIM
    close(run(plans.ddim(levels_of(scheduler)), model, X), theirs(scheduler, X))


def test_dpm_solver_of_first_order_is_ddim() -> None:
    scheduler = diffusers.DPMSolverMultistepScheduler(timestep_spacing="trailing", solver_order=1)
    scheduler.set_timesteps(10)
    close(run(plans.ddim(levels_of(scheduler)), from_diffusers((UNET, scheduler)), X), theirs(scheduler, X))


# --------------------------------------------------------------------------------------------------- other networks


def dit() -> Any:
    size = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 1, "sample_size": 4, "patch_size": 2}
    module = diffusers.DiTTransformer2DModel(
        in_channels=1, out_channels=2, num_embeds_ada_norm=5, norm_num_groups=1, **size
    )
    return randomised(module)


def conditioned(attends: str = "CrossAttn", **more: Any) -> Any:
    """A network of a text's embedding, or (with no attention to one) of a class or of nothing."""
    blocks = {
        "down_block_types": (f"{attends}DownBlock2D",),
        "mid_block_type": f"UNetMidBlock2D{attends}",
        "up_block_types": (f"{attends}UpBlock2D",),
    }
    size = {"block_out_channels": (32,), "layers_per_block": 1, "attention_head_dim": 8, "cross_attention_dim": 12}
    every = {"sample_size": 4, "in_channels": 1, "out_channels": 1, **blocks, **size, **more}
    return randomised(diffusers.UNet2DConditionModel(**every))


def sd3() -> Any:
    size = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2, "sample_size": 4, "patch_size": 2}
    widths = {
        "joint_attention_dim": 12,
        "caption_projection_dim": 16,
        "pooled_projection_dim": 7,
        "pos_embed_max_size": 4,
    }
    return randomised(diffusers.SD3Transformer2DModel(in_channels=1, out_channels=1, **size, **widths))


HIDDEN = torch.randn(3, 5, 12, generator=torch.Generator().manual_seed(4))
POOLED = torch.randn(3, 7, generator=torch.Generator().manual_seed(5))
LABELS = torch.tensor([0, 4, 2])
NETWORKS: dict[str, tuple[Callable[[], Any], Callable[[Any, Tensor], Tensor], Tensor | None]] = {
    "UNet2DModel": (unet, lambda m, t: m(X, t).sample, None),
    "UNet2DModel, classes": (
        lambda: unet(num_class_embeds=5),
        lambda m, t: m(X, t, class_labels=LABELS).sample,
        LABELS,
    ),
    "UNet2DModel, learned variance": (lambda: unet(1, 2), lambda m, t: m(X, t).sample[:, :1], None),
    "DiT": (dit, lambda m, t: m(X, timestep=t.expand(3), class_labels=LABELS).sample[:, :1], LABELS),
    "DiT, no class": (
        dit,
        lambda m, t: m(X, timestep=t.expand(3), class_labels=torch.full((3,), 5)).sample[:, :1],
        None,
    ),
    "UNet2DConditionModel": (conditioned, lambda m, t: m(X, t, encoder_hidden_states=HIDDEN).sample, HIDDEN),
    "UNet2DConditionModel without text": (lambda: conditioned(""), lambda m, t: m(X, t, None).sample, None),
    "UNet2DConditionModel, class without text": (
        lambda: conditioned("", num_class_embeds=5),
        lambda m, t: m(X, t, None, class_labels=LABELS).sample,
        LABELS,
    ),
    "SD3": (
        sd3,
        lambda m, t: m(X, HIDDEN, POOLED, timestep=t.expand(3)).sample,
        joined(HIDDEN, POOLED),
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_is_asked_as_its_pipeline_does(name: str) -> None:
    make, ask, condition = NETWORKS[name]
    module, scheduler = make(), ddim("v_prediction")
    model = from_diffusers((module, scheduler))
    for t, level in list(zip(scheduler.timesteps, levels_of(scheduler), strict=False))[::3]:
        with torch.no_grad():
            expected = scheduler.step(ask(module, t), t, X).pred_original_sample
            close(model(X, level, condition).x0, expected)
    assert model.classes == (5 if "class" in name or "DiT" in name else 0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_dtypes_of_x_and_of_the_network_are_their_own(dtype: torch.dtype) -> None:
    scheduler = ddim("epsilon")
    level = levels_of(scheduler)[4]
    exact = from_diffusers((UNET, scheduler))(X, level)
    half = from_diffusers((unet().to(torch.bfloat16), scheduler))
    for model, bound in ((from_diffusers((UNET, scheduler)), 2e-2 if dtype == torch.bfloat16 else 1e-5), (half, 5e-2)):
        got = model(X.to(dtype), level)
        assert got.x0.dtype == got.eps.dtype == dtype
        torch.testing.assert_close(got.eps.float(), exact.eps, rtol=0, atol=bound * float(exact.eps.abs().max()))


# ---------------------------------------------------------------------------------------------------------- folders


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pipeline")
    diffusers.DDPMPipeline(UNET, diffusers.DDPMScheduler(clip_sample=False)).save_pretrained(path)
    return path


def test_a_folder_a_pipeline_and_a_pair_are_one_model(folder: Path) -> None:
    pipeline = diffusers.DDPMPipeline.from_pretrained(folder, local_files_only=True)
    sources = [folder, str(folder), pipeline, (UNET, diffusers.DDPMScheduler())]
    level = Level(0.6, 0.8)
    answers = [from_diffusers(source)(X, level).x0 for source in sources]
    assert all(torch.equal(answer, answers[0]) for answer in answers)
    assert not from_diffusers(folder).training and isinstance(from_diffusers(folder), Adapted)


def edited(folder: Path, path: Path, file: str, **changes: Any) -> Path:
    """A copy of a folder with a JSON file changed."""
    for source in folder.rglob("*"):
        if source.is_file():
            target = path / source.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    content = json.loads((path / file).read_text()) | changes
    (path / file).write_text(json.dumps(content))
    return path


def test_damaged_folders_are_one_sentence(folder: Path, tmp_path: Path) -> None:
    def said(path: Path, match: str) -> None:
        with pytest.raises(FileError, match=match):
            from_diffusers(path)

    said(tmp_path / "none", "no such folder")
    said(tmp_path, "no model_index.json")
    said(edited(folder, tmp_path / "a", "unet/config.json", _class_name="Evil"), "holds the network 'Evil'")
    scheduler = "scheduler/scheduler_config.json"
    said(edited(folder, tmp_path / "b", scheduler, _class_name="ScoreSdeVeScheduler"), "the scheduler 'ScoreSde")
    said(edited(folder, tmp_path / "c", "unet/config.json", block_out_channels=[64]), "cannot be read as a pipeline")
    said(edited(folder, tmp_path / "d", scheduler, beta_schedule="none"), "cannot be read as a pipeline")
    bare = edited(folder, tmp_path / "e", scheduler)
    (bare / "unet" / "config.json").rename(tmp_path / "config.json")
    said(bare, "no such file; the pipeline's folder is not whole")
    (tmp_path / "config.json").rename(bare / "unet" / "config.json")
    weights = bare / "unet" / "diffusion_pytorch_model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    said(bare, "cannot be read as a pipeline")
    weights.unlink()
    said(bare, "diffusion_pytorch_model.safetensors: no such file")
    (bare / "unet" / "diffusion_pytorch_model.bin").write_bytes(content)
    said(bare, "as a pickle .* is not opened")
    (bare / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(content)
    said(bare, "the variant 'fp16' alone")
    said(folder / "model_index.json", "is a file; give the folder")
    said(edited(folder, tmp_path / "f", "unet/config.json", layers_per_block=2), "weights are not those of the UNet2D")
    said(edited(folder, tmp_path / "g", "unet/config.json", mid_block_type=None), "weights are not those of the UNet2D")


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a network": (lambda: from_diffusers((diffusers.AutoencoderKL(), ddim("epsilon"))), "no network 'AutoencoderKL'"),
    "channels": (lambda: from_diffusers((unet(2, 1), ddim("epsilon"))), "takes 2 channels and answers 1"),
    "a scheduler": (lambda: convention_of(diffusers.VQDiffusionScheduler(8)), "no convention is known"),
    "no scheduler": (lambda: from_diffusers((UNET, "ddim")), "no convention is known for the scheduler 'str'"),
    "text and class": (
        lambda: from_diffusers((conditioned(num_class_embeds=5), ddim("epsilon"))),
        "more than one condition .num_class_embeds.",
    ),
    "a prediction": (lambda: convention_of(diffusers.DDIMScheduler(prediction_type="score")), "'score' is not known"),
    "a source": (lambda: from_diffusers(UNET), "takes a folder, a pipeline"),
    "no timesteps": (lambda: levels_of(diffusers.DDIMScheduler()), "call scheduler.set_timesteps"),
    "levels": (lambda: levels_of(diffusers.PNDMScheduler()), "are not known"),
    "a class too many": (lambda: from_diffusers((UNET, ddim("epsilon")))(X, Level(0.6, 0.8), LABELS), "no condition"),
    "no class": (
        lambda: from_diffusers((unet(num_class_embeds=5), ddim("epsilon")))(X, Level(0.6, 0.8)),
        "is conditional on a class",
    ),
    "no text": (lambda: from_diffusers((conditioned(), ddim("epsilon")))(X, Level(0.6, 0.8)), "needs the condition"),
    "no embeddings": (lambda: from_diffusers((sd3(), ddim("epsilon")))(X, Level(0.6, 0.8), POOLED), "interop.joined"),
    "a table that is looked up": (
        lambda: from_diffusers((unet(time_embedding_type="learned", num_train_timesteps=1000), ddim("epsilon")))(
            X, Level(0.6, 0.8)
        ),
        "whole indices",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    call, said = REFUSED[name]
    with pytest.raises(ValueError, match=said):
        call()


def test_without_diffusers_there_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ValueError, match=r"needs the package diffusers .*: pip install 'diffusers>=0\.36'"):
        from_diffusers(folder)


def test_log_densities_take_a_network_of_diffusers() -> None:
    """Backward passes of many directions at once, through attention and group norms."""
    blocks = {"down_block_types": ("AttnDownBlock2D",), "up_block_types": ("AttnUpBlock2D",)}
    size = {"block_out_channels": (16,), "layers_per_block": 1, "norm_num_groups": 4}
    module = randomised(diffusers.UNet2DModel(sample_size=4, in_channels=1, out_channels=1, **blocks, **size))
    model = from_diffusers((module, ddim("v_prediction")), sigma_data=0.5)
    with torch.no_grad():
        one = log_density(model, X, evaluations=20, divergence="exact").value
        two = torch.cat([log_density(model, x[None], evaluations=20, divergence="exact").value for x in X])
    torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
def test_a_stand_in_for_alpha_0_that_is_above_the_entry_before_it_is_read_as_0(spacing: str) -> None:
    scheduler = diffusers.EulerDiscreteScheduler(
        timestep_spacing=spacing, prediction_type="v_prediction", rescale_betas_zero_snr=True
    )
    scheduler.set_timesteps(8)
    assert float(scheduler.alphas_cumprod[-1]) > float(scheduler.alphas_cumprod[-2])
    model, grid = from_diffusers((UNET, scheduler)), levels_of(scheduler)
    assert model.sigma_max == float("inf") and (float(grid.alpha[0]) == 0) == (spacing != "leading")
    start = X * float(scheduler.init_noise_sigma)
    with torch.no_grad():
        scale = 2.0**-12 if spacing != "leading" else float(grid.alpha[0])  # of theirs, at alpha = 1
        got = run(plans.ddim(grid), model, start * scale)
    close(got, theirs(scheduler, start), 20)  # the stand-in for 0 moves the first step by 1 / 4096
