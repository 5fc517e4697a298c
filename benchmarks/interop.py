"""What loggers, exported files and loops of others cost, as ratios of processor time on one thread; two minutes.

    python benchmarks/interop.py

- a logger: the time of a training's steps over what they take without telling it.
- an exported sampler: the time of onnxruntime for as many samples over that of `TrainedModel.sample`.
- a loop of another library: its time for as many steps of the same model, batch and objective over that of `train`.

Packages that are not there are left out. Pairs are interleaved; figures are medians of their ratios.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from peers.steady import steady

if __name__ == "__main__":
    steady()

import torch
from torch.utils.data import DataLoader, TensorDataset

from scorefield import Denoiser, Settings, TrainedModel, fit, levels, nets, objectives, train
from scorefield.data import load
from scorefield.interop.export import export_model
from scorefield.interop.loggers import MLflow, TensorBoard, WeightsAndBiases
from scorefield.numerics.random import normal
from scorefield.objectives.batch import Multilevel
from scorefield.records.codec import fit_codec

LOGGERS = {
    "tensorboard": ("tensorboard", TensorBoard),
    "mlflow": ("sqlalchemy", MLflow),
    "wandb": ("wandb", WeightsAndBiases),
}
DENSITY, WEIGHTING = levels.LogNormal(-0.5, 1.2), objectives.EDM()


def ratio(one: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The median of the time of one over that of other, and the median time of other in seconds."""
    ratios, times = [], []
    for _ in range(rounds):
        spent = []
        for work in (one, other):
            begun = time.process_time()
            work()
            spent.append(time.process_time() - begun)
        ratios.append(spent[0] / spent[1])
        times.append(spent[1])
    return statistics.median(ratios), statistics.median(times)


class Timed:
    """A logger whose processor time is kept by what it was told."""

    def __init__(self, logger: Any) -> None:
        self.logger, self.spent = logger, {"scalars": 0.0}

    def __getattr__(self, name: str) -> Callable[..., None]:
        def told(*what: Any) -> None:
            begun = time.process_time()
            getattr(self.logger, name)(*what)
            self.spent[name] = self.spent.get(name, 0.0) + time.process_time() - begun

        return told


def logged(name: str, steps: int, rounds: int) -> str:
    """A training of the ring: what it tells in a step over the rest of the step, and what begins and ends it."""
    ratios, fixed, alone = [], [], []
    for _ in range(rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            heard = Timed(LOGGERS[name][1](Path(folder) / "log"))
            settings = {"steps": steps, "precision": "float32", "evaluate_every": 100}
            begun = 0.0
            for progress in fit("ring", Path(folder) / "run", settings=settings, log=[heard]):
                begun = begun or time.process_time()
                if progress.last:
                    whole = time.process_time() - begun
        told = heard.spent.pop("scalars")
        ratios.append(whole / (whole - told))
        fixed.append(sum(heard.spent.values()))
        alone.append((whole - told) / steps)
    found, once, own = (statistics.median(values[1:]) for values in (ratios, fixed, alone))
    return f"| `--log {name}` | {found:.3f} | a step of {1000 * own:.2f} ms; beginning and end take {once:.2f} s |"


def exported(name: str, network: torch.nn.Module, data: str, rounds: int) -> str:
    """onnxruntime on an exported sampler, and `sample`."""
    import onnxruntime

    model, steps, n = TrainedModel(Denoiser(network).eval(), fit_codec(load(data))), 5, 256
    with tempfile.TemporaryDirectory() as folder:
        export_model(model, Path(folder) / "s.onnx", steps)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(Path(folder) / "s.onnx"), options)
    noise = normal(n, model.codec.shape, 0, "start").numpy()
    found, own = ratio(lambda: session.run(None, {"noise": noise}), lambda: model.sample(n, steps=steps), rounds)
    return f"| exported sampler, {name} | {found:.3f} | {1000 * own / n / steps:.3f} ms an evaluation of a sample |"


def loops(steps: int, rounds: int) -> list[str]:
    """Lightning and accelerate beside `train`."""
    x = fit_codec(load("ring")).encode(load("ring").records)
    settings = Settings(steps=steps, batch=128, precision="float32")

    def ours() -> None:
        for _ in train(made(), x, settings=settings, objective=Multilevel(DENSITY, WEIGHTING)):
            pass

    def made() -> Denoiser:
        return Denoiser(nets.ResidualMLP(2), sigma_max=20.0)

    def batches() -> DataLoader:
        return DataLoader(TensorDataset(x), batch_size=128, shuffle=True, drop_last=True)

    def accelerated() -> None:
        from accelerate import Accelerator

        model = made()
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
        by = Accelerator(cpu=True)
        wrapped, optimizer, rows = by.prepare(model, optimizer, batches())
        done = 0
        while done < steps:
            for (part,) in rows:
                optimizer.zero_grad()
                by.backward(objectives.multilevel(wrapped, part, DENSITY, WEIGHTING, done).mean())
                optimizer.step()
                done += 1
                if done == steps:
                    break

    found = []
    for name, work in (("accelerate", accelerated), ("lightning", lambda: lightning(made(), batches(), steps))):
        if find_spec(name):
            work()
            cost, alone = ratio(work, ours, rounds)
            found.append(f"| loop of {name} | {cost:.3f} | {1000 * alone / steps:.2f} ms a step of `train` |")
    return found


def lightning(model: Denoiser, batches: DataLoader, steps: int) -> None:
    """The same steps by Lightning's trainer, which shows nothing."""
    import logging
    import warnings

    from lightning import LightningModule, Trainer

    class Matching(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: list[torch.Tensor], number: int) -> torch.Tensor:
            return objectives.multilevel(self.model, batch[0], DENSITY, WEIGHTING, self.global_step).mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=2e-3)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Trainer(max_steps=steps, accelerator="cpu", enable_model_summary=False, **quiet).fit(Matching(), batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=500)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| what | ratio | of |\n|---|---|---|")
    for name, (needed, _) in LOGGERS.items():
        if find_spec(needed):
            print(logged(name, options.steps, options.rounds), flush=True)
    print(exported("MLP of 4 numbers", nets.ResidualMLP(4), "iris", 3 * options.rounds), flush=True)
    unet = nets.UNet((8, 8), base=32, blocks=1, patch=2)
    print(exported("UNet of 8 x 8", unet, "digits", options.rounds), flush=True)
    for line in loops(options.steps, options.rounds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
