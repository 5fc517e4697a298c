"""Training: exact resume, steps that are pure functions of (seed, step, position), floors, stops, several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from scorefield import train
from scorefield._files import FileError, read_tensors
from scorefield.analytic import Gaussian
from scorefield.core import Level
from scorefield.denoiser import Denoiser, Energy
from scorefield.nets import ResidualMLP, ScalarMLP
from scorefield.numerics.random import normal
from scorefield.objectives import EDM
from scorefield.objectives.batch import Multilevel
from scorefield.training.checkpoint import Settings, read_status, spent
from scorefield.training.heldout import BINS, POINTS, SHARE, HeldOut, affordable
from scorefield.training.loop import Progress, TrainingError, _batch_index, _objective, default_levels
from scorefield.training.optimizer import BETAS, AdamW, clip
from scorefield.training.parallel import folder_lock

COVARIANCE = torch.tensor([[1.0, 0.6], [0.6, 1.0]])
X = normal(600, (2,), 0, "test data") @ torch.linalg.cholesky(COVARIANCE).T
QUICK = Settings(steps=12, batch=32, evaluate_every=5, warmup=4)


def small() -> Denoiser:
    return Denoiser(ResidualMLP(2, width=16, depth=1), sigma_max=20.0)


def weights(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def last(loop: Iterator[Progress]) -> Progress:
    *_, final = loop
    return final


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not() -> None:
    a, b, c = small(), small(), small()
    last(train(a, X, settings=QUICK))
    last(train(b, X, settings=QUICK))
    last(train(c, X, settings=replace(QUICK, seed=1)))
    assert same(a, b) and not same(a, c)


def test_the_global_random_state_is_neither_used_nor_changed() -> None:
    state = torch.get_rng_state()
    last(train(small(), X, settings=QUICK))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(("stop", "optimizer"), [(1, "adamw"), (5, "adamw"), (7, "adamw"), (5, "muon")])
def test_resuming_equals_never_having_stopped_bit_for_bit(tmp_path: Path, stop: int, optimizer: str) -> None:
    def model() -> Denoiser:
        return Denoiser(ResidualMLP(2, width=32, depth=1), sigma_max=20.0)

    whole, file = model(), tmp_path / "checkpoint.safetensors"
    often = replace(QUICK, checkpoint_every=1e-9, optimizer=optimizer)
    last(train(whole, X[:500], settings=often, held=X[500:]))
    for progress in train(model(), X[:500], settings=often, held=X[500:], checkpoint=file):
        if progress.step == stop:
            break
    resumed = model()
    final = last(train(resumed, X[:500], settings=often, held=X[500:], checkpoint=file, resume=True))
    assert final.step == QUICK.steps and same(whole, resumed)


def test_resuming_refuses_other_settings_and_another_model(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"
    last(train(small(), X, settings=QUICK, checkpoint=file))
    with pytest.raises(ValueError, match="batch = 32, now 16"):
        next(train(small(), X, settings=replace(QUICK, batch=16), checkpoint=file, resume=True))
    with pytest.raises(ValueError, match="optimizer = 'adamw', now 'muon'"):
        next(train(small(), X, settings=replace(QUICK, optimizer="muon"), checkpoint=file, resume=True))
    other = Denoiser(ResidualMLP(2, width=24, depth=1), sigma_max=20.0)
    with pytest.raises(FileError, match="another model's"):
        next(train(other, X, settings=replace(QUICK, steps=20), checkpoint=file, resume=True))
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(FileError, match="truncated"):
        next(train(small(), X, settings=QUICK, checkpoint=file, resume=True))


def test_every_epoch_is_a_permutation_and_batches_depend_on_step_and_position_alone() -> None:
    n, settings = 48, Settings(steps=1, batch=16)
    rows = torch.cat([_batch_index(step, settings, n, torch.device("cpu"))[0] for step in range(6)])
    assert rows[:n].sort().values.tolist() == list(range(n)) == rows[n:].sort().values.tolist()
    assert rows[:n].tolist() != rows[n:].tolist()


def test_a_batch_may_be_larger_than_the_data() -> None:
    rows, _ = _batch_index(0, Settings(steps=1, batch=64), 5, torch.device("cpu"))
    assert rows.bincount(minlength=5).min() >= 12
    assert last(train(small(), X[:1], settings=QUICK)).step == QUICK.steps


def test_training_reaches_the_known_floor_of_a_gaussian() -> None:
    exact = Gaussian(torch.zeros(2), COVARIANCE)
    model = Denoiser(ResidualMLP(2, width=64, depth=2), sigma_max=20.0)
    data = normal(20_000, (2,), 1, "test data") @ torch.linalg.cholesky(COVARIANCE).T
    settings = Settings(steps=400, batch=128, evaluate_every=200)
    final = last(train(model, data, settings=settings, held=X, exact=exact)).evaluation
    assert final is not None and final.floors is not None
    assert list(final.sigmas) == sorted(final.sigmas)
    floor = sum(final.floors) / len(final.floors)
    # the same points and noise for both: no held-out loss can be below the floor by more than their luck
    assert floor * 0.98 < final.mean < floor * 1.03


@pytest.mark.parametrize("centre", [-0.5, 0.0, 1.0])
def test_half_of_the_levels_lie_below_the_centre(centre: float) -> None:
    """It is that of the default objective, in units of the data's deviation; without being told, as ever."""
    model = Denoiser(ResidualMLP(2, width=16, depth=1), sigma_data=0.5)
    settings = Settings(steps=1, centre=centre)
    objective = _objective(model, None, None, None, settings.centre)
    u = (torch.arange(4096) + 0.5) / 4096
    assert float((objective.levels(u).ratio / 0.5).log().median()) == pytest.approx(centre, abs=0.05)
    usual = default_levels(model.sigma_min, model.sigma_max, 0.5)
    assert (centre == Settings(steps=1).centre) == torch.equal(objective.levels(u).ratio, usual(u).ratio)


def test_an_energy_trains_too() -> None:
    model = Energy(ScalarMLP(2, width=16, depth=1), sigma_max=20.0)
    first = last(train(model, X, settings=replace(QUICK, steps=1), held=X)).evaluation
    final = last(train(model, X, settings=replace(QUICK, steps=60), held=X)).evaluation
    assert first is not None and final is not None and final.mean < first.mean


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_a_condition_is_learned_and_so_is_none(kind: str) -> None:
    label = torch.arange(600) % 2
    x = (4.0 * label - 2.0)[:, None] + 0.3 * X[:, :1]
    network = ResidualMLP(1, width=32, depth=1, **({"classes": 2} if kind == "classes" else {"condition_dim": 1}))
    model = Denoiser(network, sigma_data=float(x.std()), sigma_max=40.0)
    condition = label if kind == "classes" else label[:, None].float()
    settings = Settings(steps=300, batch=64, warmup=20, condition_dropout=0.3)
    last(train(model, x, settings=settings, condition=condition))
    level, at_zero = Level(1.0, 8.0), torch.zeros(2, 1)  # noise that hides which class it is
    told = model(at_zero, level, condition[:2]).x0[:, 0]
    untold = model(at_zero, level, None).x0[:, 0]
    assert told.tolist() == pytest.approx([-2.0, 2.0], abs=0.4) and untold.abs().max() < 0.4


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    with folder_lock(tmp_path):
        with pytest.raises(RuntimeError, match=f"pid {os.getpid()}"), folder_lock(tmp_path):
            pass
    with folder_lock(tmp_path):
        pass


def test_the_model_ends_with_its_best_average() -> None:
    model, kept = small(), {}
    for progress in train(model, X[:500], settings=QUICK, held=X[500:]):
        if progress.evaluation is not None:
            kept[progress.step] = progress.evaluation
    assert sorted(kept) == [5, 10, 12]
    best = min(kept.values(), key=lambda e: e.mean)
    assert best.best and not model.training
    again = last(train(model, X[:500], settings=replace(QUICK, steps=1, learning_rate=1e-12), held=X[500:])).evaluation
    assert again is not None and again.mean == pytest.approx(best.mean, rel=1e-5)


def test_held_out_losses_take_a_twentieth_of_the_work_at_most() -> None:
    for steps in (3, 25, 250, 10_000):
        for batch in (16, 128, 512):
            points = affordable(steps, batch)
            assert points % BINS == 0 and points <= max(BINS, SHARE * 3 * batch * steps) and points <= POINTS


def test_a_raised_budget_compares_held_out_losses_of_the_same_points(tmp_path: Path) -> None:
    file, settings, held = tmp_path / "checkpoint.safetensors", replace(QUICK, steps=4, evaluate_every=40), X[500:]
    first, model = small(), small()
    last(train(first, X[:500], settings=settings, held=held, checkpoint=file))
    few = read_status(file).points
    more = replace(settings, steps=40)
    final = last(train(model, X[:500], settings=more, held=held, checkpoint=file, resume=True)).evaluation
    status = read_status(file)
    assert final is not None and few == affordable(4, 32) < affordable(40, 32) == status.points
    test = HeldOut(held, None, Multilevel(default_levels(0.002, 20.0), EDM()), None, 0, status.points)
    before, after = (sum(test.losses(m, torch.device("cpu"))) / BINS for m in (first, model))
    assert final.best == (final.mean < before) and after == pytest.approx(min(before, final.mean), rel=1e-6)


def test_the_optimiser_is_torchs_bit_for_bit() -> None:
    a, b = small(), small()
    ours = AdamW(list(a.parameters()), weight_decay=0.01)
    theirs = torch.optim.AdamW(b.parameters(), lr=2e-3, weight_decay=0.01, betas=BETAS, fused=True)
    for step in range(5):
        for model in (a, b):
            model.zero_grad()
            model(X[:8] + step, Level(1.0, 0.5)).x0.square().sum().backward()
        most = 10.0 ** (step - 2)  # some gradients are clipped, some are not
        clip(ours.parameters, most)
        torch.nn.utils.clip_grad_norm_(b.parameters(), most)
        ours.step(2e-3)
        theirs.step()
    assert same(a, b)


def test_early_stopping_and_the_time_budget() -> None:
    lazy = Settings(steps=10_000, batch=8, evaluate_every=1, patience=3, learning_rate=1e-9, warmup=0)
    final = last(train(small(), X, settings=lazy, held=X))
    assert final.last == "no better held-out loss" and final.step < 10_000
    begun = time.perf_counter()
    final = last(train(small(), X, settings=Settings(seconds=0.3, batch=8)))
    # the optimiser's start counts: the budget is kept on the clock, and the steps take what is left of it
    assert final.last == "budget" and 0.3 <= time.perf_counter() - begun < 3 and 0.075 <= final.seconds < 3
    for before in (0.0, 20.0, 45.0, 90.0):  # a quarter is the training's, whatever came before it
        budget, left = Settings(seconds=60.0), 60.0 - min(before, 45.0)
        assert spent(budget, 7, left, before) == 1.0 > spent(budget, 7, 0.99 * left, before)


def test_time_without_a_processor_is_told_apart(tmp_path: Path) -> None:
    class Waiting(Multilevel):
        def __call__(self, *given: Any) -> Tensor:
            time.sleep(0.05)  # as a process does that others keep from the processor
            return super().__call__(*given)

    file, objective = tmp_path / "checkpoint.safetensors", Waiting(default_levels(0.002, 20.0), EDM())
    last(train(small(), X, settings=replace(QUICK, steps=4), objective=objective, checkpoint=file))
    status = read_status(file)
    assert 0 < status.processor <= status.seconds - 4 * 0.05


def test_a_loss_that_is_not_finite_stops_with_step_and_level_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"
    model = small()
    settings = replace(QUICK, checkpoint_every=1e-9)
    with pytest.raises(TrainingError, match=r"step 4, noise level sigma = \d"):
        for progress in train(model, X, settings=settings, checkpoint=file):
            if progress.step == 3:
                with torch.no_grad():
                    next(model.parameters()).fill_(float("nan"))
    tensors, state = read_tensors(file)
    assert state["step"] == 3 and all(bool(torch.isfinite(v).all()) for v in tensors.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": X[:0]}, "at least one row"),
        ({"x": torch.full((4, 2), float("nan"))}, "first in row 0"),
        ({"held": X[:, :1]}, "rows of shape"),
        ({"condition": torch.zeros(3)}, "one entry per row"),
    ],
)
def test_bad_input_is_refused(change: dict[str, Tensor], message: str) -> None:
    given = {"x": X} | change
    with pytest.raises(ValueError, match=message):
        next(train(small(), given.pop("x"), settings=QUICK, **given))


def test_a_budget_is_required() -> None:
    with pytest.raises(ValueError, match="budget"):
        Settings()


# ------------------------------------------------------------------------------------------------ real processes


def table(path: Path) -> Path:
    lines = ["a,b", *(f"{a:.5f},{b:.5f}" for a, b in X[:120].tolist())]
    path.write_text("\n".join(lines) + "\n")
    return path


ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def until_killed(words: list[str], run: Path, victims: Callable[[int], list[int]]) -> int:
    """Start a training, kill processes at its first checkpoint; returns the exit code."""
    process = subprocess.Popen([sys.executable, *words], env=ENVIRONMENT)
    while not (run / "checkpoint.safetensors").exists() and process.poll() is None:
        time.sleep(0.01)
    for victim in victims(process.pid):
        os.kill(victim, signal.SIGKILL)
    return process.wait()


SHORT = ("--batch", "32", "--quiet")
OFTEN = ("--checkpoint-every", "0.05s")


def test_resuming_after_kill_nine_equals_never_having_stopped(scorefield, tmp_path: Path) -> None:
    fit = ("fit", str(table(tmp_path / "table.csv")), "--steps", "80", *SHORT, "-o")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    code = until_killed(["-m", "scorefield", *fit, str(broken), *OFTEN], broken, lambda pid: [pid])
    assert code == -signal.SIGKILL and not (broken / "model.json").exists()
    assert 0 < read_tensors(broken / "checkpoint.safetensors")[1]["step"] < 80
    assert scorefield(*fit, broken, "--resume")[0] == 0
    assert scorefield(*fit, whole)[0] == 0
    a, b = (read_tensors(folder / "model.safetensors")[0] for folder in (whole, broken))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


TWO = str(Path(__file__).with_name("two_processes.py"))


@pytest.fixture(scope="module")
def differences() -> dict[str, float]:
    """Of gradients, or weights after a step of Muon, in two processes from those in one, by the way of sharing."""
    words = [sys.executable, TWO, "gradients"]
    done = subprocess.run(words, check=True, env=ENVIRONMENT, capture_output=True, text=True)
    lines = [line.split() for line in done.stdout.splitlines() if "difference" in line]
    return {line[0]: float(line[2]) for line in lines}


@pytest.mark.parametrize("way", ["ddp-adamw", "fsdp-adamw", "ddp-muon", "fsdp-muon"])
def test_two_processes_give_the_gradients_of_one(differences: dict[str, float], way: str) -> None:
    assert differences[way] < 1e-5


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    if listed.exists():
        return [int(child) for child in listed.read_text().split()]
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=True)
    return [int(child) for child in found.stdout.split()]


TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "scorefield"]


@pytest.mark.parametrize("option", [[], ["--fsdp"]])
def test_two_processes_resume_after_their_workers_were_killed_and_write_one_run(
    tmp_path: Path, option: list[str]
) -> None:
    data, run = table(tmp_path / "table.csv"), tmp_path / "run"
    fit = ["fit", str(data), "-o", str(run), *SHORT, *option]
    start = [TWO, "command"]  # sooner there than torchrun, which starts the second training
    assert until_killed([*start, *fit, "--steps", "4000", *OFTEN], run, children) != 0
    step = read_tensors(run / "checkpoint.safetensors")[1]["step"]
    assert step > 0 and not (run / "model.json").exists()
    more = [sys.executable, *(start if option else TORCHRUN), *fit, "--steps", str(step + 10), "--resume"]
    done = subprocess.run(more, check=True, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.stdout.count(f"trained {step + 10} steps") == 1
    assert sorted(p.name for p in run.iterdir() if not p.name.startswith(".")) == [
        *([f"checkpoint-{step + 10}"] if option else []),  # the parts that the processes wrote
        "checkpoint.safetensors",
        "fit.json",
        "model.json",
        "model.safetensors",
    ]
