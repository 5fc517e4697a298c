"""Runs of latents: exact under an invertible autoencoder, resumed bit for bit, never taken for runs of pixels."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scorefield import TrainedModel, data
from scorefield.analytic import Gaussian
from scorefield.data import DataError, Dataset
from scorefield.denoiser import EDM_F, Denoiser
from scorefield.objectives.batch import Draws
from scorefield.records import evaluate, fit, latents
from scorefield.records.autoencode import Reconstruction, autoencode, held_out_error
from scorefield.records.autoencoder import Autoencoder, opened
from scorefield.records.convolutional import FACTORS, Convolutional
from scorefield.records.image_codec import ImageCodec
from scorefield.records.latent_codec import LatentCodec
from tables import ExactNetwork

Command = Callable[..., tuple[int, str, str]]
QUICK: dict[str, Any] = {"steps": 4, "batch": 16, "evaluate_every": 2}
SIDE = 4
PIXELS = ImageCodec(SIDE, SIDE, 1, mean=0.0, std=1.0, dtype="float64", channel_axis=False)


class Rotation(nn.Module):
    """`z = scale Q x` with an orthogonal Q: exactly invertible, log |dz/dx| = d log(scale)."""

    def __init__(self, scale: float = 3.0, dim: int = SIDE * SIDE, sizes: tuple[int, ...] = ()) -> None:
        super().__init__()
        draw = torch.randn(dim, dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        self.register_buffer("Q", scale * torch.linalg.qr(draw)[0])
        self.scale, self.sizes = scale, sizes

    def encode(self, x: Tensor) -> Tensor:
        z = x.flatten(1) @ self.Q.T
        return z.reshape(len(z), -1, *self.sizes)

    def decode(self, z: Tensor) -> Tensor:
        return (z.flatten(1) @ self.Q / self.scale**2).reshape(len(z), 1, SIDE, SIDE)


class Answers(nn.Module):
    """An autoencoder with given answers."""

    def __init__(self, encode: Callable[[Tensor], Any], decode: Callable[[Tensor], Any] | None = None) -> None:
        super().__init__()
        self._encode, self._decode = encode, decode

    def encode(self, x: Tensor) -> Any:
        return self._encode(x)

    def decode(self, z: Tensor) -> Any:
        return torch.zeros(len(z), 1, SIDE, SIDE) if self._decode is None else self._decode(z)


def pictures(n: int = 80, dtype: str = "float64") -> Dataset:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(n, SIDE, 1)) + 0.3 * draw.normal(size=(n, SIDE, SIDE))
    values = x if dtype == "float64" else np.clip(np.rint(60 * x + 128), 0, 255)
    return data.load(Dataset(values.astype(dtype), "image", source="made"))


def fitted(folder: Path, autoencoder: Any, dataset: Dataset | None = None, **settings: Any) -> TrainedModel:
    dataset = pictures() if dataset is None else dataset
    for _ in fit.fit(dataset, folder, settings={**QUICK, **settings}, size="small", autoencoder=autoencoder):
        pass
    given = autoencoder if isinstance(autoencoder, nn.Module) else None
    return TrainedModel.load(folder, autoencoder=given)


# ------------------------------------------------------------------------------------------------------ exactness


@pytest.mark.parametrize("scale", [0.25, 3.0])
def test_the_density_of_latents_is_that_of_pixels_less_the_autoencoders_log_det(scale: float) -> None:
    """log p(z) = log p(x) - d log(scale), to the integration's error, where z = scale Q x and x is Gaussian."""
    d = SIDE * SIDE
    root = torch.randn(d, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 2
    law = Gaussian(torch.linspace(-1, 1, d).double(), root @ root.T + torch.eye(d).double())
    module = Rotation(scale)
    turned = module.encode(law.mean.reshape(1, 1, SIDE, SIDE))[0]
    covariance = module.Q @ law.covariance @ module.Q.T
    std = covariance.diagonal().sqrt()
    codec = LatentCodec(PIXELS, Autoencoder(module), tuple(turned.tolist()), tuple(std.tolist()))
    encoded = covariance / std / std[:, None]
    network = ExactNetwork(Gaussian(torch.zeros(d).double(), encoded), EDM_F, 1.0)
    network.place = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    exact = Denoiser(network, EDM_F, sigma_min=1e-4, sigma_max=200.0)
    model = TrainedModel(exact.eval(), codec, mean=torch.zeros(d).double(), covariance=encoded)
    x = law.sample(6, seed=2)
    found = model.log_density(x.reshape(-1, SIDE, SIDE).numpy(), tolerance=1e-6)
    wanted = law.log_density(x) - d * math.log(scale)
    torch.testing.assert_close(found.value, wanted, atol=2e-4, rtol=0)
    assert repr(found).startswith("LatentLogDensity(6 points, mean ") and " nats of the latent, " in repr(found)


@pytest.mark.parametrize("sizes", [(), (4,), (4, 4), (2, 4, 2)], ids=str)
def test_latents_come_back_from_their_standardisation(sizes: tuple[int, ...]) -> None:
    """Exactly, to float32's rounding; every channel has mean 0 and deviation 1 over the training rows."""
    dataset, module = pictures(), Rotation(5.0, sizes=sizes)
    cut = np.arange(70), np.arange(70, 80)
    codec, x, held = latents.latent_rows(dataset, cut, opened(module))
    z = codec.latents(dataset.records)
    assert codec.shape == tuple(z.shape[1:]) == ((16 // math.prod(sizes)), *sizes)
    back = codec.unstandardised(codec.standardised(z))
    biggest = z.abs().amax() + torch.tensor(codec.mean).abs().max()
    assert float((back - z).abs().max()) <= 2**-23 * float(biggest)
    whole = torch.as_tensor(x[:]).double().movedim(1, 0).flatten(1)
    torch.testing.assert_close(whole.mean(1), torch.zeros(len(whole)).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(whole.std(1, correction=0), torch.ones(len(whole)).double(), atol=1e-6, rtol=0)
    assert torch.equal(torch.as_tensor(held[:]), codec.encode(dataset.records[70:]))
    np.testing.assert_allclose(codec.decode(codec.encode(dataset.records)), dataset.records, atol=1e-5)
    slope = np.broadcast_to(codec.slope, codec.shape)
    np.testing.assert_allclose(codec.log_det(dataset.records[:2]).numpy(), np.log(slope).sum(), rtol=1e-12)


def test_latents_that_are_not_kept_are_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, cut = pictures(), (np.arange(0, 80, 2), np.arange(1, 80, 2))
    codec, x, held = latents.latent_rows(dataset, cut, opened(Rotation()))
    monkeypatch.setattr(latents, "KEPT", 0)
    lazy_codec, lazy, lazy_held = latents.latent_rows(dataset, cut, opened(Rotation()))
    assert not isinstance(lazy, Tensor) and (lazy_codec.mean, lazy_codec.std) == (codec.mean, codec.std)
    index = torch.tensor([5, 0, 3])
    torch.testing.assert_close(lazy[index], x[index])
    torch.testing.assert_close(lazy_held[:], held[:])


def test_one_picture_is_encoded_as_among_others() -> None:
    codec = LatentCodec(
        ImageCodec(9, 10, 3, mean=100.0, std=40.0, levels=256, dtype="uint8"),
        Autoencoder(Convolutional(3, width=16), factor=4, channels=3), (0.0,) * 4, (1.0,) * 4, (3, 3),
    )  # fmt: skip
    many = np.random.default_rng(0).integers(0, 256, (7, 9, 10, 3), dtype=np.uint8)
    z = codec.encode(many)
    assert z.shape == (7, 4, 3, 3) and codec.decode(z).shape == many.shape
    torch.testing.assert_close(codec.encode(many[2:3]), z[2:3])
    assert codec.encode(many[:0]).shape == (0, 4, 3, 3) and codec.decode(z[:0]).shape == (0, 9, 10, 3)


# ---------------------------------------------------------------------------------------------------- fit and load


def test_a_latent_of_one_number(tmp_path: Path) -> None:
    def mean(x: Tensor) -> Tensor:
        return x.mean((1, 2, 3))[:, None]

    module = Answers(mean, lambda z: z.reshape(-1, 1, 1, 1).expand(-1, 1, SIDE, SIDE))
    model = fitted(tmp_path / "run", module)
    assert model.codec.shape == (1,)
    new = model.sample(5, steps=3)
    assert new.shape == (5, SIDE, SIDE) and np.ptp(new, axis=(1, 2)).max() == 0
    assert model.log_density(new[:2], evaluations=20).value.shape == (2,)


def test_a_module_is_handed_over_again_and_known_again(tmp_path: Path) -> None:
    model = fitted(tmp_path / "run", Rotation())
    with pytest.raises(ValueError, match="autoencoder=module"):
        TrainedModel.load(tmp_path / "run")
    with pytest.raises(ValueError, match="another autoencoder"):
        TrainedModel.load(tmp_path / "run", autoencoder=Rotation(2.0))
    other = Rotation()
    other.scale = 2.0  # no weight tells it, the answers do
    with pytest.raises(ValueError, match="another autoencoder"):
        TrainedModel.load(tmp_path / "run", autoencoder=other)
    with pytest.raises(TypeError, match="encode and decode"):
        opened(nn.Linear(1, 1))
    model.save(tmp_path / "copy")
    again = TrainedModel.load(tmp_path / "copy", autoencoder=Rotation())
    assert np.array_equal(again.sample(3, steps=3), model.sample(3, steps=3))


def test_a_module_stays_in_its_mode(tmp_path: Path) -> None:
    module = nn.Sequential()
    module.add_module("drop", nn.Dropout())
    module.encode = lambda x: module.drop(x).flatten(1)  # type: ignore[assignment]
    module.decode = lambda z: z.reshape(-1, 1, SIDE, SIDE)  # type: ignore[assignment]
    module.train()
    codec, x, _ = latents.latent_rows(pictures(), (np.arange(70), np.arange(70, 80)), opened(module))
    assert module.training and module.drop.training
    np.testing.assert_allclose(codec.decode(torch.as_tensor(x[:])), pictures().records[:70], atol=1e-5)


@pytest.mark.parametrize("form", ["module", "folder"])
def test_resuming_equals_never_having_stopped(tmp_path: Path, form: str, folder_of_one: Path) -> None:
    dataset = pictures() if form == "module" else pictures(dtype="uint8")
    by: Any = Rotation() if form == "module" else folder_of_one
    whole = fitted(tmp_path / "whole", by, dataset)
    loop = fit.fit(
        dataset, tmp_path / "parts", settings={**QUICK, "checkpoint_every": 1e-6}, size="small", autoencoder=by
    )
    next(loop), next(loop)
    loop.close()
    for _ in fit.fit(dataset, tmp_path / "parts", size="small", autoencoder=by, resume=True):
        pass
    parts = TrainedModel.load(tmp_path / "parts", autoencoder=by if form == "module" else None)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, parts.model.state_dict()[name]), name
    assert whole.codec.to_json() == parts.codec.to_json()
    for other in (Rotation(2.0), None):
        with pytest.raises(ValueError, match="another autoencoder"):
            list(fit.fit(dataset, tmp_path / "parts", size="small", autoencoder=other, resume=True))


REFUSED: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "NaN": (lambda x: x.flatten(1) * math.nan, "NaN or infinite"),
    "rows": (lambda x: x.flatten(1)[:0], r"shape \(0, 16\) for 1 of them, expected a latent for each"),
    "no axis": (lambda x: x.sum((1, 2, 3)), r"shape \(1,\)"),
    "axes": (lambda x: x[..., None, None, None], "at most three"),
    "tuple": (lambda x: (x, x), "gave tuple, expected a tensor"),
    "codes": (lambda x: x.long(), "int64"),
    "error": (lambda x: x @ torch.zeros(7, 7), "cannot encode what has the shape"),
    "random": (lambda x: x + torch.rand(1).double(), "two answers"),
    "constant": (lambda x: torch.cat([x, 0 * x], 1), "channel 2 of the latents is 0 in every picture"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_no_latent_is_refused(tmp_path: Path, fault: str) -> None:
    encode, said = REFUSED[fault]
    with pytest.raises(ValueError, match=said):
        fitted(tmp_path / "run", Answers(encode))


def test_latents_that_change_their_shape_are_refused() -> None:
    module = Answers(lambda x: x.flatten(1)[:, : 16 if len(x) > 1 else 4])
    codec = LatentCodec(PIXELS, Autoencoder(module), (0.0,) * 16, (1.0,) * 16)
    with pytest.raises(ValueError, match=r"shape \(1, 4\), expected \(n, 16\)"):
        codec.encode(pictures().records[:1])
    wrong = replace(codec, autoencoder=Autoencoder(Answers(lambda x: x.flatten(1), lambda z: z.reshape(-1, 1, 2, 8))))
    with pytest.raises(ValueError, match=r"decode of the autoencoder gave the shape .* expected \(n, 1, 4, 4\)"):
        wrong.decode(torch.zeros(2, 16))
    with pytest.raises(ValueError, match="NaN latents"):
        codec.decode(torch.full((1, 16), math.nan))


def test_other_data_than_pictures_are_refused(tmp_path: Path, folder_of_one: Path) -> None:
    with pytest.raises(DataError, match="for pictures"):
        list(fit.fit("ring", tmp_path / "run", autoencoder=Rotation()))
    with pytest.raises(ValueError, match="no density of pixels"):
        list(fit.fit(pictures(), tmp_path / "run", autoencoder=Rotation(), dequantise=True))
    with pytest.raises(ValueError, match="trained on pictures of whole numbers, got floats"):
        fitted(tmp_path / "run", folder_of_one)
    colour = Dataset(np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8), "image")
    with pytest.raises(ValueError, match=r"takes pictures of 1 channel\(s\), got 3"):
        fitted(tmp_path / "run", folder_of_one, colour)
    with pytest.raises(ValueError, match="holds no autoencoder"):
        fitted(tmp_path / "run", tmp_path)


# ------------------------------------------------------------------------------------------- one that is trained here


@pytest.fixture(scope="module")
def folder_of_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An autoencoder of grey bytes, trained for a few steps."""
    folder = tmp_path_factory.mktemp("autoencoder") / "ae"
    for _ in autoencode(pictures(dtype="uint8"), folder, settings={"steps": 100, "batch": 16}, factor=2, latent=2):
        pass
    return folder


@pytest.mark.parametrize("factor", FACTORS)
def test_a_convolutional_autoencoder_takes_any_size(factor: int) -> None:
    net = Convolutional(2, latent=3, factor=factor, width=8)
    x = torch.randn(2, 2, 3 * factor, factor)
    z = net.encode(x)
    assert z.shape == (2, 3, 3, 1) and net.decode(z).shape == x.shape
    torch.testing.assert_close(net.encode(x[:1]), z[:1])
    odd = torch.randn(2, 2, 2 * factor + 1, 5)
    assert net(odd, torch.zeros(2, 10**4))[1].shape == odd.shape
    with pytest.raises(ValueError, match=f"multiples of {factor}"):
        net.encode(torch.randn(2, 2, factor, factor + 1))
    with pytest.raises(ValueError, match="one of 2, 4, 8, 16"):
        Convolutional(1, factor=3)


def test_the_loss_is_that_of_its_formula() -> None:
    net, draws = Convolutional(1, latent=2, width=8), torch.randn(3, 1, 8, 8)
    x = torch.randn(3, 1, 8, 8)
    found = Reconstruction(0.5, 0.25)(net, x, Draws(draws, torch.rand(3), torch.arange(3)))
    z = net.encode(x)
    y = net.decode(z + 0.5 * draws.flatten(1)[:, :8].reshape(z.shape))
    torch.testing.assert_close(found, (x - y).square().sum((1, 2, 3)) + 0.25 * z.square().sum((1, 2, 3)))


def test_a_trained_autoencoder_is_better_than_the_mean_and_a_run_holds_it(tmp_path: Path, folder_of_one: Path) -> None:
    error = held_out_error(folder_of_one)
    assert error.share < 1 and error.compression == 2 and error.latent == (2, 2, 2)
    model = fitted(tmp_path / "run", str(folder_of_one), pictures(dtype="uint8"))
    held = opened(folder_of_one)
    codec = model.codec
    assert isinstance(codec, LatentCodec) and codec.autoencoder.fingerprint() == held.fingerprint()
    for name, value in held.weights().items():
        assert torch.equal(value, codec.autoencoder.weights()[name])
    with pytest.raises(ValueError, match="holds its autoencoder"):
        TrainedModel.load(tmp_path / "run", autoencoder=Rotation())
    pixels = tmp_path / "pixels"
    list(fit.fit(pictures(), pixels, settings=QUICK, size="small"))
    with pytest.raises(ValueError, match="without an autoencoder"):
        TrainedModel.load(pixels, autoencoder=Rotation())


def test_an_autoencoder_that_is_stopped_and_resumed_is_the_same(tmp_path: Path) -> None:
    dataset, kinds = pictures(dtype="uint8"), {"factor": 2, "latent": 2}
    list(autoencode(dataset, tmp_path / "whole", settings=QUICK, **kinds))
    loop = autoencode(dataset, tmp_path / "parts", settings={**QUICK, "checkpoint_every": 1e-6}, **kinds)
    next(loop), next(loop)
    loop.close()
    list(autoencode(dataset, tmp_path / "parts", resume=True, **kinds))
    whole, parts = (opened(tmp_path / name) for name in ("whole", "parts"))
    assert whole.fingerprint() == parts.fingerprint()
    with pytest.raises(ValueError, match="latent = 2, not 3"):
        list(autoencode(dataset, tmp_path / "parts", resume=True, factor=2, latent=3))


def test_an_autoencoder_that_does_not_compress_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not compress"):
        list(autoencode(pictures(), tmp_path / "ae", settings=QUICK, factor=2, latent=4))
    with pytest.raises(DataError, match="for pictures"):
        list(autoencode("iris", tmp_path / "ae", settings=QUICK))
    with pytest.raises(ValueError, match="1 to 1,024"):
        list(autoencode(pictures(), tmp_path / "ae", settings=QUICK, latent=0))


EDITS: dict[str, tuple[tuple[str, ...], object]] = {
    "form": (("autoencoder", "form"), "pickle"),
    "width": (("autoencoder", "config", "width"), 10**9),
    "channels": (("codec", "mean"), [0.0]),
    "images": (("codec", "images", "kind"), "grid"),
    "own images": (("autoencoder", "images"), None),
    "std": (("codec", "std"), [1.0, -1.0]),
    "sizes": (("codec", "sizes"), ["a"]),
    "none": (("autoencoder",), None),
}


@pytest.mark.parametrize("name", EDITS)
def test_no_value_of_a_run_of_latents_is_believed(tmp_path: Path, folder_of_one: Path, name: str) -> None:
    fitted(tmp_path / "run", folder_of_one, pictures(dtype="uint8"))
    path = tmp_path / "run" / "model.json"
    header = json.loads(path.read_text())
    keys, value = EDITS[name]
    part = header
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    path.write_text(json.dumps(header))
    with pytest.raises(ValueError, match=r"model\.json cannot be read"):
        TrainedModel.load(tmp_path / "run")


# ----------------------------------------------------------------------------------------------- the command line


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, folder_of_one: Path) -> Path:
    """A run of latents of pictures in a file, beside it."""
    folder = tmp_path_factory.mktemp("latent")
    np.savez(folder / "pictures.npz", pictures(120, "uint8").records)
    list(fit.fit(str(folder / "pictures.npz"), folder / "run", settings=QUICK, size="small", held_share=0.4,
                 autoencoder=folder_of_one))  # fmt: skip
    return folder


def test_commands_of_a_run_of_latents(scorefield: Command, made: Path, tmp_path: Path) -> None:
    code, _, err = scorefield("sample", made / "run", "-n", 5, "-o", tmp_path / "new.npz", "--steps", 2)
    assert code == 0, err
    new = data.load(made / "pictures.npz")
    assert new.records.dtype == np.uint8
    assert scorefield("sample", made / "run", "-n", 5, "-o", tmp_path / "new.png", "--steps", 2)[0] == 0
    code, out, _ = scorefield("info", made / "run")
    assert code == 0 and "4 x 4 as latents of 2 x 2 x 2, 2 numbers to 1; densities are of latents, in nats" in out
    assert "image of shape 1 x 4 x 4" in out
    words = ("--json", tmp_path / "f.json", "--report", tmp_path / "r.html", "--steps", 2)
    code, out, err = scorefield("evaluate", made / "run", made / "pictures.npz", *words)
    assert code == 0 and "decoded : real" in out and "The autoencoder: 16 numbers of a picture as 2 x 2 x 2" in out, err
    figures = json.loads((tmp_path / "f.json").read_text())
    assert [f["name"] for f in figures["decoded"]] == [f["name"] for f in figures["figures"]][: len(figures["decoded"])]
    page = (tmp_path / "r.html").read_text()
    assert "decoded against real" in page and "<h2>Denoising" not in page and "<h2>Copies?" in page
    assert scorefield("calibrate", made / "run", "--steps", 2, "--no-search", "--quiet")[0] == 0
    assert list(TrainedModel.load(made / "run").plans) == [2]


def test_what_latents_cannot_answer_is_one_sentence(scorefield: Command, made: Path, tmp_path: Path) -> None:
    model = TrainedModel.load(made / "run")
    records = data.load(made / "pictures.npz").records[:2]
    for ask, said in (
        (lambda: model.bits_per_dim(records), "density of latents alone"),
        (lambda: model.score(records, 0.5), "noise of this run is on latents"),
        (lambda: model.denoise(records, 0.5), "noise of this run is on latents"),
        (lambda: model.add_noise(records, 0.5), "noise of this run is on latents"),
    ):
        with pytest.raises(ValueError, match=said):
            ask()
    picture = tmp_path / "one.png"
    data.write(picture, records[:1])
    for words, said in (
        (("restore", made / "run", picture, "--operator", "blur=1", "--noise", 1, "-o", tmp_path / "y"), "of latents"),
        (("forecast", made / "run", made / "pictures.npz", "-o", tmp_path / "y.csv"), "runs of series"),
        (("density", made / "run", made / "pictures.npz", "-o", tmp_path / "y.csv"), "for a table only"),
        (("fit", "iris", "-o", tmp_path / "run", "--autoencoder", made / "run"), "no option --autoencoder"),
        (("fit", "digits", "-o", tmp_path / "run", "--autoencoder", made / "run"), "holds no autoencoder"),
        (("autoencode", "digits", "-o", tmp_path / "ae", "--image-size", 4), "has no option --image-size"),
    ):
        code, out, err = scorefield(*words)
        assert code == 2 and out == "" and err.count("\n") == 1 and said in err, err


def test_autoencode_says_what_it_costs(scorefield: Command, made: Path, tmp_path: Path) -> None:
    words = ("autoencode", made / "pictures.npz", "-o", tmp_path / "ae", "--factor", 2, "--channels", 2, "--quiet")
    code, out, err = scorefield(*words, "--steps", 3)
    assert code == 0, err
    assert "Held out: 16 numbers of a picture as 2 x 2 x 2 of a latent, 2 to 1; 12 pictures" in out
    code, out, err = scorefield(*words, "--steps", 5, "--resume")
    assert code == 0 and "trained 5 steps" in out, err
    assert scorefield(*words, "--steps", 5)[0] == 2


def test_the_figures_of_an_exact_autoencoder_are_those_of_real_pictures(tmp_path: Path) -> None:
    """Where nothing is lost, decoded training pictures are as far from held-out ones as real ones are."""
    dataset = pictures(400)
    model = fitted(tmp_path / "run", Rotation(), dataset)
    found = evaluate.evaluate(model, dataset, steps=2)
    by_name = {f.name: f for f in found.decoded}
    assert "are off by" in found.note and "2 to 1" not in found.note
    alone = evaluate.evaluate(model, pictures(50), steps=2)  # the training records are not at hand
    assert not alone.decoded and "are off by" in alone.note and "No figures of decoded pictures" in alone.note
    c2st = by_name["C2ST accuracy"]
    assert c2st.error is not None and abs(c2st.value - 0.5) < 4 * max(c2st.error, 0.03)


# ------------------------------------------------------------------------------------------------------- diffusers


@pytest.fixture(scope="module")
def kl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small AutoencoderKL, untrained, in a folder as diffusers writes it."""
    import diffusers

    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    module = diffusers.AutoencoderKL(
        in_channels=1, out_channels=1, **blocks, block_out_channels=(8, 8), norm_num_groups=4, latent_channels=3,
        scaling_factor=0.5, shift_factor=0.25,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("diffusers") / "vae"
    module.save_pretrained(folder)
    return folder


def test_an_autoencoder_of_diffusers(tmp_path: Path, kl: Path) -> None:
    """Its latents are the means, shifted and scaled; a run holds it, and needs the folder no more."""
    import diffusers

    dataset = pictures(dtype="uint8")
    model = fitted(tmp_path / "run", kl, dataset)
    codec = model.codec
    assert isinstance(codec, LatentCodec) and codec.shape == (3, 2, 2)
    theirs = diffusers.AutoencoderKL.from_pretrained(kl).eval()
    x = torch.from_numpy(dataset.records[:5].astype(np.float32) / 127.5 - 1)[:, None]
    with torch.no_grad():
        z = (theirs.encode(x).latent_dist.mean - 0.25) * 0.5
        y = theirs.decode(z / 0.5 + 0.25).sample
    torch.testing.assert_close(codec.latents(dataset.records[:5]), z)
    np.testing.assert_allclose(codec.decode_floats(codec.standardised(z)), (127.5 * y[:, 0] + 127.5), atol=1e-2)
    assert model.sample(2, steps=2).shape == (2, SIDE, SIDE)
    assert opened(theirs).fingerprint() == opened(kl).fingerprint() == codec.autoencoder.fingerprint()


def test_a_damaged_folder_of_diffusers_is_one_sentence(tmp_path: Path, kl: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel"}))
    with pytest.raises(ValueError, match=r"is of 'UNet2DModel', expected an AutoencoderKL"):
        opened(tmp_path)
    (tmp_path / "config.json").write_text((kl / "config.json").read_text())
    with pytest.raises(ValueError, match="safetensors: no such file; the folder is not whole"):
        opened(tmp_path)
    content = (kl / "diffusion_pytorch_model.safetensors").read_bytes()
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="cannot be read as an AutoencoderKL"):
        opened(tmp_path)
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(content)
    config = json.loads((kl / "config.json").read_text()) | {"use_post_quant_conv": False}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="2 weights are not those of the AutoencoderKL"):
        opened(tmp_path)


def test_without_diffusers_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"}))
    with pytest.raises(ValueError, match=r"pip install 'diffusers>=0\.36'"):
        opened(tmp_path)
