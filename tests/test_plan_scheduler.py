"""Laws of plans as schedulers of diffusers: a pipeline's loop is `run`, within float rounding."""

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

from scorefield import guidance, plans, run
from scorefield.core import Levels
from scorefield.denoiser import FLOW, SCORE
from scorefield.interop import Adapted, FlowTimes, PlanScheduler, convention_of, from_diffusers, levels_of
from scorefield.plans import Plan
from scorefield.pretrained.convention import Convention
from test_diffusers import HIDDEN, UNET, X, close, conditioned, theirs

N = 6


def visited(scheduler: Any) -> Any:
    scheduler.set_timesteps(N)
    return scheduler


TRAILING: dict[str, Any] = {"timestep_spacing": "trailing", "clip_sample": False}
SCHEDULERS: dict[str, Any] = {
    "eps": visited(diffusers.DDIMScheduler(**TRAILING)),
    "sample": visited(diffusers.DDIMScheduler(prediction_type="sample", **TRAILING)),
    "v": visited(diffusers.DDIMScheduler(prediction_type="v_prediction", **TRAILING)),
    "v, zero SNR": visited(
        diffusers.DDIMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True, **TRAILING)
    ),
    "flow": visited(diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)),
    "EDM": visited(diffusers.EDMEulerScheduler(sigma_min=0.01, sigma_max=20.0)),
}
PLANS: dict[str, Callable[[Levels], Plan]] = {
    "ddim": plans.ddim,
    "dpmpp": plans.dpmpp,
    "unipc": plans.unipc,
    "adams": lambda lv: plans.adams(lv, order=4),
    "heun": plans.heun,  # two rows on one level each
    "restart": lambda lv: plans.restart(lv, 0.3, 2.0, rounds=2, steps=2),  # noise, and levels that come again
    "ancestral": plans.ancestral,
}
PAIRS = [(s, p) for s in SCHEDULERS for p in PLANS]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(11)


def by_rows(plan: Plan, model: Adapted, x: Tensor, draw: torch.Generator) -> Tensor:
    """The table's own definition, with a generator's noise on the plan's scale."""
    data: list[Tensor] = []
    noise: list[Tensor] = []
    for k in range(plan.evaluations):
        with torch.no_grad():
            pair = model(x, plan.levels[k])
        data.append(pair.x0)
        noise.append(pair.eps)
        x = sum(float(plan.P[k, j]) * data[j] + float(plan.E[k, j]) * noise[j] for j in range(k + 1))  # type: ignore[assignment]
        if plan.c[k] > 0:
            x = x + float(plan.c[k]) * torch.randn(x.shape, generator=draw)
    return x


@pytest.mark.parametrize(("scheduler", "plan"), PAIRS)
def test_a_pipelines_loop_is_run(scheduler: str, plan: str) -> None:
    theirs_ = SCHEDULERS[scheduler]
    model, table = from_diffusers((UNET, theirs_)), PLANS[plan](levels_of(theirs_))
    mine = PlanScheduler.from_plan(table, theirs_)
    mine.set_timesteps(table.evaluations)
    start = X * mine.init_noise_sigma
    got = theirs(mine, start, generator=generator())
    growth = float((table.P.abs() + table.E.abs()).sum(1).max())  # of roundings, by coefficients of both signs
    close(got, by_rows(table, model, start, generator()), growth)
    if not table.stochastic:
        close(got, run(table, model, start), growth)
        again = PlanScheduler.from_config(json.loads(json.dumps(dict(mine.config))))
        again.set_timesteps(device="cpu")
        assert torch.equal(theirs(again, start), got)
        mine.set_timesteps()  # nothing is left of the first loop
        assert torch.equal(theirs(mine, start), got)


def test_on_any_scale_of_the_plans_levels() -> None:
    """A plan over sigma alone (alpha = 1) is run on the scale of the network."""
    scheduler = SCHEDULERS["v"]
    lv = levels_of(scheduler)
    ve = Levels(torch.ones(N + 1), lv.ratio)
    mine = PlanScheduler.from_plan(plans.dpmpp(ve), scheduler)
    mine.set_timesteps()
    assert mine.init_noise_sigma == pytest.approx(1.0, abs=1e-12)
    first = float(torch.hypot(ve.alpha[0], ve.sigma[0]))
    close(theirs(mine, X), run(plans.dpmpp(ve), from_diffusers((UNET, scheduler)), X * first))


def test_a_folder_keeps_the_plan_to_the_last_bit(tmp_path: Path) -> None:
    for name, scheduler in SCHEDULERS.items():
        plan = plans.unipc(levels_of(scheduler))
        PlanScheduler.from_plan(plan, scheduler).save_pretrained(tmp_path / name)
        read = PlanScheduler.from_pretrained(tmp_path / name)
        assert read.plan == plan
        assert torch.equal(read.timesteps, PlanScheduler.from_plan(plan, scheduler).timesteps)
        assert isinstance(json.loads((tmp_path / name / "scheduler_config.json").read_text())["plan"], dict)


# -------------------------------------------------------------------------------------------------------- pipelines


def drawn(pipeline: Any) -> Tensor:
    return pipeline(3, torch.Generator().manual_seed(2), num_inference_steps=N, output_type="pt", return_dict=False)[0]


def test_in_ddpm_and_ddim_pipelines(tmp_path: Path) -> None:
    theirs_ = SCHEDULERS["eps"]
    plan = plans.dpmpp(levels_of(theirs_))
    mine = PlanScheduler.from_plan(plan, theirs_)
    x = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    expected = (run(plan, from_diffusers((UNET, theirs_)), x) / 2 + 0.5).clamp(0, 1)
    pipeline = diffusers.DDPMPipeline(UNET, mine)
    pipeline.set_progress_bar_config(disable=True)
    got = pipeline(3, torch.Generator().manual_seed(2), num_inference_steps=N, output_type="np", return_dict=False)[0]
    close(torch.from_numpy(got).permute(0, 3, 1, 2), expected)
    with pytest.raises(ValueError, match="ask the pipeline for num_inference_steps=6"):
        pipeline(1, num_inference_steps=50)
    ddim = diffusers.DDIMPipeline(UNET, theirs_)
    ddim.scheduler = mine
    ddim.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": N, "output_type": "np", "return_dict": False}
    close(torch.from_numpy(ddim(3, torch.Generator().manual_seed(2), **options)[0]).permute(0, 3, 1, 2), expected)
    pipeline.save_pretrained(tmp_path)
    read = diffusers.DDPMPipeline.from_pretrained(tmp_path, local_files_only=True)
    assert read.scheduler.plan == plan and type(read.scheduler) is PlanScheduler


def test_in_stable_diffusion_with_guidance_and_callbacks() -> None:
    pytest.importorskip("transformers", reason="this pipeline of diffusers needs transformers")
    theirs_ = visited(diffusers.DDIMScheduler(steps_offset=1, **TRAILING))
    plan, module = plans.unipc(levels_of(theirs_)), conditioned()
    vae = diffusers.AutoencoderKL(in_channels=1, out_channels=1, latent_channels=1, block_out_channels=(32,))
    parts = dict.fromkeys(("text_encoder", "tokenizer", "safety_checker", "feature_extractor"))
    pipeline = diffusers.StableDiffusionPipeline(
        vae=vae, unet=module, scheduler=theirs_, requires_safety_checker=False, **parts
    )
    pipeline.scheduler = PlanScheduler.from_plan(plan, theirs_)
    pipeline.set_progress_bar_config(disable=True)
    seen: list[tuple[int, float]] = []

    def callback(_: Any, i: int, t: Tensor, given: dict[str, Tensor]) -> dict[str, Tensor]:
        seen.append((i, float(t)))
        return given

    empty = torch.zeros(1, 5, 12)
    got = pipeline(
        prompt_embeds=HIDDEN,
        negative_prompt_embeds=empty.expand(3, -1, -1),
        latents=X,
        guidance_scale=3.0,
        num_inference_steps=N,
        output_type="latent",
        callback_on_step_end=callback,
        height=8,
        width=8,
    ).images
    model = from_diffusers((module, theirs_))
    guided = guidance.classifier_free(model, 3.0, null=empty[0])
    close(got, run(plan, guided, X, condition=HIDDEN))
    assert seen == list(enumerate(pipeline.scheduler.timesteps.tolist()))


# --------------------------------------------------------------------------------------------------------- the rest


def test_editing_begins_in_the_middle() -> None:
    scheduler = SCHEDULERS["v"]
    plan = plans.ddim(levels_of(scheduler))
    mine = PlanScheduler.from_plan(plan, scheduler)
    mine.set_timesteps()
    noise = torch.randn(X.shape, generator=torch.Generator().manual_seed(8))
    t = mine.timesteps[3]
    noised = mine.add_noise(X, noise, t.expand(3))
    level = plan.levels[3]
    close(noised, float(level.alpha) * X + float(level.sigma) * noise)
    torch.testing.assert_close(mine.add_noise(X, noise, t[None]), noised)
    mine.timesteps = mine.timesteps[3:]
    mine.set_begin_index(3)
    close(theirs(mine, noised), run(plan.tail(3), from_diffusers((UNET, scheduler)), noised))
    history = PlanScheduler.from_plan(plans.dpmpp(levels_of(scheduler)), scheduler)
    history.set_timesteps()
    history.set_begin_index(3)
    with pytest.raises(ValueError, match="use earlier estimates"):
        history.step(X, history.timesteps[3], X)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_samples_keep_their_dtype(dtype: torch.dtype) -> None:
    mine = PlanScheduler.from_plan(plans.ddim(levels_of(SCHEDULERS["EDM"])), SCHEDULERS["EDM"])
    mine.set_timesteps()
    x = X.to(dtype)
    assert mine.scale_model_input(x, mine.timesteps[0]).dtype == dtype
    after = mine.step(x, mine.timesteps[0], x)
    assert after.prev_sample.dtype == after.pred_original_sample.dtype == dtype
    assert mine.step(x, mine.timesteps[1], x, return_dict=False)[0].shape == x.shape


def scheduler_of(plan: Plan | None = None) -> Any:
    made = PlanScheduler.from_plan(plan or plans.ddim(levels_of(SCHEDULERS["eps"])), SCHEDULERS["eps"])
    made.set_timesteps()
    return made


def after_the_last() -> None:
    mine = scheduler_of()
    theirs(mine, X)
    mine.step(X, mine.timesteps[0], X)


STORED = dict(scheduler_of().config)
REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "levels": (
        lambda: scheduler_of(plans.ddim(Levels(torch.ones(2), torch.tensor([900.0, 0.0])))),
        "the plan asks for",
    ),
    "no plan": (lambda: PlanScheduler.from_plan(SCHEDULERS["eps"], UNET), "needs a Plan first"),
    "no convention": (lambda: PlanScheduler.from_plan(plans.ddim(levels_of(SCHEDULERS["eps"])), UNET), "no convention"),
    "steps": (lambda: scheduler_of().set_timesteps(7), "a plan of 6 evaluations"),
    "eta": (lambda: scheduler_of().step(X, 999, X, eta=0.5), "a plan says how much noise"),
    "clipped": (lambda: scheduler_of().step(X, 999, X, use_clipped_model_output=True), "clips nothing"),
    "a timestep": (lambda: scheduler_of().step(X, 500, X), "is no timestep of this plan"),
    "after the last": (after_the_last, "rows are done"),
    "a damaged plan": (lambda: PlanScheduler.from_config(STORED | {"plan": {}}), "not a stored plan"),
    "a prediction": (lambda: PlanScheduler.from_config(STORED | {"prediction_type": "x"}), "a prediction is one of"),
    "times": (lambda: PlanScheduler.from_config(STORED | {"times": {"kind": "x"}}), "stored times are"),
    "fields": (lambda: PlanScheduler.from_config(STORED | {"times": {"kind": "flow", "x": 1}}), "times are damaged"),
    "a table": (
        lambda: PlanScheduler.from_config(STORED | {"times": {"kind": "betas", "alphas_cumprod": [1, 2]}}),
        "times are damaged",
    ),
    "a target": (
        lambda: PlanScheduler.from_plan(scheduler_of().plan, Convention(FlowTimes(1.0, 1e-3, 0.999), SCORE)),
        "has no name in files",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    call, said = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=said):
        call()


def test_without_diffusers_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import scorefield.interop as room

    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ValueError, match="a PlanScheduler needs the package diffusers"):
        room.PlanScheduler  # noqa: B018
    assert convention_of(SCHEDULERS["flow"]).target is FLOW
