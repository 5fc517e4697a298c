"""Few steps along the exact flow of a mixture: how close distilled networks come, beside plans.

    python benchmarks/distillation.py [--seconds 180] [--out benchmarks/distillation.md]

The exact model is the teacher, so that what a network of 1, 2 and 4 evaluations ends at is compared with where the true
flow ends, from the same noise. The network learns from nothing but noised points of the mixture and the flow between
two levels. Seconds are the processor's, of one thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from peers.problems import Problem, problems  # noqa: E402

from scorefield.denoiser import Denoiser  # noqa: E402
from scorefield.metrics import c2st  # noqa: E402
from scorefield.nets import ResidualMLP  # noqa: E402
from scorefield.plans import default, run  # noqa: E402
from scorefield.plans.distilled import few_steps  # noqa: E402
from scorefield.training import loop  # noqa: E402

STEPS = (1, 2, 4)
JUDGED = 2048
POOL = 100_000


def trained(case: Problem, steps: int, seconds: float) -> torch.Tensor:
    """Where a network of so many evaluations ends from the case's starts."""
    few = few_steps(case.model, steps, case.rms, sigma_max=case.high)
    x = case.model.sample(POOL, seed=5).float()
    network = ResidualMLP(x.shape[1], 256, 4)
    student = Denoiser(network, sigma_data=case.rms, sigma_max=case.high)
    settings = loop.Settings(seconds=seconds, batch=512, learning_rate=3e-3, patience=None, evaluate_every=200)
    for _ in loop.train(student, x[1000:], settings=settings, held=x[:1000], objective=few.objective):
        pass
    return run(few.plan, student, case.starts.float()).double()


def row(case: Problem, name: str, ends: torch.Tensor, seconds: float) -> str:
    rms, median = case.error(ends)
    exact = case.model.sample(len(ends), seed=9)
    return f"| {case.name} | {name} | {rms:.4f} | {median:.4f} | {c2st(exact, ends).value:.3f} | {seconds:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180.0, help="of the processor, for each network")
    parser.add_argument("--out", type=Path, default=HERE / "distillation.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    loop.time.perf_counter = time.process_time  # type: ignore[attr-defined]  # seconds of the processor
    lines = [
        "# Few steps along the flow of a mixture",
        "",
        f"`python benchmarks/distillation.py`: a network of 4 x 256 for each row, {options.seconds:g} s of",
        f"one processor. RMS and median over {JUDGED:,} starts of the distance from where the flow ends, over the",
        "data's RMS; C2ST of the ends against as many exact draws (last of a mixture: those of the exact flow itself).",
        "",
        "| mixture | evaluations | RMS | median | C2ST | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for case in problems(JUDGED):
        for steps in STEPS:
            begun = time.process_time()
            ends = trained(case, steps, options.seconds)
            lines.append(row(case, f"{steps}, distilled", ends, time.process_time() - begun))
            plan = default(steps, case.rms, sigma_max=case.high)
            lines.append(row(case, f"{steps}, plans.default", run(plan, case.model, case.starts), 0.0))
            print(*lines[-2:], sep="\n", flush=True)
        plan = default(24, case.rms, sigma_max=case.high)
        lines.append(row(case, "24, plans.default", run(plan, case.model, case.starts), 0.0))
        lines.append(row(case, "the flow", case.ends, 0.0))
        print(*lines[-2:], sep="\n", flush=True)
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
