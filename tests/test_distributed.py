"""Training past one machine: parts of a batch, memory on the way back, checkpoints of any number of processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from scorefield import Denoiser, nets, runs
from scorefield._files import FileError, read_state, read_tensors
from scorefield.nets.recomputed import recomputed
from scorefield.numerics.random import normal
from scorefield.numerics.threads import ALONE, Workers
from scorefield.objectives import EDM
from scorefield.objectives.batch import Multilevel
from scorefield.training import sharded
from scorefield.training.checkpoint import Settings, read_status
from scorefield.training.gradients import descend
from scorefield.training.loop import _batch, _start, default_levels, train
from scorefield.training.precision import Precision

NETWORKS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "mlp": (nets.ResidualMLP(3, width=32, depth=2), (3,)),
    "unet": (nets.UNet((8, 8), base=16, blocks=1), (1, 8, 8)),
    "transformer": (nets.PatchTransformer((8, 8), width=32, depth=2, patch=2), (1, 8, 8)),
}


def case(name: str) -> tuple[Denoiser, torch.Tensor]:
    network, shape = NETWORKS[name]
    model = Denoiser(network, sigma_max=20.0)
    with torch.no_grad():  # away from the zero-initialised output, whose gradient reaches no other layer
        for k, p in enumerate(model.parameters()):
            p.copy_(0.1 * normal(1, p.shape, 0, "test weights", first=k)[0])
    return model, normal(50, shape, 0, "test data")


def gradients(name: str, parts: int, again: bool = False, threads: int = 1) -> tuple[torch.Tensor, list[torch.Tensor]]:
    model, x = case(name)
    settings = Settings(steps=1, batch=32)
    run, wrapped = _start(model, settings, Precision("float32"))
    batch = _batch(run, x, None, settings, torch.device("cpu"))
    objective = Multilevel(default_levels(0.002, 20.0), EDM())
    for p in model.parameters():
        p.grad = None
    if again:
        with recomputed(model):
            each = descend(wrapped, objective, run.precision, batch, ALONE, parts)
    elif threads > 1:
        with Workers(threads) as over:
            each = descend(wrapped, objective, run.precision, batch, over, parts)
    else:
        each = descend(wrapped, objective, run.precision, batch, ALONE, parts)
    return each, [p.grad for p in model.parameters() if p.grad is not None]


# ------------------------------------------------------------------------------------------- parts, and computing again


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("parts", "threads"), [(2, 1), (5, 1), (32, 1), (100, 1), (4, 2)])
def test_the_gradients_of_parts_are_those_of_the_batch(name: str, parts: int, threads: int) -> None:
    losses, whole = gradients(name, 1)
    each, found = gradients(name, parts, threads=threads)
    assert torch.allclose(each, losses, rtol=1e-5)
    scale = max(float(g.abs().max()) for g in whole)
    assert max(float((a - b).abs().max()) for a, b in zip(found, whole, strict=True)) < 1e-5 * scale


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("parts", [1, 3])
def test_computing_again_changes_no_gradient(name: str, parts: int) -> None:
    (losses, wanted), (each, found) = gradients(name, parts), gradients(name, parts, again=True)
    assert torch.equal(each, losses)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_computing_again_keeps_less_for_the_way_back(name: str) -> None:
    """Numbers that the graph keeps, but for the weights."""

    def kept(again: bool) -> int:
        model, x = case(name)
        weights = {p.data_ptr() for p in model.parameters()}
        found: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            if tensor.data_ptr() not in weights:
                found[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            if again:
                with recomputed(model):
                    answer = model.network(x, torch.tensor(0.0))
            else:
                answer = model.network(x, torch.tensor(0.0))
        answer.sum()
        return sum(found.values())

    assert kept(True) < 0.6 * kept(False)


def test_outside_nothing_is_computed_again_and_foreign_networks_are_refused() -> None:
    model, x = case("unet")
    with pytest.raises(RuntimeError), recomputed(model):
        raise RuntimeError
    assert not any("forward" in vars(module) for module in model.modules())
    with pytest.raises(ValueError, match="no blocks"), recomputed(nn.Linear(2, 2)):
        pass
    with recomputed(model), torch.no_grad():
        assert not model.network(x, torch.tensor(0.0)).requires_grad


@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_of_parts_computed_again_has_the_losses_of_a_plain_one(name: str) -> None:
    losses = []
    for change in ({}, {"accumulate": 4}, {"activation_checkpointing": True}, {"accumulate": 3}):
        model, x = case(name)
        settings = replace(Settings(steps=6, batch=32, precision="float32"), **change)
        losses.append([progress.loss for progress in train(model, x, settings=settings)])
    assert losses[2] == losses[0]
    assert np.allclose(losses[1], losses[0], rtol=1e-4) and np.allclose(losses[3], losses[0], rtol=1e-4)


@pytest.mark.parametrize("fields", [{"accumulate": 0}, {"accumulate": 129}, {"activation_checkpointing": 1}])
def test_settings_of_parts_have_a_range(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        Settings(steps=1, **fields)


# -------------------------------------------------------------------------------------------------- several processes


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
SETTINGS = {"steps": 12, "batch": 32, "evaluate_every": 4, "checkpoint_every": 1e-6, "precision": "float32"}


def several(processes: int, until: int, source: Path, folder: Path, **given: Any) -> tuple[int, str]:
    words = [sys.executable, str(Path(__file__).with_name("some_processes.py")), str(processes), str(until)]
    words += [str(source), str(folder), json.dumps({**SETTINGS, **given})]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout


def losses_of(text: str) -> dict[int, list[float]]:
    lines = [line.split() for line in text.splitlines() if line.startswith("loss")]
    return {int(step): [float(loss)] + [float(m) for m in mean if m != "None"] for _, step, loss, *mean in lines}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "x.npy"
    np.save(path, np.random.default_rng(0).normal(size=(300, 3)))
    return path


@pytest.fixture(scope="module")
def alone(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, list[float]]]:
    """The losses of one process that never stops, with records in memory and read as they are needed."""
    found: dict[str, dict[int, list[float]]] = {}
    for name, options in (("memory", {}), ("stream", {"stream": True})):
        folder, found[name] = tmp_path_factory.mktemp(name) / "run", {}
        for progress in runs.fit(str(source), folder, settings=SETTINGS, options=options):
            held = progress.evaluation
            found[name][progress.step] = [progress.loss] if held is None else [progress.loss, held.mean]
        assert len(found[name]) == 12
    return found


@pytest.mark.parametrize(("rows", "shards"), [("memory", True), ("stream", True)])
def test_two_one_and_four_processes_go_on_with_each_others_training(
    source: Path, alone: dict[str, dict[int, list[float]]], tmp_path: Path, rows: str, shards: bool
) -> None:
    folder, found = tmp_path / "run", {}
    options: dict[str, Any] = {"sharded": shards, **({"stream": True} if rows == "stream" else {})}
    for processes, until in ((2, 4), (1, 8), (4, 12)):
        code, out = several(processes, until, source, folder, **options)
        assert code == 0, out
        found |= losses_of(out)
        held = read_status(folder / "checkpoint.safetensors").shards
        assert held == (f"checkpoint-{until}" if shards and processes > 1 else None)
        left = [path.name for path in folder.iterdir() if path.is_dir()]
        assert left == ([held] if held else [])
        if held:
            assert {path.suffix for path in (folder / held).iterdir()} == {".safetensors"}
    wanted = alone[rows]
    assert found.keys() == wanted.keys()
    # sums of a gradient in another order, carried through 12 steps: some roundings of float32
    for step, values in wanted.items():
        assert np.allclose(found[step], values, rtol=2e-4), step
    assert (folder / "model.safetensors").exists()


def test_a_killed_process_ends_the_others_with_one_sentence_and_the_run_goes_on(
    source: Path, alone: dict[str, dict[int, list[float]]], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    code, out = several(2, 12, source, folder, kill=5, sharded=True)
    assert code != 0
    said = [line for line in out.splitlines() if line.startswith("ended")]
    assert len(said) == 1 and "no longer hears from another process" in said[0] and "--resume" in said[0]
    code, out = several(2, 12, source, folder, sharded=True)
    assert code == 0
    for step, values in losses_of(out).items():
        assert np.allclose(values, alone["memory"][step], rtol=2e-4)


def test_damaged_shards_are_one_sentence(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert several(2, 3, source, folder, sharded=True)[0] == 0
    shards = folder / read_state(folder / "checkpoint.safetensors")["shards"]
    held = [read_tensors(path)[0] for path in sorted(shards.iterdir())]
    assert len(held) == 2
    whole = {name: torch.zeros(3) for name in held[0]}
    with pytest.raises(FileError, match="another model's"):
        sharded.read(shards, whole)
    with pytest.raises(FileError, match="no such folder"):
        sharded.read(tmp_path / "nowhere", whole)
    path = sorted(shards.iterdir())[0]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FileError, match="sharded checkpoint"):
        list(runs.fit(str(source), folder, settings=SETTINGS, options={}, resume=True))
