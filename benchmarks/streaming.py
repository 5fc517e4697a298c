"""Records read as they are needed against records in memory: throughput of the training loop, and memory.

`python benchmarks/streaming.py --gigabytes 10` makes a .npy file of that size in a temporary folder, trains on it,
trains on a part of it in memory, and deletes it. Memory is private: what the process alone holds, no page cache.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

RECORDS: dict[str, tuple[tuple[int, ...], Any]] = {"rows": ((16,), np.float32), "images": ((32, 32, 3), np.uint8)}
WARM = 5  # steps of each before the clock runs
IN_MEMORY = 200_000_000  # bytes of the part that is trained on in memory


def make(path: Path, kind: str, nbytes: int) -> None:
    """A file of records, written part by part."""
    shape, dtype = RECORDS[kind]
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    n, draw = nbytes // size, np.random.default_rng(0)
    with path.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": (n, *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, n, 1 << 15):
            count = min(1 << 15, n - start)
            part = draw.standard_normal((count, *shape), np.float32)
            (part if dtype is np.float32 else (part * 40 + 128).clip(0, 255).astype(np.uint8)).tofile(file)


class Memory:
    """The most private memory that this process had, in bytes, looked at every 20 ms."""

    def __init__(self) -> None:
        self.most, self._end = 0, threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
            private = sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
            self.most = max(self.most, private * 1024)


def trained(path: Path, stream: bool, steps: int, batch: int, run: Path) -> dict[str, float]:
    """Steps a second, by the wall clock and of a processor, and the most private memory."""
    from scorefield.records.fit import fit

    memory, begun = Memory(), time.perf_counter()
    loop = fit(path, run, settings={"steps": steps, "batch": batch, "precision": "float32"}, stream=stream)
    next(loop)
    start, first = time.perf_counter() - begun, (time.perf_counter(), time.process_time())
    done = 1
    for progress in loop:
        done = progress.step
        if done == steps - 1:  # the last one takes the held-out loss
            break
    wall, processor = time.perf_counter() - first[0], time.process_time() - first[1]
    loop.close()  # type: ignore[attr-defined]
    return {
        "start": start,
        "wall": (done - 1) * batch / wall,
        "processor": (done - 1) * batch / processor,
        "memory": memory.most,
    }


def side_by_side(path: Path, steps: int, batch: int) -> dict[str, float]:
    """Seconds a step of a training on a file as it is needed, and on 200 MB of it in memory, turn by turn.

    So what else the machine does meets both alike. Rows are standard normal, so that both take them as they are, and a
    buffer is 65,536 rows, so that at least as many are read as are trained on.
    """
    import torch

    from scorefield import Denoiser, Settings, nets, train
    from scorefield.data.streams import npy_stream
    from scorefield.data.streams.order import Order
    from scorefield.data.streams.reader import Reader
    from scorefield.records.array_codec import ArrayCodec
    from scorefield.records.streamed import Streamed

    stream = npy_stream(path)
    (d,), names = stream.shape, tuple(stream.columns or ())
    memory = torch.from_numpy(np.array(np.load(path, mmap_mode="r")[: IN_MEMORY // stream.nbytes]))
    codec = ArrayCodec(names, (0.0,) * d, (1.0,) * d, (0.0,) * d)
    order = Order(stream, np.zeros(0, np.int64), 0, 1 << 16)
    settings = Settings(steps=10**9, batch=batch, precision="float32")
    loops = {
        name: train(Denoiser(nets.network_for((d,), rows=len(stream))), x, settings=settings)
        for name, x in (("stream", Streamed(codec, Reader(order))), ("memory", memory))
    }
    found = {f"{name} {clock}": 0.0 for name in loops for clock in ("wall", "processor")}
    for step in range(steps):
        for name, loop in loops.items() if step % 2 else reversed(loops.items()):
            begun, worked = time.perf_counter(), time.process_time()
            next(loop)
            if step >= WARM:
                found[f"{name} wall"] += (time.perf_counter() - begun) / (steps - WARM)
                found[f"{name} processor"] += (time.process_time() - worked) / (steps - WARM)
    for loop in loops.values():
        loop.close()  # type: ignore[attr-defined]
    ratios = {f"{clock} ratio": found[f"memory {clock}"] / found[f"stream {clock}"] for clock in ("wall", "processor")}
    return found | ratios


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gigabytes", type=float, default=1.0)
    options.add_argument("--kind", choices=RECORDS, default="rows")
    options.add_argument("--steps", type=int, default=2000)
    options.add_argument("--batch", type=int, default=128)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--folder", type=Path, default=None, help="for the file; a temporary one by default")
    options.add_argument("--alone", action="store_true", help="only read as needed, one round, figures as JSON")
    options.add_argument("--side-by-side", action="store_true", help="both in one process, turn by turn")
    options.add_argument("--one", choices=("stream", "memory"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.one:
        print(
            json.dumps(
                trained(
                    given.folder / f"{given.one}.npy",
                    given.one == "stream",
                    given.steps,
                    given.batch,
                    given.folder / "run",
                )
            )
        )
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        make(Path(folder) / "stream", given.kind, int(given.gigabytes * 1e9))
        make(Path(folder) / "memory", given.kind, int(min(given.gigabytes * 1e9, IN_MEMORY)))
        for name in ("stream", "memory"):
            (Path(folder) / name).rename(Path(folder) / f"{name}.npy")
        if given.side_by_side:
            print(json.dumps(side_by_side(Path(folder) / "stream.npy", given.steps, given.batch)))
            return
        if given.alone:
            path, run = Path(folder) / "stream.npy", Path(folder) / "run"
            print(json.dumps(trained(path, True, given.steps, given.batch, run)))
            return
        found: dict[str, list[dict[str, float]]] = {"stream": [], "memory": []}
        for _ in range(given.rounds):
            for name, measured in found.items():
                words = [sys.executable, __file__, "--one", name, "--folder", folder, "--steps", str(given.steps)]
                done = subprocess.run([*words, "--batch", str(given.batch)], check=True, capture_output=True, text=True)
                measured.append(json.loads(done.stdout.splitlines()[-1]))
                subprocess.run(["rm", "-rf", f"{folder}/run"], check=True)
                print(name, measured[-1], flush=True)
    best = {name: max(one["processor"] for one in measured) for name, measured in found.items()}
    most = max(one["memory"] for one in found["stream"])
    print(
        f"{given.kind}, {given.gigabytes} GB: {best['stream'] / best['memory']:.3f} of in-memory, {most / 1e9:.2f} GB"
    )


if __name__ == "__main__":
    main()
