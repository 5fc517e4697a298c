"""Posteriors on the command line: fitted to a table of simulations, asked, proved; and draws for other programs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from posteriors import LinearGaussian, simulations, simulator
from scorefield import runs
from scorefield.data import DataError
from scorefield.posterior import exchange
from scorefield.posterior import simulations as sims_module
from scorefield.posterior.believing import _predicted
from scorefield.posterior.proof.local import local_c2st
from scorefield.posterior.proof.observation import place
from scorefield.posterior.proof.predictive import Predictive, predictive
from scorefield.posterior.proof.proof import prove
from scorefield.report.posteriors import PosteriorReport, write_posterior

COLUMNS = ["growth", "capacity", "r", "s", "t"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, in_process) -> Path:
    """A run that has learned next to nothing, its simulations, two observations."""
    place = tmp_path_factory.mktemp("posterior")
    theta, x = simulations(220, 1)
    table = pd.DataFrame(np.concatenate([theta, x], 1), columns=COLUMNS)
    table.to_parquet(place / "sims.parquet")
    table[["t", "r", "s"]].iloc[:2].to_csv(place / "obs.csv", index=False)
    table.iloc[:1].to_csv(place / "known.csv", index=False)
    words = ("--parameters", "growth,capacity", "-o", place / "run", "--steps", 4, "--quiet", "--bounds", "growth=-9:9")
    assert in_process("fit", place / "sims.parquet", *words) == 0
    return place


def test_a_table_of_simulations_is_fitted_and_a_part_held_out(scorefield, folder: Path) -> None:
    code, out, _ = scorefield("info", folder / "run")
    assert code == 0 and "198 fitted to, 22 held out" in out and "growth from -9 to 9" in out
    held = pd.read_parquet(folder / "run" / "held.parquet")
    whole = pd.read_parquet(folder / "sims.parquet")
    assert list(held.columns) == COLUMNS and len(held.merge(whole)) == 22
    assert runs.kind_of_run(folder / "run") is runs.POSTERIORS


def test_draws_are_written_for_each_observation(scorefield, folder: Path, tmp_path: Path) -> None:
    code, out, err = scorefield("posterior", folder / "run", folder / "obs.csv", "-n", 7, "-o", tmp_path / "d.parquet")
    assert code == 0 and "7 draws of growth, capacity for 2 observation(s)" in out and err == ""
    found = pd.read_parquet(tmp_path / "d.parquet")
    assert list(found.columns) == ["observation", "growth", "capacity"]
    assert found.observation.tolist() == [1] * 7 + [2] * 7 and found.growth.abs().max() < 9
    scorefield("posterior", folder / "run", folder / "obs.csv", "-n", 7, "-o", tmp_path / "one.csv", "--row", 1)
    one = pd.read_csv(tmp_path / "one.csv")
    assert list(one.columns) == ["growth", "capacity"] and np.allclose(one, found.iloc[:7, 1:])


def test_the_report_is_one_page_with_a_verdict(scorefield, folder: Path, tmp_path: Path) -> None:
    words = ("posterior", folder / "run", folder / "known.csv", "-n", 50, "-o", tmp_path / "d.csv", "--steps", 5)
    code, out, _ = scorefield(*words, "--report", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert code == 0 and "hold the truth in" in out and "hold the truth in" in page.split("</section>")[0]
    assert "true value" in page and "<script" not in page and "http" not in page.replace("http://www.w3.org", "")


def test_what_no_simulation_is_near_to_is_not_compared_and_that_is_said() -> None:
    draw = np.random.default_rng(0).normal
    theta = draw(size=(50, 2))
    recorded = sims_module.Simulations(theta, theta + draw(size=(50, 2)), ("growth", "capacity"), ("r", "s"))
    narrow = np.array([5.0, 5.0]) + 1e-3 * draw(size=(40, 2))  # beyond all of them
    x = np.array([5.0, 5.0])
    for draws, at, why in (
        (narrow, x, "posterior standard deviations away in the median"),
        (theta[:5], x, "10 draws are needed, there are 5"),
        (theta, x * np.nan, "no recorded simulation has all that was observed"),
    ):
        found = _predicted(recorded, at, draws)
        assert isinstance(found, str) and why in found
        page = PosteriorReport(("growth", "capacity"), untold=(found,))
        assert [one.text for one in page.findings() if one.good is None] == [found]
    assert isinstance(_predicted(recorded, theta[0], theta[:40]), Predictive)


def test_check_and_evaluate_prove_a_run(scorefield, folder: Path, tmp_path: Path) -> None:
    code, out, _ = scorefield("check", folder / "run", "--json", tmp_path / "c.json")
    names = {law["name"] for law in json.loads((tmp_path / "c.json").read_text())["laws"]}
    assert {"posterior: growth", "posterior: regions", "posterior: distances"} <= names
    assert code in (0, 1) and "hold the truth in" in out
    theta, x = simulations(40, 9)
    pd.DataFrame(np.concatenate([theta, x], 1), columns=COLUMNS).to_csv(tmp_path / "new.csv", index=False)
    code, out, _ = scorefield(
        "evaluate", folder / "run", tmp_path / "new.csv", "--report", tmp_path / "p.html", "-n", 25
    )
    assert code == 0 and "of 100 simulations" in out and "25 simulations" in (tmp_path / "p.html").read_text()


REFUSED = {
    "sample": (("sample", "run", "-o", "x.csv"), "draws are given an observation"),
    "calibrate": (("calibrate", "run"), "no sampler is calibrated"),
    "density": (("density", "run", "obs.csv", "-o", "x.csv"), "answers for a table only"),
    "report": (("posterior", "run", "obs.csv", "-o", "x.csv", "--report", "r.html"), "choose one by --row"),
    "row": (("posterior", "run", "obs.csv", "-o", "x.csv", "--row", "3"), "there are 2 observations"),
    "column": (("posterior", "run", "nine.csv", "-o", "x.csv"), "no observed column 'r'"),
    "parameter": (("fit", "sims.parquet", "--parameters", "growht", "-o", "new"), "did you mean 'growth'?"),
    "twice": (("fit", "sims.parquet", "--parameters", "r,r", "-o", "new"), "name each parameter once"),
    "all": (("fit", "known.csv", "--parameters", ",".join(COLUMNS), "-o", "new"), "every column is a parameter"),
    "few": (("fit", "known.csv", "--parameters", "growth", "-o", "new"), "1 simulations are too few"),
    "energy": (("fit", "sims.parquet", "--parameters", "r", "--energy", "-o", "new"), "has no option --energy"),
    "resume": (("fit", "sims.parquet", "--parameters", "r", "--resume", "-o", "new"), "is not resumed"),
    "bounds": (("fit", "sims.parquet", "--parameters", "r", "--bounds", "r", "-o", "new"), "such as a=0:1"),
    "whose": (
        ("fit", "sims.parquet", "--parameters", "r", "--bounds", "q=0:1", "-o", "new"),
        "bounds are of parameters",
    ),
    "prior": (("fit", "sims.parquet", "--parameters", "r", "--prior", "uniform", "-o", "new"), "both bounds of every"),
    "words": (("fit", "words.csv", "--parameters", "a", "-o", "new"), "'w' is not of numbers"),
    "hole": (("fit", "words.csv", "--parameters", "b", "-o", "new", "--leave-out", "w"), "row 2 has no value of the"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_one_line(scorefield, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(folder)
    Path("nine.csv").write_text("a,s,t\n1,2,3\n")
    Path("words.csv").write_text("a,b,w\n" + "1,2,u\n3,,v\n" * 30)
    words, message = REFUSED[name]
    code, _, err = scorefield(*words, "--quiet") if words[0] in ("fit", "posterior") else scorefield(*words)
    assert code == 2 and err.count("\n") == 1 and message in err
    assert not Path("new", "model.json").exists()


def test_an_observation_out_of_range_is_warned_of(scorefield, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "far.csv").write_text("r,s,t\n99,0,0\n")
    code, _, err = scorefield("posterior", folder / "run", tmp_path / "far.csv", "-n", 3, "-o", tmp_path / "d.csv")
    assert code == 0 and err.startswith("scorefield: warning: ") and "percentile 100" in err


# ------------------------------------------------------------------------------------------------------ in the library


def test_simulations_of_a_frame() -> None:
    frame = pd.DataFrame({"x": [1.0, np.nan], "a": [True, False], "b": [1, 2]})
    found = sims_module.simulations(frame, ["b", "a"])
    assert found.theta.tolist() == [[1, 1], [2, 0]] and found.columns == ("x",) and np.isnan(found.x[1, 0])
    assert found.frame().columns.tolist() == ["b", "a", "x"]
    assert sims_module.observations(frame, ["b", "x"])[0].tolist() == [1, 1]
    with pytest.raises(DataError, match="no row"):
        sims_module.observations(frame.iloc[:0], ["b"])


def test_draws_are_tables_with_names(tmp_path: Path) -> None:
    draws = np.arange(12.0).reshape(2, 3, 2)
    exchange.write_draws(tmp_path / "d.csv", draws, ["a", "b"])
    found = pd.read_csv(tmp_path / "d.csv")
    assert found.observation.tolist() == [1, 1, 1, 2, 2, 2] and found.b.tolist() == [1, 3, 5, 7, 9, 11]
    with pytest.raises(ValueError, match="2 different names"):
        exchange.as_frame(draws[0], ["a"])
    with pytest.raises(ValueError, match="rename it"):
        exchange.as_frame(draws, ["a", "observation"])


@pytest.mark.parametrize("version", ["0.23", "1.3"])
def test_draws_for_arviz(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """As both of its interfaces take them: each group an argument, or all groups in one."""

    def before(posterior=None, *, prior=None, observed_data=None, posterior_predictive=None):
        return {"posterior": posterior, "prior": prior, "observed_data": observed_data}

    def now(data, *, name=None):
        return data

    monkeypatch.setitem(sys.modules, "arviz", SimpleNamespace(from_dict=before if version < "1" else now))
    draws = np.arange(6.0).reshape(3, 2)
    found = exchange.to_arviz(draws, ["a", "b"], [7.0], prior=draws[:1])
    assert found["posterior"]["b"].tolist() == [[1, 3, 5]] and found["observed_data"]["x"].tolist() == [7]
    assert found["prior"]["a"].shape == (1, 1)


def test_without_arviz_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ImportError, match="pip install arviz"):
        exchange.to_arviz(np.zeros((3, 1)))


@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_a_page_of_every_section(tmp_path: Path, scale: float) -> None:
    theta, x = simulations(150, 3)
    truth, x_obs = simulations(1, 4)
    posterior = LinearGaussian(scale=scale)
    draws = posterior(x_obs, 300, 1)[0]
    names = ("a < b", "$c$")
    page = PosteriorReport(
        names,
        draws=draws,
        prior=theta,
        truth=truth[0],
        proof=prove(posterior, theta, x, names=names, n=39),
        place=place(x_obs[0], x),
        local=local_c2st(theta, x, posterior(x, 15, 1), x_obs[0], draws[:50], permutations=9),
        predictive=predictive(x_obs[0], simulator(draws, 5)),
        facts=[("simulations", "150")],
    )
    write_posterior(tmp_path / "p.html", "b < c", page)
    text = (tmp_path / "p.html").read_text()
    assert page.headline.startswith("No fault" if scale == 1.0 else "90 % regions") and "a &lt; b" in text
    assert text.count("<figure") == 6 and "a < b" not in text
    alone = PosteriorReport(names, draws=draws)
    assert "was not proved here" in alone.headline and not alone.findings()


def test_parameters_that_do_not_vary_have_a_page(tmp_path: Path) -> None:
    draws = np.concatenate([np.zeros((50, 1)), np.ones((50, 1)), np.linspace(0, 1, 50)[:, None]], 1)
    page = PosteriorReport(tuple("abc"), draws=draws, prior=draws, truth=np.array([0.0, 5.0, 0.5]))
    write_posterior(tmp_path / "p.html", "constant", page)
    many = np.random.default_rng(0).normal(size=(200, 11))
    write_posterior(tmp_path / "q.html", "many", PosteriorReport(tuple("abcdefghijk"), draws=many))
    assert "The first 8 of 11 parameters" in (tmp_path / "q.html").read_text()
