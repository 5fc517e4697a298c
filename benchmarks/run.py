"""Measures samplers, log-density and overhead beside azula, k-diffusion and diffusers, in one process.

    make bench                                       # makes the environment with the peers, then runs this
    python benchmarks/run.py [--only samplers ...] [--wide]

Writes `benchmarks/results.md` and `results.png`. The peers are used as they come from the package index. Without --wide
the settings of `peers/shortlist.json` are measured, those that came near their package's best anywhere in a measurement
of all; with it all are (an hour), and the shortlist is written again.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from peers.steady import steady  # noqa: E402

if __name__ == "__main__":
    steady()

import overhead  # noqa: E402
import torch  # noqa: E402
from peers import density, ours, report, samplers  # noqa: E402
from peers.overhead import samplers as timed_samplers  # noqa: E402
from peers.problems import BUDGETS, Problem, problems  # noqa: E402

PARTS = ("samplers", "stochastic", "density", "overhead")
SAMPLES = 20_000


def say(started: float, text: str) -> None:
    print(f"{time.monotonic() - started:6.0f} s  {text}", flush=True)


def measure_samplers(cases: list[Problem], wide: bool, started: float) -> list[str]:
    tables: dict[str, dict[str, samplers.Errors]] = {}
    fits = {}
    for case in cases:
        table = {name: samplers.measure(case, samplers.shortlisted(name, wide)) for name in samplers.PACKAGES}
        table["best untuned"] = samplers.measure(case, samplers.shortlisted_ours(wide))
        table["plans.default"] = samplers.measure(case, [ours.default()])
        fitted, fits[case.name] = ours.calibrated(case, BUDGETS)
        table["calibrate"] = samplers.measure(case, [fitted])
        tables[case.name] = table
        say(started, f"samplers: {case.name}")
        for name in samplers.PACKAGES:
            for failed, why in table[name].failed.items():
                print(f"          {name}: {failed} failed: {why.splitlines()[0][:100]}")
    if wide:
        samplers.write_shortlist(tables.values())
    report.picture(tables, HERE / "results.png")
    found = samplers.check_adapters(cases[0])
    say(started, "adapters: " + ", ".join(f"{name} {worst.value:.1e}" for name, (_, worst) in found.items()))
    text = [*report.samplers(tables, cases), *report.calibrations(fits), *report.adapters(found, samplers.CONVERGED)]
    return [*text, *report.settings(tables)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="the rest is kept out of results.md")
    parser.add_argument("--wide", action="store_true", help="measure every setting, and write the shortlist")
    parser.add_argument("--trajectories", type=int, default=1024)
    options = parser.parse_args()
    torch.set_num_threads(1)
    started = time.monotonic()
    cases = problems(options.trajectories)
    say(started, "exact end points")
    text = ["# Beside azula, k-diffusion and diffusers", "", f"Written by `make bench`. {report.machine()}", ""]
    if "samplers" in options.only:
        text += measure_samplers(cases, options.wide, started)
    if "stochastic" in options.only:
        text += report.stochastic(samplers.stochastic(cases[0], SAMPLES), cases[0].name, SAMPLES)
        say(started, "stochastic")
    if "density" in options.only:
        text += report.densities({case.name: density.measure(case) for case in (cases[0], cases[3])})
        say(started, "density")
    if "overhead" in options.only:
        text += report.costs({case.name: overhead.measure(case, timed_samplers) for case in overhead.cases()})
        say(started, "overhead")
    (HERE / "results.md").write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")
    say(started, f"written to {HERE / 'results.md'}")


if __name__ == "__main__":
    main()
