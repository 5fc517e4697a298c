"""The precision of a training: chosen by a measurement where a run begins, kept by it, the same when it is resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scorefield import train
from scorefield.data import Dataset
from scorefield.denoiser import Denoiser
from scorefield.nets import ResidualMLP, UNet
from scorefield.numerics.random import normal
from scorefield.objectives import EDM
from scorefield.objectives.batch import Multilevel
from scorefield.records.codec import fit_codec
from scorefield.records.trained import TrainedModel
from scorefield.training import loop, precision
from scorefield.training.checkpoint import Settings, read_status
from scorefield.training.loop import default_levels
from scorefield.training.precision import Precision, as_trained, choose

X = normal(40, (1, 8, 8), 0, "test images")
OBJECTIVE = Multilevel(default_levels(0.002, 20.0), EDM())
CPU = torch.device("cpu")
SETTINGS = Settings(steps=4, batch=8, evaluate_every=2, checkpoint_every=1e-9)


def images() -> Denoiser:
    return Denoiser(UNet((8, 8), base=8, multipliers=(1,), blocks=1, attention=False), sigma_max=20.0)


def test_the_faster_one_is_chosen_where_it_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    model = images()
    for seconds, name in (((2.0, 1.0), "bf16"), ((1.0, 8.0), "float32"), ((1.0, 0.95), "float32")):
        monkeypatch.setattr(precision, "_times", lambda *_, seconds=seconds: seconds)
        found = choose("auto", model, OBJECTIVE, X, None, 8, None, CPU)
        assert found == Precision(name, round(seconds[0] / seconds[1], 2))
        for asked in ("float32", "bf16"):
            assert choose(asked, model, OBJECTIVE, X, None, 8, None, CPU) == Precision(asked)
        assert choose("auto", model, OBJECTIVE, X, None, 8, 3, CPU) == Precision("float32")
        small = Denoiser(ResidualMLP(2, width=16, depth=1), sigma_max=20.0)
        assert choose("auto", small, OBJECTIVE, X[:, 0, 0, :2], None, 8, None, CPU) == Precision("float32")


def test_measuring_leaves_no_trace() -> None:
    model, before = images(), torch.get_rng_state()
    weights = [p.detach().clone() for p in model.parameters()]
    found = choose("auto", model, OBJECTIVE, X, None, 8, None, CPU)
    assert found.gain is not None and found.gain > 0
    assert torch.equal(before, torch.get_rng_state())
    assert all(p.grad is None and torch.equal(p, w) for p, w in zip(model.parameters(), weights, strict=True))


def test_a_network_that_bf16_cannot_compute_stays_in_float32() -> None:
    class Mixing(torch.nn.Conv2d):
        def forward(self, x: torch.Tensor, level_feature: torch.Tensor, condition: None = None) -> torch.Tensor:
            return torch.lerp(super().forward(x), x, 0.5)

    model = Denoiser(Mixing(1, 1, 3, padding=1), sigma_max=20.0)
    assert choose("auto", model, OBJECTIVE, X, None, 8, None, CPU) == Precision("float32", 0.0)


def test_a_resumed_training_keeps_its_precision_and_ends_bit_for_bit_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "checkpoint.safetensors"
    monkeypatch.setattr(loop, "choose", lambda *_: Precision("bf16", 2.0))
    whole, part, other = images(), images(), images()
    list(train(whole, X[:30], settings=SETTINGS, held=X[30:]))
    for progress in train(part, X[:30], settings=SETTINGS, held=X[30:], checkpoint=file):
        if progress.step == 3:
            break
    monkeypatch.setattr(loop, "choose", lambda *_: Precision("float32", 0.5))
    list(train(part, X[:30], settings=SETTINGS, held=X[30:], checkpoint=file, resume=True))
    list(train(other, X[:30], settings=SETTINGS, held=X[30:]))
    assert read_status(file).precision == Precision("bf16", 2.0)
    assert all(torch.equal(p, q) for p, q in zip(part.parameters(), whole.parameters(), strict=True))
    assert not all(torch.equal(p, q) for p, q in zip(part.parameters(), other.parameters(), strict=True))


def test_the_noise_of_low_levels_is_not_rounded_away_in_bf16() -> None:
    """The network's first layer sees x itself, whose noise is finer than bf16 of x."""
    network = UNet((8, 8), base=8, multipliers=(1,), blocks=1, attention=False)
    seen: list[torch.Tensor] = []
    network.inputs.register_forward_hook(lambda module, given, made: seen.append(made))
    with torch.autocast("cpu", torch.bfloat16):
        network(X, torch.tensor(-6.0))
    assert seen[0].dtype == torch.float32 and torch.equal(seen[0], network.inputs(X))


def test_draws_are_in_the_precision_of_the_training_where_the_processor_is_made_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained = {"training": {"precision": {"name": "bf16", "gain": 2.0}}}
    for info, made_for_it, wanted in [
        (trained, True, "bf16"),
        (trained, False, "float32"),
        ({"training": {"precision": {"name": "float32", "gain": 0.1}}}, True, "float32"),
        ({"training": {"precision": None}}, True, "float32"),
        ({}, True, "float32"),
    ]:
        monkeypatch.setattr(precision, "_is_made_for_bf16", lambda _, answer=made_for_it: answer)
        assert as_trained(info, torch.device("cpu")) == Precision(wanted)


def test_draws_in_bf16_are_those_in_float32_to_its_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_is_made_for_bf16", lambda _: True)
    model = images().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.add_(0.05 * normal(len(p), p.shape[1:], 1, name))
    pictures = (X[:, 0].numpy().clip(-2, 2) * 60 + 128).astype(np.uint8)
    codec = fit_codec(Dataset(pictures, "image", source="pictures"), np.arange(len(X)))
    run = TrainedModel(model, codec, info={"training": {"precision": {"name": "bf16", "gain": 2.0}}})
    full, half, auto = (run.sample(5, steps=6, precision=name) for name in ("float32", "bf16", "auto"))
    assert (half == auto).all() and (half != full).any()
    assert np.abs(half.astype(float) - full).max() <= 8  # of 255 grey levels: 2^-8 of the range, over 6 steps
    with pytest.raises(ValueError, match="'auto', 'float32' or 'bf16', got 'half'"):
        run.sample(1, precision="half")
