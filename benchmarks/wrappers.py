"""What everything around a model and a training costs, each as one ratio; a few minutes; writes wrappers.md.

    python benchmarks/wrappers.py [--only streaming ...] [--rounds 5]

Processor time on one thread with the wrapper over that without it: 1 is free. The longer measurements, whose figures
are in the page of the same name, are the programs interop, streaming, partitioned, serve, pretrained and scaling of
`benchmarks/`. What needs a package that is not there is left out.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from peers.steady import steady

if __name__ == "__main__":
    steady()

import interop
import numpy as np
import scaling
import serve
import streaming
import torch
from interop import ratio

HERE = Path(__file__).parent


def of_interop(rounds: int) -> list[str]:
    """A logger, an exported sampler, loops of other libraries."""
    from scorefield import nets

    found = [interop.logged("tensorboard", 200, rounds)] if find_spec("tensorboard") else []
    if find_spec("onnxruntime"):
        found.append(interop.exported("MLP of 4 numbers", nets.ResidualMLP(4), "iris", rounds))
    return found + interop.loops(100, rounds)


def of_streaming(rounds: int) -> list[str]:
    """Rows read as they are needed, beside the same training on them in memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        streaming.make(path, "rows", 50_000_000)
        found = streaming.side_by_side(path, 40 * rounds, 512)
    cost = 1 / found["processor ratio"]
    return [f"| rows read as they are needed | {cost:.3f} | {1000 * found['memory processor']:.1f} ms a step |"]


def of_pretrained(rounds: int) -> list[str]:
    """A network of diffusers as a model and as a run, and a plan in a pipeline of diffusers."""
    if not find_spec("diffusers"):
        return []
    import diffusers

    from scorefield import TrainedModel, interop, plans, run
    from scorefield.core import Level

    sizes = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    network = diffusers.UNet2DModel(16, 3, 3, block_out_channels=(32, 64), **sizes).eval()
    scheduler, x, level = diffusers.DDIMScheduler(clip_sample=False), torch.randn(16, 3, 16, 16), Level(0.6, 0.8)
    model, own = interop.from_diffusers((network, scheduler)), TrainedModel.from_diffusers((network, scheduler))
    plan = plans.unipc(interop.evenly(model.convention.times, 10))
    theirs = interop.PlanScheduler.from_plan(plan, scheduler)

    def bare() -> None:
        network(x, 300).sample  # noqa: B018

    def stepped() -> None:
        theirs.set_timesteps(10)
        y = x
        for t in theirs.timesteps:
            y = theirs.step(network(y, t).sample, t, y).prev_sample

    found = []
    with torch.no_grad():
        for name, one, other in (
            ("model of `from_diffusers`", lambda: model(x, level), bare),
            ("network of `TrainedModel.from_diffusers`", lambda: own.model(x, level), bare),
            ("plan of 10 as a scheduler of diffusers", stepped, lambda: run(plan, model, x)),
        ):
            one(), other()
            cost, alone = ratio(one, other, 4 * rounds)
            found.append(f"| {name} | {cost:.3f} | {1000 * alone:.1f} ms |")
    return found


def of_partitioned(rounds: int) -> list[str]:
    """Log-densities of rows in files, beside the same rows in one call."""
    import pandas as pd
    import partitioned as measured

    from scorefield import TrainedTable, partitioned

    with tempfile.TemporaryDirectory() as name:
        folder, how = Path(name), partitioned.Density()
        measured.folder_of(folder, 4000, 4)
        model, made = TrainedTable.load(folder / "run"), iter(range(10**6))
        rows = pd.concat([pd.read_parquet(path) for path in sorted((folder / "rows").iterdir())], ignore_index=True)

        def parts() -> None:
            partitioned.answer(folder / "run", folder / "rows", folder / f"out{next(made)}", how)

        parts()
        cost, alone = ratio(parts, lambda: model.log_density(rows, tolerance=how.tolerance), rounds)
    return [f"| log-densities of 4,000 rows in 4 files | {cost:.3f} | {1000 * alone:.0f} ms |"]


def of_serve(rounds: int) -> list[str]:
    """Small requests one after the other, beside the same calls: what the server's process takes."""
    from scorefield import TrainedModel

    with tempfile.TemporaryDirectory() as name:
        serve.fitted(Path(name))
        model, (run, path, body) = TrainedModel.load(Path(name) / "array"), serve.CASES["denoise"]
        words = [sys.executable, "-m", "scorefield", "serve", str(Path(name) / run), "--port", "0"]
        service = subprocess.Popen(
            words, stdout=subprocess.PIPE, text=True, env={**os.environ, "SCOREFIELD_TOKEN": serve.TOKEN}
        )
        try:
            assert service.stdout is not None
            place = service.stdout.readline().split()[1].removeprefix("http://").rstrip("/")
            calls, x = 50 * rounds, np.array(body["records"])
            ask(place, path, body, 10)
            before = processor(service.pid)
            ask(place, path, body, calls)
            spent = processor(service.pid) - before
        finally:
            service.terminate()
            service.wait()
    model.denoise(x, 0.5)
    begun = time.process_time()
    for _ in range(calls):
        model.denoise(x, 0.5)
    alone = time.process_time() - begun
    return [f"| a request of one row to `serve` | {spent / alone:.2f} | {1000 * alone / calls:.2f} ms a call |"]


def ask(place: str, path: str, body: dict[str, Any], times: int) -> None:
    """Requests over one connection."""
    connection = http.client.HTTPConnection(place, timeout=60)
    headers = {"Authorization": f"Bearer {serve.TOKEN}", "Content-Type": "application/json"}
    for _ in range(times):
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
    connection.close()


def processor(process: int) -> float:
    """Seconds that a process has had a processor."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def of_scaling(rounds: int) -> list[str]:
    """A training by two processes, each of which takes half of the batch, beside one: processor time of both."""
    options = {"batch": 512, "steps": 5 * rounds, "width": 256}
    one = scaling.several(1, sharded=False, **options)["processor"]
    found = []
    for name, sharded in (("DDP", False), ("FSDP", True)):
        two = 2 * scaling.several(2, sharded=sharded, **options)["processor"]
        found.append(f"| a step by two processes, {name} | {two / one:.2f} | {1000 * one:.0f} ms by one |")
    return found


IMPORTS = {
    "`import scorefield` after `import torch`": "import scorefield",
    "`from scorefield import fit, TrainedModel` after it": "from scorefield import fit, TrainedModel",
}


def of_import(rounds: int) -> list[str]:
    """What an import costs on top of torch, in processes of their own."""
    code = "import time; a = time.process_time(); import torch; b = time.process_time(); {}; c = time.process_time()"
    found = []
    for name, line in IMPORTS.items():
        words = [sys.executable, "-c", code.format(line) + "; print(b - a, c - b)"]
        subprocess.run(words, check=True, capture_output=True)  # bytecode is written
        told = [subprocess.run(words, check=True, capture_output=True, text=True).stdout for _ in range(rounds)]
        torchs, own = (statistics.median(float(text.split()[k]) for text in told) for k in (0, 1))
        found.append(f"| {name} | {1 + own / torchs:.3f} | {torchs:.2f} s of torch; {own:.3f} s more |")
    return found


PARTS: dict[str, Callable[[int], list[str]]] = {
    "scaling": of_scaling,  # first: it forks, which threads do not survive
    "import": of_import,
    "interop": of_interop,
    "streaming": of_streaming,
    "pretrained": of_pretrained,
    "partitioned": of_partitioned,
    "serve": of_serve,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=tuple(PARTS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = ["# What the wrappers cost", "", (__doc__ or "").split("\n\n")[2].replace("\n", " "), ""]
    text += ["| what | ratio | of |", "|---|---|---|"]
    for name in options.only:
        for line in PARTS[name](options.rounds):
            print(line, flush=True)
            text.append(line)
    if set(options.only) == set(PARTS):
        (HERE / "wrappers.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
