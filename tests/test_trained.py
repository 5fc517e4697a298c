"""Trained models: a folder that loads bit for bit elsewhere, answers in the user's units, clear errors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from scorefield import TrainedModel, plans
from scorefield._files import FileError
from scorefield.data import Dataset, load
from scorefield.denoiser import Denoiser, Energy
from scorefield.levels import karras
from scorefield.nets import ResidualMLP, ScalarMLP, UNet
from scorefield.numerics.random import normal
from scorefield.records.array_codec import ArrayCodec
from scorefield.records.codec import Codec, fit_codec
from scorefield.records.image_codec import ImageCodec


def shaken(model: Denoiser | Energy) -> Denoiser | Energy:
    """Weights away from their initial values, which answer with the Gaussian guess."""
    with torch.no_grad():
        for k, p in enumerate(model.parameters()):
            p.add_(0.05 * normal(1, p.shape, 3, "shake", first=k)[0])
    return model.eval()


def table_codec() -> Codec:
    return fit_codec(load("iris"))


def odd_images() -> Codec:
    records = (255 * np.random.default_rng(0).random((30, 5, 4, 3))).astype(np.uint8)
    return fit_codec(Dataset(records, "image"))


MODELS: dict[str, Callable[[], TrainedModel]] = {
    "table": lambda: TrainedModel(shaken(Denoiser(ResidualMLP(4, width=16, depth=1))), table_codec()),
    "energy": lambda: TrainedModel(shaken(Energy(ScalarMLP(4, width=16, depth=1))), table_codec()),
    "one column": lambda: TrainedModel(
        shaken(Denoiser(ResidualMLP(1, width=16, depth=1), sigma_data=1.2)),
        ArrayCodec(("a",), mean=(1e6,), std=(0.01,), resolution=(0.0,)),
    ),
    "images": lambda: TrainedModel(shaken(Denoiser(UNet((6, 4), 3, base=8, multipliers=(1, 2)))), odd_images()),
    "classes": lambda: TrainedModel(
        shaken(Denoiser(UNet((8, 8), 1, base=8, multipliers=(1, 2), classes=3))),
        ImageCodec(8, 8, 1, mean=8.0, std=4.0, levels=17, dtype="uint8", channel_axis=False),
        {5: plans.heun(karras(3, 40.0, 0.01))},
        frequencies=(0.2, 0.5, 0.3),
        info={"data": {"source": "here"}},
    ),
}


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> TrainedModel:
    return MODELS[request.param]()


def test_saving_and_loading_changes_no_bit(model: TrainedModel, tmp_path: Path) -> None:
    model.save(tmp_path / "run")
    again = TrainedModel.load(tmp_path / "run")
    assert np.array_equal(model.sample(7, steps=5, seed=1), again.sample(7, steps=5, seed=1))
    assert again.codec == model.codec and again.frequencies == model.frequencies
    assert dict(again.plans) == dict(model.plans) and dict(again.info) == dict(model.info)
    assert not again.model.training


def test_another_process_gives_the_same_bits(tmp_path: Path) -> None:
    model = MODELS["classes"]()
    model.save(tmp_path / "run")
    np.save(tmp_path / "here.npy", model.noise(model.sample(4, steps=5, seed=1), 0.5, 1))
    code = (
        "import sys, numpy as np; from scorefield import TrainedModel; m = TrainedModel.load(sys.argv[1]);"
        "np.save(sys.argv[2], m.noise(m.sample(4, steps=5, seed=1), 0.5, 1))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "run"), str(tmp_path / "there.npy")], check=True)
    assert np.array_equal(np.load(tmp_path / "here.npy"), np.load(tmp_path / "there.npy"))


def test_sample_i_depends_on_the_seed_and_i_alone(model: TrainedModel) -> None:
    whole = model.sample(6, steps=4, seed=2).astype(np.float64)
    parts = [model.sample(2, steps=4, seed=2), model.sample(4, steps=4, seed=2, first=2, batch=3)]
    scale = whole.std() + 1e-12
    # to float32's rounding in the network, amplified by the sampler; one grey level where images are rounded
    assert np.abs(whole - np.concatenate(parts).astype(np.float64)).max() <= max(1e-3 * scale, 1.0 * (whole.ndim > 2))
    assert not np.array_equal(whole, model.sample(6, steps=4, seed=3))


def test_answers_are_tied_in_the_users_units(model: TrainedModel) -> None:
    sigma, condition = 0.7, 1 if model.frequencies else None
    clean = model.sample(5, steps=4, seed=0)
    x = model.add_noise(clean, sigma, seed=1)
    denoised, noise = model.denoise(x, sigma, condition), model.noise(x, sigma, condition)
    score = model.score(x, sigma, condition)
    assert denoised.shape == noise.shape == score.shape == clean.shape
    std = 1 / model.codec.slope  # the noise in the user's units has standard deviation sigma * std
    assert np.allclose(denoised + sigma * std * noise, x, rtol=1e-5, atol=1e-4 * float(np.max(std)))
    assert np.allclose(x + (sigma * std) ** 2 * score, denoised, rtol=1e-5, atol=1e-4 * float(np.max(std)))


def test_the_score_is_the_gradient_of_the_energy_in_the_users_units() -> None:
    model = MODELS["energy"]()
    assert isinstance(model.model, Energy)
    x, sigma, step = load("iris").records[:4], 0.6, 1e-3

    def energy(records: np.ndarray) -> np.ndarray:
        double = model.model.double()
        from scorefield.core import Level

        encoded = torch.as_tensor((records - np.array(model.codec.mean)) / np.array(model.codec.std))
        return double.energy(encoded, Level(1.0, sigma)).detach().numpy()

    score = model.score(x, sigma)
    for j in range(4):
        shift = np.eye(4)[j] * step
        slope = (energy(x + shift) - energy(x - shift)) / (2 * step)
        assert np.allclose(score[:, j], -slope, rtol=1e-4, atol=1e-4)


def test_classes_are_drawn_as_often_as_in_training() -> None:
    model = MODELS["classes"]()
    drawn = model.conditions(20_000, seed=0)
    assert drawn is not None
    share = drawn.bincount() / len(drawn)
    assert torch.allclose(share, torch.tensor(model.frequencies), atol=5 * (0.25 / len(drawn)) ** 0.5)
    assert MODELS["table"]().conditions(3) is None


def test_a_stored_plan_is_used_by_itself() -> None:
    model = MODELS["classes"]()
    assert model.plan(5) is model.plans[5] and model.plan(6).evaluations == 6


def test_steps_are_network_evaluations() -> None:
    model, calls = MODELS["table"](), []
    model.model.register_forward_hook(lambda *_: calls.append(1))
    model.sample(3, steps=7)
    assert len(calls) == 7


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.sample(2, condition=1), "not conditional"),
        (lambda m: m.score(np.zeros((2, 4)), 1e4), "trained for sigma"),
        (lambda m: m.score(np.zeros((2, 3)), 1.0), "shape"),
        (lambda m: m.sample(2, steps=0), "evaluations"),
    ],
)
def test_wrong_questions_get_clear_errors(call: Callable[[TrainedModel], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(MODELS["table"]())


def test_wrong_classes_get_clear_errors() -> None:
    model = MODELS["classes"]()
    for condition, message in ((3, "0 to 2"), (np.array([0, 1]), "one class or 4"), (np.array([0.5] * 4), "integers")):
        with pytest.raises(ValueError, match=message):
            model.sample(4, steps=2, condition=condition)


def spoil_json(run: Path, **change: object) -> None:
    header = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps(header | change))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no json": (lambda run: (run / "model.json").unlink(), "no such file"),
    "cut json": (lambda run: (run / "model.json").write_bytes((run / "model.json").read_bytes()[:99]), "truncated"),
    "foreign json": (lambda run: (run / "model.json").write_text('{"a": 1}'), "expected a scorefield model"),
    "a list": (lambda run: (run / "model.json").write_text("[]"), "expected a JSON object"),
    "later version": (lambda run: spoil_json(run, version=99), "version"),
    "other weights": (lambda run: spoil_json(run, weights="0"), "does not belong"),
    "no network": (lambda run: spoil_json(run, network={}), "cannot be read"),
    "unknown codec": (lambda run: spoil_json(run, codec={"kind": "sound"}), "cannot be read"),
    "no weights": (lambda run: (run / "model.safetensors").unlink(), "no such file"),
    "cut weights": (
        lambda run: (run / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:-8]),
        "truncated",
    ),
    "foreign weights": (lambda run: (run / "model.safetensors").write_bytes(b"\x80\x04pickle" * 20), "safetensors"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_folders_get_clear_errors(fault: str, tmp_path: Path) -> None:
    spoil, message = FAULTS[fault]
    MODELS["table"]().save(tmp_path)
    spoil(tmp_path)
    with pytest.raises(FileError, match=message) as error:
        TrainedModel.load(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_nothing_on_disk_is_a_pickle(tmp_path: Path) -> None:
    MODELS["classes"]().save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
