"""Models as files for other programs: what onnxruntime and torch.export answer is what the model answers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from torch import Tensor

from scorefield import Denoiser, Energy, Settings, TrainedModel, TrainedTable, fit_frame, nets
from scorefield.core import Level
from scorefield.data import load
from scorefield.interop.export import METADATA, export_model, graph_of
from scorefield.numerics.random import normal, uniform
from scorefield.plans import ancestral
from scorefield.records.array_codec import ArrayCodec
from scorefield.records.autoencoder import Autoencoder
from scorefield.records.codec import fit_codec
from scorefield.records.convolutional import Convolutional
from scorefield.records.grid_codec import GridCodec
from scorefield.records.image_codec import ImageCodec
from scorefield.records.latent_codec import LatentCodec
from scorefield.tables.impute import complete
from scorefield.tables.objective import gated

ROOT = Path(__file__).parent.parent
FOLDERS = [str(ROOT).encode(), str(Path(torch.__file__).parent).encode()]
"""Of the machine that writes a file, whose reader need not know them."""
CLOSE = 1e-5  # of the size of the answer: about a hundred roundings of float32


HALF = ImageCodec(3, 4, 1, mean=0.4, std=0.3, dtype="float32", channel_axis=False)  # of an odd height
DIGITS = ImageCodec(4, 4, 1, mean=5.0, std=6.0, levels=17, dtype="uint8", channel_axis=False)
IRIS = fit_codec(load("iris"))
MODELS: dict[str, Callable[[], TrainedModel]] = {
    "array": lambda: learned(Denoiser(nets.ResidualMLP(4, width=16, depth=1)), IRIS),
    "energy": lambda: learned(Energy(nets.ScalarMLP(4, width=16, depth=1, classes=2)), IRIS),
    "images": lambda: learned(Denoiser(nets.UNet((4, 4), base=8, blocks=1, patch=2)), HALF),
    "transformer": lambda: learned(Denoiser(nets.PatchTransformer((4, 4), width=16, depth=1, patch=2)), HALF),
    "classes": lambda: learned(Denoiser(nets.UNet((4, 4), base=8, blocks=1, classes=3)), DIGITS),
}


def learned(model: Denoiser | Energy, codec: Any) -> TrainedModel:
    """A model whose weights are not those of no training, where whole layers are 0."""
    with torch.no_grad():
        for k, weight in enumerate(model.parameters()):
            weight += 0.02 * normal(1, weight.shape, k, "weights")[0]
    return TrainedModel(model.eval(), codec, frequencies=(1.0,) * model.classes if model.classes else None)


def answers(path: Path, inputs: dict[str, Tensor]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {name: value.numpy() for name, value in inputs.items()})


def apart(found: Any, expected: Any) -> float:
    """The greatest difference, over the greatest value."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def noised(model: TrainedModel, n: int) -> dict[str, Tensor]:
    """Points at levels over the whole range, with classes where there are some."""
    own = model.model
    ends = torch.tensor([own.sigma_min, own.sigma_max]).log()
    sigma = torch.linspace(float(ends[0]), float(ends[1]), n).exp().clamp(own.sigma_min, own.sigma_max)
    x = normal(n, model.codec.shape, 3, "points")
    x = x * sigma.reshape(-1, *[1] * (x.ndim - 1)) + normal(n, model.codec.shape, 4, "points")
    given = {"condition": torch.arange(n) % (own.classes + 1)} if own.classes else {}
    return {"x": x, "sigma": sigma, **given}


@pytest.mark.parametrize("name", MODELS)
def test_the_denoiser_answers_as_the_model(name: str, tmp_path: Path) -> None:
    model, path = MODELS[name](), tmp_path / "model.onnx"
    written = export_model(model, path)
    for n in (1, 9):
        inputs = noised(model, n)
        level = Level(torch.ones(n), inputs["sigma"])
        with torch.no_grad():
            expected = model.model(inputs["x"], level, inputs.get("condition"))
        for found, one in zip(answers(path, inputs), expected, strict=True):
            assert apart(found, one) < CLOSE
    assert written.difference < CLOSE and f"{path}: denoiser, x (n, " in str(written)
    assert not any(name in path.read_bytes() for name in FOLDERS)
    session = onnxruntime.InferenceSession(str(path))
    about = json.loads(session.get_modelmeta().custom_metadata_map[METADATA])
    assert about["codec"] == model.codec.to_json() and about["sigma_max"] == model.model.sigma_max
    assert about["classes"] == model.model.classes and about["format"] == "scorefield export"
    assert session.get_inputs()[0].shape == ["n", *model.codec.shape] and session.get_inputs()[1].shape == ["n"]
    assert [v.name for v in session.get_outputs()] == ["x0", "eps"]


@pytest.mark.parametrize("name", ["energy", "images", "classes"])
def test_the_sampler_draws_as_the_model_does_in_the_users_units(name: str, tmp_path: Path) -> None:
    model, path, steps = MODELS[name](), tmp_path / "sampler.onnx", 3
    export_model(model, path, steps)
    assert_the_network_is_written_once(path, model, steps)
    inputs = {"noise": normal(6, model.codec.shape, 0, "start")}
    given = model.conditions(6)
    (found,) = answers(path, inputs if given is None else {**inputs, "condition": given})
    expected = model.sample(6, steps=steps, seed=0)
    if name == "classes":
        inputs = {"noise": torch.full((1, 1, 4, 4), float("nan")), "condition": torch.tensor([3])}
        assert np.isnan(answers(path, inputs)[0]).all()  # which bytes could not show
    if name == "classes":  # grey levels: equal but where an answer lies within rounding of the middle of two
        assert (found != expected).mean() < 1e-2 and np.abs(found - expected).max() <= 1
    else:
        assert apart(found, expected) < CLOSE
    assert found.shape == expected.shape


def assert_the_network_is_written_once(path: Path, model: TrainedModel, steps: int) -> None:
    """Its weights stand in the file once, its nodes once a step, and nothing that a program would have to know."""
    content = onnx.load(path)
    assert not content.functions and {node.domain for node in content.graph.node} <= {"", "ai.onnx"}
    weights = sum(int(np.prod(v.dims)) for v in content.graph.initializer if v.name.startswith("network."))
    copies = 2 if isinstance(model.model, Energy) else 1  # a gradient takes them transposed, too
    assert weights <= 1.2 * copies * sum(v.numel() for v in model.model.parameters()) + 100
    kinds = Counter(node.op_type for node in content.graph.node)
    assert all(kinds[name] % steps == 0 for name in ("Gemm", "Conv", "Sigmoid", "MatMul"))


def test_a_sampler_of_an_energy_is_torchs_own_program_too(tmp_path: Path) -> None:
    model, steps = MODELS["energy"](), 2
    export_model(model, tmp_path / "m.pt2", steps)
    found = torch.export.load(tmp_path / "m.pt2").module()(normal(6, (4,), 0, "start"), model.conditions(6))[0]
    assert apart(found.detach(), model.sample(6, steps=steps, seed=0)) < CLOSE


def untrained(codec: Any, classes: int = 0) -> TrainedModel:
    network = nets.ResidualMLP(codec.shape[0], width=16, depth=1, classes=classes)
    return TrainedModel(Denoiser(network).eval(), codec)


def test_the_noise_of_a_stochastic_plan_is_an_input(tmp_path: Path) -> None:
    model = untrained(IRIS)
    plan = ancestral(model.plan(2).levels)
    model = TrainedModel(model.model, model.codec, {2: plan})
    written = export_model(model, tmp_path / "a.onnx", 2)
    rows = [k for k, c in enumerate(plan.c.tolist()) if c]
    assert written.inputs == {"noise": (4,), "fresh": (len(rows), 4)} and 0 < len(rows) <= 2
    fresh = torch.stack([normal(5, (4,), 0, "plan", row=k) for k in rows], 1)
    inputs = {"noise": normal(5, (4,), 0, "start"), "fresh": fresh}
    assert apart(answers(tmp_path / "a.onnx", inputs)[0], model.sample(5, steps=2, seed=0)) < CLOSE


def test_guidance_is_part_of_a_sampler(tmp_path: Path) -> None:
    model = learned(Denoiser(nets.ResidualMLP(4, width=16, depth=1, classes=3)), IRIS)
    condition = torch.arange(6) % 3
    inputs = {"noise": normal(6, (4,), 0, "start"), "condition": condition}
    plain = model.sample(6, steps=2, seed=0, condition=condition)
    for scale in (0.0, 2.5):
        written = export_model(model, tmp_path / "g.onnx", 2, guidance=scale)
        wanted = model.sample(6, steps=2, seed=0, condition=condition, guidance=scale)
        assert apart(answers(tmp_path / "g.onnx", inputs)[0], wanted) < CLOSE < apart(plain, wanted)
        assert written.about["guidance"] == scale
    for source, steps, said in ((model, None, "give steps"), (untrained(IRIS), 2, "knows none")):
        with pytest.raises(ValueError, match=said):
            export_model(source, tmp_path / "x.onnx", steps, guidance=2.0)
    with pytest.raises(ValueError, match="guidance"):
        export_model(model, tmp_path / "x.onnx", 2, guidance=float("nan"))


def test_what_the_model_does_not_know_is_nan(tmp_path: Path) -> None:
    model = untrained(IRIS, classes=3)
    export_model(model, tmp_path / "m.onnx")
    low, high = model.model.sigma_min, model.model.sigma_max
    sigma = torch.tensor([low / 2, low, 1.0, high, high * 2, 1.0, 1.0, 1.0, float("nan")])
    condition = torch.tensor([0, 0, 3, 1, 1, -1, 4, 2, 0])
    for found in answers(tmp_path / "m.onnx", {"x": torch.ones(9, 4), "sigma": sigma, "condition": condition}):
        assert np.isnan(found).all(1).tolist() == [True, False, False, False, True, True, True, False, True]
        assert not np.isnan(found[[1, 2, 3, 7]]).any()


def test_rounding_is_the_codecs(tmp_path: Path) -> None:
    whole = ArrayCodec(("a", "b"), (5.0, 0.0), (3.0, 1.0), (2.0, 0.0))
    export_model(untrained(whole), tmp_path / "w.onnx", 1)
    noise = normal(200, (2,), 0, "start")
    (found,) = answers(tmp_path / "w.onnx", {"noise": noise})
    assert apart(found, untrained(whole).sample(200, steps=1, seed=0)) < CLOSE
    assert found.dtype == np.float64 and (found[:, 0] % 2 == 0).all()
    bad = answers(tmp_path / "w.onnx", {"noise": torch.full((1, 2), float("nan"))})[0]
    assert np.isnan(bad).all()


def test_series_of_several_channels(tmp_path: Path) -> None:
    codec = GridCodec((6,), mean=(1.0, -2.0), std=(3.0, 0.5))
    model = TrainedModel(Denoiser(nets.UNet((6,), channels=2, base=8, blocks=1, patch=2)).eval(), codec)
    export_model(model, tmp_path / "s.onnx", 1)
    (found,) = answers(tmp_path / "s.onnx", {"noise": normal(3, (2, 6), 0, "start")})
    assert found.shape == (3, 6, 2) and apart(found, model.sample(3, steps=1, seed=0)) < CLOSE


def test_a_network_of_double_precision_stays_so(tmp_path: Path) -> None:
    model = untrained(IRIS)
    model.model.double()
    export_model(model, tmp_path / "d.pt2")
    x, sigma = torch.ones(3, 4, dtype=torch.float64), torch.full((3,), 0.5, dtype=torch.float64)
    x0, eps = torch.export.load(tmp_path / "d.pt2").module()(x, sigma)
    assert x0.dtype == torch.float64 and torch.allclose(x0 + 0.5 * eps, x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [None, 2])
def test_torchs_own_program_answers_as_the_model(steps: int | None, tmp_path: Path) -> None:
    model = MODELS["classes"]()
    export_model(model, tmp_path / "m.pt2", steps)
    extra = {f"{METADATA}.json": ""}
    module = torch.export.load(tmp_path / "m.pt2", extra_files=extra).module()
    assert not any(name in (tmp_path / "m.pt2").read_bytes() for name in FOLDERS)  # stored, not deflated
    about = json.loads(extra[f"{METADATA}.json"])
    assert about["what"] == ("denoiser" if steps is None else "sampler")
    if steps is None:
        inputs = noised(model, 5)
        with torch.no_grad():
            expected = model.model(inputs["x"], Level(torch.ones(5), inputs["sigma"]), inputs["condition"])
        assert apart(module(*inputs.values())[1].detach(), expected.eps) < CLOSE
    else:
        found = module(normal(6, model.codec.shape, 0, "start"), model.conditions(6))[0].detach().numpy()
        assert (found != model.sample(6, steps=steps, seed=0)).mean() < 1e-2


# ------------------------------------------------------------------------------------------------------------- tables


def frame() -> pd.DataFrame:
    """Three numbers, one with holes, and two codes that hang together."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, 600)
    x = rng.normal(size=(600, 3)) + 2 * kind[:, None]
    x[:40, 2] = np.nan
    columns = {"a": x[:, 0], "b": np.exp(x[:, 1]), "c": x[:, 2], "kind": np.array(["x", "y", "z"])[kind]}
    return pd.DataFrame({**columns, "same": np.where(rng.random(600) < 0.9, kind % 2, 1 - kind % 2).astype(bool)})


def with_atoms() -> pd.DataFrame:
    """Two numbers, of which one is not there in every row, and codes."""
    return frame().drop(columns=["b", "same"]).assign(c=lambda f: f["c"].where(np.arange(600) % 2 > 0, 0.0))


@pytest.fixture(scope="module")
def whole_rows() -> TrainedTable:
    made = fit_frame(frame(), settings=Settings(steps=60))
    assert made.layout.codes == 2 and made.model.code_table is not None
    return made


@pytest.fixture(scope="module")
def rows_in_part() -> TrainedTable:
    made = fit_frame(with_atoms(), settings=Settings(steps=60))
    assert any(gate >= 0 for gate in made.layout.gates)
    return made


def asked(table: TrainedTable, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Noised numbers, levels over the whole range, and codes of which some are unknown."""
    sigma = torch.logspace(-2.5, 1.2, n, dtype=torch.float64)
    x = normal(n, (table.layout.numbers,), 1, "x", dtype=torch.float64) * (1 + sigma[:, None])
    codes = torch.stack([torch.arange(n) % size for size in table.codec.sizes], 1).double()
    codes[2::3], codes[1::3, -1] = float("nan"), float("nan")
    return x, sigma, codes


def answered(table: TrainedTable, x: Tensor, sigma: Tensor, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """By the model."""
    given = gated(torch.cat([torch.full_like(x, float("nan")), codes], 1), table.layout.numbers, table.layout.gates)
    with torch.no_grad():
        expected = table.model(x, Level(torch.ones_like(sigma), sigma), given)
        logs = table.model.log_codes(torch.cat([torch.full_like(x, float("inf")), codes], 1))
    return (*expected, torch.cat(logs, 1))


def test_a_tables_denoiser_answers_as_the_model(whole_rows: TrainedTable, tmp_path: Path) -> None:
    export_model(whole_rows, tmp_path / "t.onnx")
    question = asked(whole_rows, 12)
    found = answers(tmp_path / "t.onnx", dict(zip(("x", "sigma", "codes"), question, strict=True)))
    for one, other in zip(found, answered(whole_rows, *question), strict=True):
        assert apart(one, other) < CLOSE


def test_a_table_with_atoms_has_a_graph_that_answers_as_the_model(rows_in_part: TrainedTable) -> None:
    question = asked(rows_in_part, 24)
    for one, other in zip(graph_of(rows_in_part).module(*question), answered(rows_in_part, *question), strict=True):
        assert apart(one, other) < 1e-9


@pytest.mark.parametrize("kind", ["whole_rows", "rows_in_part"])
def test_a_tables_sampler_draws_as_the_model(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    table: TrainedTable = request.getfixturevalue(kind)
    export_model(table, tmp_path / "t.onnx", 2)
    n, d = 50, table.layout.numbers
    codes = [uniform(n, (), 0, f"code {j}", dtype=torch.float64) for j in range(table.layout.codes)]
    noise = normal(n, (d,), 0, "start", dtype=torch.float64)
    (found,) = answers(tmp_path / "t.onnx", {"noise": noise, "u": torch.stack(codes, 1)})
    rows = torch.full((n, *table.codec.shape), float("nan"), dtype=torch.float64)
    expected = complete(table.model, table.layout, rows, table.plan(2))
    assert np.array_equal(np.isnan(found), torch.isnan(expected).numpy())
    assert apart(np.nan_to_num(found), torch.nan_to_num(expected)) < CLOSE
    pd.testing.assert_frame_equal(table.codec.decode(torch.from_numpy(found)), table.sample(n, steps=2), rtol=1e-4)


def test_tables_that_no_graph_holds_say_why(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no numbers"):
        export_model(fit_frame(frame()[["kind", "same"]], settings=Settings(steps=2)), tmp_path / "t.onnx")
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------------------- faults


def test_faults_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = untrained(IRIS)
    for path, steps, words in (
        ("m.txt", None, "ends in .onnx or .pt2, got 'm.txt'"),
        ("m.onnx", 0, "must be a whole number from 1 to 100"),
        ("m.onnx", 101, "must be a whole number from 1 to 100"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            export_model(model, tmp_path / path, steps)
    with pytest.raises(TypeError, match="takes a TrainedModel or a TrainedTable, got Denoiser"):
        graph_of(model.model)  # type: ignore[arg-type]
    with pytest.raises(OSError, match=r"m\.pt2"):
        (tmp_path / "file").write_text("")
        export_model(model, tmp_path / "file" / "m.pt2")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=re.escape("needs the package onnxruntime") + ".*scorefield\\[onnx\\]"):
        export_model(model, tmp_path / "m.onnx")


class Branching(torch.nn.Module):
    """A network of the user's own whose answer depends on a value in a way that no graph has."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor, level_feature: Tensor, condition: Tensor | None = None) -> Tensor:
        return x * self.weight if float(x.sum()) > 0 else -x


def test_a_network_that_cannot_be_traced_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"torch\.export cannot trace this model: .*data-dependent"):
        export_model(TrainedModel(Denoiser(Branching()).eval(), IRIS), tmp_path / "m.pt2")
    assert not list(tmp_path.iterdir())


def test_latents_come_on_the_autoencoders_scale(tmp_path: Path) -> None:
    images = ImageCodec(8, 8, 1, mean=8.0, std=4.0, levels=17, dtype="uint8", channel_axis=False)
    by = Autoencoder(Convolutional(1, latent=2, width=8), factor=4)
    codec = LatentCodec(images, by, mean=(0.0, 1.0), std=(1.0, 2.0), sizes=(2, 2))
    model = TrainedModel(Denoiser(nets.UNet((2, 2), channels=2, base=8, blocks=1)).eval(), codec)
    assert export_model(model, tmp_path / "l.pt2", 2).outputs == {"latent": (2, 2, 2)}
    (z,) = torch.export.load(tmp_path / "l.pt2").module()(normal(3, codec.shape, 0, "start"))
    assert np.array_equal(codec.decode(codec.standardised(z.detach())), model.sample(3, steps=2, seed=0))


def test_another_function_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from scorefield.interop import export

    made = export._pt2

    def wrong(*what: Any) -> Any:
        content, answer = made(*what)
        return content, lambda tensors: [1.01 * v for v in answer(tensors)]

    monkeypatch.setattr(export, "_pt2", wrong)
    with pytest.raises(ValueError, match=r"is off by 1\.0e-02"):
        export_model(untrained(IRIS), tmp_path / "m.pt2")
    assert not list(tmp_path.iterdir())


def test_the_command(scorefield: Any, tmp_path: Path) -> None:
    untrained(IRIS).save(tmp_path / "run")
    code, out, err = scorefield("export", tmp_path / "run", "-o", tmp_path / "m.pt2", "--quiet")
    assert code == 0 and "denoiser, x (n, 4); sigma (n) -> x0 (n, 4); eps (n, 4); within" in out and err == ""
    code, out, _ = scorefield("export", tmp_path / "run", "-o", tmp_path / "s.pt2", "--steps", 2, "--quiet")
    assert code == 0 and "sampler, noise (n, 4) -> sample (n, 4)" in out
    code, _, err = scorefield("export", tmp_path / "run", "-o", tmp_path / "s.txt", "--quiet")
    assert code == 2 and err.count("\n") == 1 and ".onnx or .pt2" in err


WITHOUT_TORCH = """
import sys
class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "scorefield"):
            raise ImportError(name + " is forbidden here")
sys.meta_path.insert(0, Forbidden())
"""


def test_the_guides_example_runs_without_torch(tmp_path: Path) -> None:
    """Numpy and onnxruntime alone: what the guide shows, on a Gaussian fit's own numbers."""
    text = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(import json.*?)```", text, re.DOTALL)
    assert len(code.splitlines()) <= 30
    model = untrained(IRIS)
    export_model(model, tmp_path / "model.onnx")
    export_model(model, tmp_path / "sampler.onnx", 3)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH + code], cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    own, whole = (np.array(json.loads(line)) for line in done.stdout.splitlines())
    mean, std = np.array(model.codec.mean), np.array(model.codec.std)
    for drawn in (own, whole):  # an untrained network is the Gaussian with the data's mean and deviation
        assert np.abs((drawn[0] - mean) / std).max() < 6 / np.sqrt(500) and np.abs(drawn[1] / std - 1).max() < 0.25
