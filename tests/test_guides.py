"""The guides tell the truth: their code runs from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

DOCS = Path(__file__).parent.parent / "docs"
GUIDE = DOCS / "scikit-learn.md"
CUT = {
    '"seconds": 10': '"seconds": None, "steps": 2, "sampling_steps": 3',
    "scaled=False)": "scaled=False)\nX, y = X.iloc[:56, [0, 1, 2, 3, 7]], y.iloc[:56]",
}


@pytest.mark.filterwarnings("ignore:.*rows are too few")
def test_the_guide_to_scikit_learn_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On few rows and columns, whose models are one Gaussian each: what is tried is that the pieces go together."""
    from scorefield.estimators import _base

    monkeypatch.setattr(_base, "MIN_ROWS", 1000)
    code = "\n".join(re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL))
    for whole, part in CUT.items():
        assert whole in code
        code = code.replace(whole, part)
    names: dict[str, object] = {}
    exec(compile(code, GUIDE.name, "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and lines[-1].endswith(" 0") and "nan" not in "".join(lines), lines
    assert np.isfinite(names["scores"]).all() and "strategy" in lines[2]
    for words in ("R2", "90 % intervals hold", "nats per row", "area under the curve"):
        assert any(words in line for line in lines), words


def test_the_guide_to_latents_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "latent.md").read_text(encoding="utf-8"), re.DOTALL)
    assert '"steps": 1000' in code
    monkeypatch.chdir(tmp_path)
    exec(compile(code.replace('"steps": 1000', '"steps": 2'), "latent.md", "exec"), {})
    shape, density = capsys.readouterr().out.splitlines()
    assert shape == "(5, 8, 8)" and density.startswith("LatentLogDensity(100 points, mean ")


def test_the_guide_to_families_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (DOCS / "families.md").read_text(encoding="utf-8")
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(code, "families.md", "exec"), {})
    *table, likelihood, triangle = capsys.readouterr().out.splitlines()
    assert table[0].startswith("gamma, 569 samples") and [line.split()[0] for line in table[2:]] == ["shape", "rate"]
    assert likelihood.startswith("by maximum likelihood")
    first, second = (float(part.split(" +- ")[0]) for part in triangle.split("= ")[1].rstrip(")").split(", "))
    assert abs(first - 1) < 0.3 and abs(second) < 0.3


def test_the_guide_to_samplers_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """On a quarter of the rows, with shorter runs: what is tried is that the pieces go together."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", (DOCS / "samplers.md").read_text(encoding="utf-8"), re.DOTALL))
    for whole, part in {
        "as_frame=True)": "as_frame=True)\ntable.data, table.target = table.data[::4], table.target[::4]",
        "0.1, 350, seed=0, leaps=5, burn_in=200,": "0.1, 90, seed=0, leaps=2, burn_in=60,",
        "start[:4], 16,": "start[:2], 8,",
    }.items():
        assert whole in code
        code = code.replace(whole, part)
    exec(compile(code, "samplers.md", "exec"), {})
    chains, *rows, whole, factor = capsys.readouterr().out.splitlines()
    assert chains.startswith("Chains(8 chains, 30 samples each of shape (5,)") and len(rows) == 5
    assert float(rows[2].split()[2]) > 1 and whole.startswith("Annealed(200 samples") and "log Bayes factor" in factor


def test_the_guide_to_energies_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "energies.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, "energies.md", "exec"), {})
    found, total, matched, contrast, score = capsys.readouterr().out.splitlines()
    assert found.startswith("Minimum(theta = ") and matched.startswith("ExponentialFamilyFit(")
    assert abs(float(total.split()[-1]) - 1) < 0.05
    assert float(contrast.split()[-1]) > float(score.split()[-1])


PAIRS = ("0,1", "0,2", "0,3", "1,2", "1,3", "2,3")


def test_the_guide_to_sequences_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (DOCS / "discrete.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    assert '"steps": 1200' in code
    exec(compile(code.replace('"steps": 1200', '"steps": 2'), "discrete.md", "exec"), {})
    drawn, filled, bound, exact, tight, theta, *table = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in table[2:]] == [*(f"h{k}" for k in range(4)), *(f"J{p}" for p in PAIRS)]
    assert (
        table[0].startswith("Ising, 1,797 samples")
        and drawn.startswith("[")
        and len(filled.split(",")) == 2
        and bound.startswith("LogProbBound(2 sequences")
    )
    assert exact.startswith("tensor([-") and tight.startswith("LogProbBound(100 sequences")
    found = [float(v) for v in re.findall(r"-?\d\.\d+", theta)]
    assert all(abs(v - w) < 0.05 for v, w in zip(found, (0.3, -0.2, 0.8), strict=True)), theta


def test_the_guide_to_graphs_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (DOCS / "graphs.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, "graphs.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "truncated Gaussian, 178 rows, 13 columns, score matching"
    assert lines[3].split()[:2] == ["total_phenols", "flavanoids"]
    assert (tmp_path / "graph.png").stat().st_size > 10_000


def test_the_guides_to_stein_and_kernels_run(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("stein.md", "kernels.md"):
        text = (DOCS / name).read_text(encoding="utf-8")
        exec(compile("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), name, "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    radius, log_radius = (float(line.split()[-1]) for line in lines[:2])
    assert radius < 0.05 and radius <= log_radius
    value, rest = lines[2].split(" +- ", 1)
    assert abs(float(value) - 1.6487) < 4 * float(rest.split(";")[0])
    factors = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines[3:7]}
    assert factors["bmi, s5, bp"] > factors["bmi, s5"] > factors["bmi"] > factors["age"]
    kernel, gaussian = float(lines[7].split(":")[1].split("+-")[0]), float(lines[8].split(":")[1])
    assert kernel < gaussian and lines[9].startswith("Chains(20 chains")


def test_the_guide_to_diffusers_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", (DOCS / "diffusers.md").read_text(encoding="utf-8"), re.DOTALL))
    exec(compile(code, "diffusers.md", "exec"), {})
    shapes, *fitted = capsys.readouterr().out.splitlines()
    assert shapes == "torch.Size([4, 1, 8, 8]) (4, 8, 8, 1)" and "RMS error" in fitted[0]


def test_the_guide_to_large_data_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "large-data.md").read_text(encoding="utf-8")
    exec(compile("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), "large-data.md", "exec"), {})
    assert capsys.readouterr().out == "Stream('records.npy': 640 data rows of 3, float64, in 1 blocks)\n"
    assert (tmp_path / "run" / "model.json").exists()


def test_the_guide_to_manifolds_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(DOCS.parent)
    code = "\n".join(re.findall(r"```python\n(.*?)```", (DOCS / "manifolds.md").read_text(encoding="utf-8"), re.DOTALL))
    for whole, part in {
        "steps=400, batch=256": "steps=2, batch=16",
        "sample(1000,": "sample(5,",
        "1000, s": "5, s",
    }.items():
        assert whole in code
        code = code.replace(whole, part)
    exec(compile(code, "manifolds.md", "exec"), {})
    model, score, mixture, uniform, exact = capsys.readouterr().out.splitlines()
    assert model.startswith("TrainedScore(on Sphere(d=2)") and exact == "tensor(True)"
    assert score.startswith("score model ") and uniform == "uniform -2.53" and " von Mises-Fisher laws " in mixture
