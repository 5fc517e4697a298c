"""A network of diffusers, trained with diffusers, in ten evaluations: its own DPM++ 2M beside a calibrated plan.

    python benchmarks/pretrained.py [--seconds 60] [--out benchmarks/pretrained.md]

A small UNet2DModel learns the digits by DDPM's own loss on a table of betas. Every row is a scheduler of diffusers in
the same loop, from the same noise; plans run as `PlanScheduler`. The error is how far the ends are from those of the
network's own probability flow, followed accurately, over their RMS. Seconds are the processor's, of one thread.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor

from scorefield import data, interop, levels, plans, run
from scorefield.numerics.random import normal, uniform

HERE = Path(__file__).parent
STEPS, JUDGED, FINE = 10, 256, 150
TABLE: dict[str, Any] = {"beta_schedule": "linear", "prediction_type": "epsilon"}


def trained(images: Tensor, seconds: float) -> tuple[Any, int]:
    """A UNet2DModel of 8 x 8 digits, and the steps that it was trained for."""
    network = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(16, 32),
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    scheduler = diffusers.DDPMScheduler(**TABLE)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    averaging = torch.optim.swa_utils.get_ema_multi_avg_fn(0.995)
    average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=averaging)
    begun, step = time.process_time(), 0
    while (spent := time.process_time() - begun) < seconds:
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * (1 - spent / seconds) + 1e-5
        chosen = (uniform(64, (), step, "rows") * len(images)).long()
        t = (uniform(64, (), step, "times") * 1000).long()
        x0, eps = images[chosen], normal(64, (1, 8, 8), step, "noise")
        loss = (network(scheduler.add_noise(x0, eps, t), t).sample - eps).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        average.update_parameters(network)
        step += 1
    return average.module.eval(), step


def drawn(scheduler: Any, network: Any, x: Tensor, steps: int = STEPS) -> Tensor:
    """The loop of diffusers' pipelines."""
    scheduler.set_timesteps(steps)
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = scheduler.step(network(scheduler.scale_model_input(x, t), t).sample, t, x).prev_sample
    return x


def rivals() -> dict[str, Any]:
    """Schedulers of diffusers, in the settings that are used."""
    solver, found = diffusers.DPMSolverMultistepScheduler, {}
    for spacing in ("linspace", "trailing", "leading"):
        found[f"DPM++ 2M, {spacing}"] = solver(**TABLE, timestep_spacing=spacing)
    found["DPM++ 2M, Karras"] = solver(**TABLE, use_karras_sigmas=True)
    found["DPM++ 2M, uniform log-SNR"] = solver(**TABLE, use_lu_lambdas=True)
    found["DPM++ 2M, exponential"] = solver(**TABLE, use_exponential_sigmas=True)
    found["DPM++ 3M, linspace"] = solver(**TABLE, solver_order=3)
    found["UniPC, linspace"] = diffusers.UniPCMultistepScheduler(**TABLE)
    found["UniPC, Karras"] = diffusers.UniPCMultistepScheduler(**TABLE, use_karras_sigmas=True)
    found["DDIM, trailing"] = diffusers.DDIMScheduler(**TABLE, timestep_spacing="trailing", clip_sample=False)
    return found


def lines_of(options: argparse.Namespace) -> list[str]:
    """The document."""
    images = torch.from_numpy(data.load("digits").records).float()[:, None] / 8 - 1
    begun = time.process_time()
    network, steps = trained(images, options.seconds)
    model = interop.from_diffusers((network, diffusers.DDPMScheduler(**TABLE, clip_sample=False)))
    high, low, std = model.sigma_max, model.sigma_min, float(images.std())
    print(f"{steps} steps in {time.process_time() - begun:.0f} s; {model.convention}", flush=True)
    begun = time.process_time()
    even = plans.unipc(interop.evenly(model.convention.times, STEPS))
    fitted = plans.calibration(model, STEPS, (1, 8, 8), high, low, mean=float(images.mean()), std=std, plan=even)
    spent = time.process_time() - begun
    print(fitted, f"{spent:.0f} s", sep="\n", flush=True)
    x = normal(JUDGED, (1, 8, 8), 7, "judged")
    flows = (plans.heun(levels.log_uniform(n, high, low)) for n in (FINE // 2, FINE))
    rough, exact = (run(plan, model, x * (1 + high**2) ** 0.5) for plan in flows)
    rms = float(exact.square().mean().sqrt())

    def error(y: Tensor) -> tuple[float, float]:
        each = (y - exact).flatten(1).square().mean(1).sqrt() / rms
        return float(each.square().mean().sqrt()), float(each.median())

    scheduler = diffusers.DDPMScheduler(**TABLE)
    mine = {
        "calibrated plan": fitted.plan,
        "plans.unipc over interop.evenly": even,
        "plans.default": plans.default(STEPS, std, low, high, images[0].numel()),
    }
    rows = {name: error(drawn(s, network, x)) for name, s in rivals().items()}
    rows |= {n: error(drawn(interop.PlanScheduler.from_plan(p, scheduler), network, x)) for n, p in mine.items()}
    best = min(value for name, (value, _) in rows.items() if "DPM++ 2M" in name)
    ours = rows["calibrated plan"]
    weights = sum(p.numel() for p in network.parameters())
    return [
        "# Ten evaluations of a network of diffusers",
        "",
        f"`python benchmarks/pretrained.py`: a UNet2DModel of {weights:,} weights, trained for {options.seconds:g} s",
        f"({steps:,} steps) on the 8 x 8 digits by DDPM's loss (linear betas, eps). Errors: distance of the ends from",
        f"those of the network's flow (Heun, {FINE} levels; {FINE // 2} are {error(rough)[0]:.1e} away), over their",
        f"RMS, on {JUDGED} starts that nothing was fitted to. The calibration took {fitted.cost:,} evaluations of one",
        f"sample, {spent:.0f} s.",
        "",
        "| ten evaluations | RMS error | median error |",
        "|---|---|---|",
        *(f"| {name} | {r:.4f} | {m:.4f} |" for name, (r, m) in sorted(rows.items(), key=lambda item: item[1][0])),
        "",
        f"The best of DPM++ 2M's settings is {best / ours[0]:.2f} times as far off as the calibrated plan (RMS).",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the processor, for the training")
    parser.add_argument("--out", type=Path, default=HERE / "pretrained.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lines = lines_of(options)
    print("\n".join(lines))
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
