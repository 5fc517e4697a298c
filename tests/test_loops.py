"""Objectives and models in loops of others, and in one compiled graph."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scorefield import Denoiser, Energy, TrainedModel, levels, nets, objectives
from scorefield.data import load
from scorefield.denoiser import TARGETS
from scorefield.numerics.random import normal, uniform

GUIDE = Path(__file__).parent.parent / "docs" / "loops.md"


def example(first: str) -> str:
    """The guide's example that begins so."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = (block for block in blocks if block.startswith(first))
    return code


def runs_from(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    torch_state = torch.get_rng_state()
    torch.random.default_generator.manual_seed(0)  # these loops draw from torch's own generator
    try:
        exec(compile(code, GUIDE.name, "exec"), names)
    finally:
        torch.set_rng_state(torch_state)
    return names


def has_learned(trained: TrainedModel) -> None:
    """The ring's radius, which no Gaussian of the data's covariance has: 300 steps are enough to see it."""
    drawn, real = trained.sample(2000, steps=10), load("ring").records
    radii = [np.hypot(*part.T) for part in (drawn, real)]
    gaussian = np.hypot(*(normal(2000, (2,), 0, "gaussian").numpy() * real.std(0) + real.mean(0)).T)
    assert radii[0].std() < 0.7 * gaussian.std() and abs(radii[0].mean() - radii[1].mean()) < 0.2 * radii[1].mean()


@pytest.mark.filterwarnings("ignore")
def test_lightning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = runs_from(example("import lightning"), tmp_path, monkeypatch)
    has_learned(names["trained"])
    assert np.array_equal(TrainedModel.load(tmp_path / "run").sample(3), names["trained"].sample(3))
    assert names["trainer"].global_step == 300


def test_accelerate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has_learned(runs_from(example("import torch\nfrom accelerate"), tmp_path, monkeypatch)["trained"])


def test_the_compiled_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    runs_from(
        example("import torch\n\nfrom scorefield import Denoiser, levels, nets, objectives\n\nmodel"),
        tmp_path,
        monkeypatch,
    )
    assert capsys.readouterr().out == "torch.Size([])\n"


# ------------------------------------------------------------------------------------------------------------ compiled

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (lambda: Denoiser(nets.ResidualMLP(3, width=16, depth=1)), (3,)),
    "energy": (lambda: Energy(nets.ScalarMLP(3, width=16, depth=1)), (3,)),
    "unet": (lambda: Denoiser(nets.UNet((4, 4), base=8, blocks=1, patch=2)), (1, 4, 4)),
    "transformer": (lambda: Denoiser(nets.PatchTransformer((4, 4), width=16, depth=1, patch=2)), (1, 4, 4)),
    "classes": (lambda: Denoiser(nets.ResidualMLP(3, width=16, depth=1, classes=2)), (3,)),
    **{f"target {t.name}": (lambda t=t: Denoiser(nets.ResidualMLP(3, width=16, depth=1), t), (3,)) for t in TARGETS},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_is_one_graph(name: str) -> None:
    """No graph breaks (`fullgraph`), and the loss and its gradient are those without a compiler."""
    make, shape = NETWORKS[name]
    model, density, weighting = make().train(), levels.LogNormal(-0.5, 1.2), objectives.EDM()
    condition = torch.tensor([0, 1, 2, 0, 1]) if name == "classes" else None

    def step(x: Tensor, noise: Tensor, u: Tensor) -> Tensor:
        return objectives.multilevel(model, x, density, weighting, condition=condition, noise=noise, u=u).mean()  # type: ignore[arg-type]

    x, noise = (normal(5, shape, 0, purpose) for purpose in ("x", "noise"))
    batch = x, noise, uniform(5, (), 0, "u")
    torch.compiler.reset()
    losses, gradients = [], []
    for by in (torch.compile(step, fullgraph=True, backend="eager"), step):
        model.zero_grad()
        loss = by(*batch)
        loss.backward()
        losses.append(loss.detach())
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    assert torch.allclose(*losses, rtol=1e-5) and torch.allclose(*gradients, rtol=1e-4, atol=1e-6)
    assert float(gradients[0].norm()) > 0
